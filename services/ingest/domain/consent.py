"""What a person allows, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from services.ingest.domain.limits import CLOCK_AHEAD_MAX, EVIDENCE_LENGTH_MAX, EXT_ID_LENGTH_MAX

if TYPE_CHECKING:
    from datetime import datetime

    from libs.fields import Fields

State = Literal["granted", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a person said about one channel and purpose.

    Attributes:
        consented_at: when they said it; None is now.
    """

    channel: str
    purpose: str
    state: State
    evidence: str
    consented_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A statement as recorded."""

    channel: str
    purpose: str
    state: State
    evidence: str
    consented_at: datetime
    version: int
    recorded_at: datetime


def check_statement(found: Fields, ext_id: str, statement: Statement, *, now: datetime) -> None:
    """Note in `found` everything that is wrong with a statement; `ext_id` names the person."""
    found.text("ext_id", ext_id, length_max=EXT_ID_LENGTH_MAX, required=True)
    found.kebab("consent.channel", statement.channel)
    found.kebab("consent.purpose", statement.purpose)
    found.text(
        "consent.evidence", statement.evidence, length_max=EVIDENCE_LENGTH_MAX, required=True
    )
    if statement.consented_at is not None:
        found.time(
            "consent.consent_time", statement.consented_at, now=now, ahead=CLOCK_AHEAD_MAX, age=None
        )
