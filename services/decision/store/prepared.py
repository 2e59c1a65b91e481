"""Launches put together from the rows of rule, campaign and snapshot, ready to decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.decision.domain.launching import Launch, Snapshot
from services.decision.domain.rule_set import Segment
from services.decision.errors import (
    RuleMissingError,
    RuleNotValidError,
    RuleTriggerError,
    SnapshotMissingError,
)
from services.decision.store.rule_sets import rule_of
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Connection
    from libs.rpc.requests import Origin


async def prepared_launch(
    connection: Connection, tenant_id: UUID, rule_id: UUID, snapshot_id: UUID, origin: Origin
) -> Launch:
    """The launch that a rule and a snapshot would make now.

    Raises:
        RuleMissingError, RuleTriggerError, RuleNotValidError, SnapshotMissingError.
    """
    row = await QUERIES.select_rule_to_launch(connection, tenant_id=tenant_id, rule_id=rule_id)
    if row is None:
        raise RuleMissingError(rule_id)
    rule = rule_of(row)
    if rule.terms.trigger != "launch":
        raise RuleTriggerError(rule_id)
    if not rule.terms.is_valid_at(row["now"]):
        raise RuleNotValidError(rule_id)
    return Launch(
        launch_id=None,
        rule=rule,
        snapshot=await snapshot_of(connection, tenant_id, snapshot_id),
        campaign_state=row["campaign_state"],
        began_at=row["now"],
        actor=origin.actor,
    )


async def snapshot_of(connection: Connection, tenant_id: UUID, snapshot_id: UUID) -> Snapshot:
    """Whom a launch goes to. Raises SnapshotMissingError."""
    row = await QUERIES.select_snapshot(connection, tenant_id=tenant_id, snapshot_id=snapshot_id)
    if row is None:
        raise SnapshotMissingError(snapshot_id)
    return Snapshot(
        snapshot_id=snapshot_id,
        member_count=row["member_count"],
        digest=row["digest"],
        segment=Segment(row["segment_id"], row["segment_version"], row["condition"]),
    )
