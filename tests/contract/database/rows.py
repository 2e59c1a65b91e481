"""Rows in every table, and what a role meets when it asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from uuid import UUID

TABLES = (
    "tenant",
    "audit_entry",
    "audit_seal",
    "marketing_event",
    "cdp_profiles",
    "cdp_profile_version",
    "profile_consent",
    "profile_consent_version",
    "segment",
    "segment_snapshot",
    "segment_snapshot_member",
    "campaign",
    "activation_rule",
    "activation_rule_version",
    "rule_set",
    "campaign_launch",
    "agent_task",
    "decision",
    "relay_watermark",
    "message_template",
    "channel_account",
    "delivery_log",
    "delivery_attempt",
    "delivery_receipt",
)
PARTITIONS = tuple(f"marketing_event_p{number:02}" for number in range(16))
APPEND_ONLY = (
    "audit_entry",
    "audit_seal",
    "marketing_event",
    "cdp_profile_version",
    "profile_consent_version",
    "segment_snapshot",
    "segment_snapshot_member",
    "activation_rule_version",
    "decision",
    "delivery_attempt",
    "delivery_receipt",
    *PARTITIONS,
)
# The trigger that keeps it so; snapshots have one of their own name.
TRIGGERS = dict.fromkeys(APPEND_ONLY, "append_only") | {
    "segment_snapshot": "prevent_snapshot_removal",
    "segment_snapshot_member": "prevent_snapshot_removal",
}
# What leo_finder sees of every tenant: keys and what work is found by.
FOUND_BY = {
    "tenant": {"tenant_id", "state"},
    "marketing_event": {"tenant_id", "transaction_id"},
    "decision": {"tenant_id", "transaction_id", "outcome"},
    "relay_watermark": {"tenant_id", "hop", "position"},
    "audit_entry": {"tenant_id", "transaction_id"},
    "audit_seal": {"tenant_id", "seq"},
    "campaign_launch": {"tenant_id", "state"},
    "delivery_log": {"tenant_id", "account_id", "state", "due_at", "lease_until"},
}
# What stays of a tenant that is removed.
KEPT = ("tenant", "audit_entry", "audit_seal", "relay_watermark")
# The functions that belong to leo_eraser: the one door.
DOOR = (
    "count_tenant_rows_v1",
    "remove_tenant_rows_v1",
    "remove_stories_v1",
    "remove_receipts_v1",
    "remove_profile_versions_v1",
    "remove_consent_versions_v1",
)
# As fill.sql makes them.
EVENT_COUNT = 300


async def fill(superuser: Any) -> UUID:
    """Make a tenant with rows in every table and partition."""
    tenant_id: UUID = uuid7()
    script = Path(__file__).with_name("fill.sql").read_text(encoding="utf-8")
    await superuser.execute(script.replace(":tenant_id", f"'{tenant_id}'::uuid"))
    return tenant_id


@dataclass(frozen=True, kw_only=True)
class View:
    """What one role in one tenant's context meets in one table."""

    own_count: int
    other_count: int
    insert_for_other: str | None


async def look(superuser: Any, table: str, *, role: str, own: UUID, other: UUID) -> View:
    """Look at a table as `role` in the context of `own`; nothing of it stays."""
    mine, others = await as_role(
        superuser,
        role,
        f"SELECT count(*) FILTER (WHERE tenant_id = '{own}'),"
        f" count(*) FILTER (WHERE tenant_id = '{other}') FROM {table}",
        context=str(own),
    )
    return View(
        own_count=mine,
        other_count=others,
        insert_for_other=await refusal(
            superuser,
            role,
            # A row of one's own, put down as the other's.
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
            f' SELECT (jsonb_populate_record(t, \'{{"tenant_id": "{other}"}}\')).*'
            f" FROM {table} AS t WHERE tenant_id = '{own}' LIMIT 1",
            context=str(own),
        ),
    )


async def as_role(superuser: Any, role: str, statement: str, *, context: str | None = None) -> Any:
    """The first row of `statement` as `role`; nothing of it stays."""
    transaction = superuser.transaction()
    await transaction.start()
    try:
        if context is not None:
            await superuser.execute("SELECT set_config('leo.tenant_id', $1, true)", context)
        await superuser.execute(f"SET LOCAL ROLE {role}")
        return await superuser.fetchrow(statement)
    finally:
        await transaction.rollback()


async def refusal(
    superuser: Any, role: str, statement: str, *, context: str | None = None
) -> str | None:
    """The SQLSTATE with which `statement` is refused to `role`, or None if it passes."""
    try:
        await as_role(superuser, role, statement, context=context)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    return None
