"""What a restore holds back until a person decides: tenants, and their messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003 - orjson and dataclasses read it

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

_QUERIES = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class Held:
    """A tenant after a restore.

    Attributes:
        is_held: the restore has suspended it, and `leo resume` lets it go on.
        in_doubt_count: deliveries of which nobody knows whether the person got them.
        waiting_count: deliveries that are sent once the tenant goes on, but for those that expire.
        expired_count: of those that wait, how many are not worth sending any more.
    """

    tenant_id: UUID
    name: str
    is_held: bool
    in_doubt_count: int
    waiting_count: int
    expired_count: int


async def read_held(auditor: asyncpg.Connection) -> list[Held]:
    """Every tenant, in the order of their names."""
    return [Held(**row) async for row in _QUERIES.select_held(auditor)]
