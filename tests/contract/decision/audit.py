"""Verifying decisions: their rows as the audit's hash covers them, built from the columns alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from libs import audit
from services.decision.domain.record import leaf_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

# Where a row stands, not what it says.
_PLACE = ("tenant_id", "transaction_id", "audit_entry_id", "leaf_no", "salt")


def recorded_row(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a stored row of decision recorded."""
    row = {name: value for name, value in stored.items() if name not in _PLACE}
    cooldown = row.pop("cooldown")
    row["cooldown_us"] = None if cooldown is None else cooldown // timedelta(microseconds=1)
    row["choices"] = orjson.loads(row["choices"])
    row["inputs"] = orjson.loads(row["inputs"])
    return row


def leaf_of_stored(stored: Mapping[str, Any]) -> bytes:
    """The leaf of a stored row of decision."""
    return leaf_of(stored["tenant_id"], recorded_row(stored), stored["salt"])


async def broken_entries(connection: Any, tenant_id: UUID) -> list[UUID]:
    """The audit entries of a tenant that the decisions which name them do not bear out.

    Args:
        connection: may read decision and audit_entry of the tenant.
        tenant_id: whose entries.
    """
    broken = []
    for entry in await connection.fetch(
        "SELECT entry_id, member_count, root FROM audit_entry"
        " WHERE tenant_id = $1 AND recorded_table = 'decision' ORDER BY entry_id",
        tenant_id,
    ):
        members = await connection.fetch(
            "SELECT * FROM decision WHERE tenant_id = $1 AND audit_entry_id = $2 ORDER BY leaf_no",
            tenant_id,
            entry["entry_id"],
        )
        if [member["leaf_no"] for member in members] != list(
            range(entry["member_count"])
        ) or audit.root([leaf_of_stored(member) for member in members]) != entry["root"]:
            broken.append(entry["entry_id"])
    return broken
