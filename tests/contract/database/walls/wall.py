"""Walls as data: what refuses something, the probe that meets it, and how it is taken away.

A wall is one object of the catalogue: a policy, a flag, a trigger, a key, a grant, also one that is
not there. Its probe is one attempt by one role, with whatever else would refuse it put out of the
way, and the exact answer while the wall stands. The modules beside this one make them from the
catalogue itself; test_walls.py tries each twice, with the wall and without. An object for which
nobody has written a probe is an error.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

BOUND_ROLES = (*roles.SERVICE_ROLES, roles.OWNER, roles.ERASER)
# One that no policy is made for, but the one that keeps tenants apart.
PLAIN_ROLE = roles.SEGMENT


class NoProbeError(Exception):
    """The catalogue has an object of which no test knows what it refuses: write its probe."""


class Tenants(NamedTuple):
    """Two tenants with rows in every table (fill.sql); probes act for the first."""

    own: UUID
    other: UUID


@dataclass(frozen=True, kw_only=True)
class Wall:
    """One object, the attempt that it stops, and the SQL that takes it away."""

    name: str
    role: str
    attempt: str
    # A command's tag, or SQLSTATE and message.
    expected: str
    removal: str
    # By the superuser, after the removal.
    setup: str = ""
    tenant: UUID | None = None


@asynccontextmanager
async def undone(superuser: Any) -> AsyncIterator[None]:
    """Run the block in a transaction of which nothing stays."""
    transaction = superuser.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def answer(superuser: Any, wall: Wall, *, removed: bool) -> str:
    """What the probe is told, with the wall or without it; nothing of it stays."""
    async with undone(superuser):
        await superuser.execute(
            f"{wall.removal if removed else ''};"
            f"{wall.setup};"
            f"SELECT set_config('leo.tenant_id', '{wall.tenant or ''}', true);"
            f"SET LOCAL SESSION AUTHORIZATION {wall.role}"
        )
        try:
            return str(await superuser.execute(wall.attempt))
        except asyncpg.PostgresError as error:
            return f"{error.sqlstate} {error.message}"


async def tables_of_tenants(superuser: Any) -> list[str]:
    """Every table and partition whose rows belong to a tenant."""
    rows = await superuser.fetch(
        """
        SELECT relname::text AS name
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('v', 'i', 'I')
        ORDER BY 1
        """
    )
    return [row["name"] for row in rows]
