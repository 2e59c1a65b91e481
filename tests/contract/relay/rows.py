"""Events, decisions and deliveries, put down as their services would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


async def insert_events(connection: Any, tenant_id: UUID, count: int) -> list[UUID]:
    """Insert events in the connection's transaction."""
    event_ids: list[UUID] = [uuid7() for _ in range(count)]
    await connection.execute(
        """
        INSERT INTO marketing_event (
            tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, properties,
            body_digest
        )
        SELECT $1, event_id, 'test', 'page-view', 'p', leo_now(), '{}', sha256('body')
        FROM unnest($2::uuid[]) AS event_id
        """,
        tenant_id,
        event_ids,
    )
    return event_ids


async def insert_decisions(
    connection: Any, tenant_id: UUID, event_ids: Sequence[UUID], *, outcome: str = "no_rule"
) -> list[UUID]:
    """Insert a decision for each event; one that is decided keeps its own."""
    entry_id = uuid7()
    await connection.execute(
        """
        INSERT INTO audit_entry (
            tenant_id, entry_id, kind, actor, call_id, member_count, root, details
        )
        VALUES ($1, $2, 'decided', 'test', 'call', 0, sha256('root'), '{}')
        """,
        tenant_id,
        entry_id,
    )
    rows = await connection.fetch(
        """
        INSERT INTO decision (
            tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
            rule_set_version, rule_id, outcome, reason, expires_at, audit_entry_id, leaf_no
        )
        SELECT $1, gen_random_uuid(), 'event', event_id, $1, 1, 0, 1, $1, $3, '', leo_now(), $4, 0
        FROM unnest($2::uuid[]) AS event_id
        ON CONFLICT DO NOTHING
        RETURNING decision_id
        """,
        tenant_id,
        event_ids,
        outcome,
        entry_id,
    )
    return [row["decision_id"] for row in rows]


async def insert_deliveries(
    connection: Any, tenant_id: UUID, decision_ids: Sequence[UUID], *, state: str = "pending"
) -> None:
    """Insert a delivery for each decision."""
    await connection.execute(
        """
        INSERT INTO delivery_log (
            tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id,
            profile_id, profile_version, purpose, recipient_ref, dedupe_key, state, due_at,
            expires_at
        )
        SELECT
            $1, gen_random_uuid(), decision_id, 0, 'test', $1, $1, $1, 1, 'care', 'phone:0',
            sha256(decision_id::text::bytea), $3, leo_now(), leo_now()
        FROM unnest($2::uuid[]) AS decision_id
        ON CONFLICT DO NOTHING
        """,
        tenant_id,
        decision_ids,
        state,
    )
