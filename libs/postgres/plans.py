"""How statements are planned that cannot trust an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from libs.postgres.database import Connection

_QUERIES = load_queries(__file__)


async def plan_along_indexes(connection: Connection) -> None:
    """Let what follows read by lookups, and pages in the order of an index.

    Until the transaction ends. Of a tenant that is new the statistics know nothing, and a plan for
    whatever may be asked knows no values. Both take a page for a few rows, which could as well be
    sorted, and a tenant for so small that all of it could be joined; then they read all that the
    tenant has, for every page again.
    """
    await _QUERIES.plan_along_indexes(connection)
