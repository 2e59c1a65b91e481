"""How pages are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from libs.postgres.database import Connection

_QUERIES = load_queries(__file__)


async def plan_page(connection: Connection) -> None:
    """Let a page be read along an index, in its order, until the transaction ends.

    Of a tenant that is new the statistics know nothing, and a plan for whatever may be asked knows
    no values. Both take a page for a few rows, which could as well be sorted, and read all that the
    tenant has, for every page again.
    """
    await _QUERIES.plan_page(connection)
