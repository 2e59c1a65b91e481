"""A decision as it is stored, and what of it the audit's hash covers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from libs.audit import tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from services.decision.domain.deciding import Person, Verdict
    from services.decision.domain.rule import Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision as the database has it."""

    decision_id: UUID
    event_id: UUID
    ordinal: int
    outcome: str
    reason: str
    rule_id: UUID | None
    rule_version: int | None
    profile_id: UUID | None
    profile_version: int | None
    not_before: datetime | None
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyStep:
    """One thing that happened on the way of an event.

    Attributes:
        channel: of a delivery and what happened to it; else empty.
        details: what else v_journey knows, by name.
    """

    at: datetime
    step: str
    outcome: str
    reason: str
    id: UUID
    parent_id: UUID | None
    channel: str
    details: dict[str, Any]


def decision_row(
    trigger: Trigger,
    trigger_id: UUID,
    ordinal: int,
    verdict: Verdict,
    *,
    person: Person | None,
    rule_set_version: int,
    now: datetime,
) -> dict[str, Any]:
    """The columns of a decision that its hash covers; `cooldown` in whole microseconds."""
    rule, segment = verdict.rule, verdict.segment
    cooldown = rule.terms.cooldown if rule else None
    return {
        "decision_id": uuid7(),
        "trigger_kind": trigger,
        "trigger_id": trigger_id,
        "profile_id": person.profile_id if person else None,
        "profile_version": person.version if person else None,
        "ordinal": ordinal,
        "rule_set_version": rule_set_version,
        "campaign_id": rule.campaign_id if rule else None,
        "rule_id": rule.rule_id if rule else None,
        "rule_version": rule.version if rule else None,
        "segment_id": segment.segment_id if segment else None,
        "segment_version": segment.version if segment else None,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "not_before": verdict.not_before,
        "expires_at": verdict.expires_at,
        "cooldown_us": cooldown // timedelta(microseconds=1) if cooldown else None,
        "choices": list(verdict.choices),
        "inputs": verdict.inputs,
        "decided_at": now,
    }


def leaf_of(tenant_id: UUID, row: Mapping[str, Any], salt: bytes) -> bytes:
    """The leaf of a decision in its audit entry's tree.

    Numbers that JSON readers would round count as text: a person's value may be beyond 2^53.
    """
    covered = {"tenant_id": tenant_id} | dict(row)
    covered["inputs"] = tree.exact(covered["inputs"])
    return tree.leaf(salt, tree.canonical_row(covered))


def new_salt() -> bytes:
    """A fresh salt for one leaf."""
    return os.urandom(tree.SALT_BYTES)
