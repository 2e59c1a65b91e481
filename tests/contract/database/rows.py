"""Rows in every table, and what a role meets when it asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from uuid_utils.compat import uuid7

from tests.contract.database.walls.expected import TABLE_GRANTS
from tests.contract.database.walls.wall import undone

if TYPE_CHECKING:
    from uuid import UUID

TABLES = tuple(TABLE_GRANTS)
# What stays of a tenant that is removed.
KEPT = ("tenant", "audit_entry", "audit_seal", "relay_watermark")
# As fill.sql makes them.
EVENT_COUNT = 300


async def fill(superuser: Any) -> UUID:
    """Make a tenant with rows in every table and partition."""
    tenant_id: UUID = uuid7()
    script = Path(__file__).with_name("fill.sql").read_text(encoding="utf-8")
    await superuser.execute(script.replace(":tenant_id", f"'{tenant_id}'::uuid"))
    return tenant_id


async def as_role(superuser: Any, role: str, statement: str, *, context: str | None = None) -> Any:
    """The first row of `statement` as `role`; nothing of it stays."""
    async with undone(superuser):
        if context is not None:
            await superuser.execute("SELECT set_config('leo.tenant_id', $1, true)", context)
        await superuser.execute(f"SET LOCAL ROLE {role}")
        return await superuser.fetchrow(statement)


async def refusal(
    superuser: Any, role: str, statement: str, *, context: str | None = None
) -> str | None:
    """The SQLSTATE with which `statement` is refused to `role`, or None if it passes."""
    try:
        await as_role(superuser, role, statement, context=context)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    return None
