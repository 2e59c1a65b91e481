"""What became of what was sent, counted while the answers come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import EventResult, ProfileResult

if TYPE_CHECKING:
    from leo.ingest.v1.ingest_service_pb2 import Consent


@dataclass(slots=True)
class Refusal:
    """One item that the door refused.

    Attributes:
        what: what was wrong with it, in the demo's words.
        reason: the reason in the answer.
        answer: the answer's own words.
    """

    what: str
    reason: str
    answer: str


@dataclass(slots=True)
class ProfileTally:
    """The answers to profiles.

    Attributes:
        outcomes: how many of each outcome, in lower case.
        warned_count: documents of which something could not be used.
        refusals: each refused document.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    warned_count: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def add(self, result: ProfileResult) -> None:
        """Count one answer."""
        self.outcomes[_word(ProfileResult.Outcome.Name(result.outcome))] += 1
        self.warned_count += bool(result.warnings)
        if result.outcome == ProfileResult.OUTCOME_REFUSED:
            error = leo_sdk.error_of_status(result.error)
            self.refusals.append(
                Refusal("a document that cannot be read", error.reason, error.message)
            )


@dataclass(slots=True)
class EventTally:
    """The answers to events.

    Attributes:
        outcomes: how many of each outcome, in lower case.
        identities: the ids of all events that are stored, by this run or before it.
        refusals: each refused event, by its position in the stream.
        seconds: from the first event sent to the last answer.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    identities: set[str] = field(default_factory=set)
    refusals: dict[int, leo_sdk.LeoRpcError] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def sent_count(self) -> int:
        """Events that were answered."""
        return self.outcomes.total()

    def add(self, position: int, result: EventResult) -> None:
        """Count one answer."""
        self.outcomes[_word(EventResult.Outcome.Name(result.outcome))] += 1
        if result.outcome == EventResult.OUTCOME_REFUSED:
            self.refusals[position] = leo_sdk.error_of_status(result.error)
        else:
            self.identities.add(result.event_id)


@dataclass(slots=True)
class ConsentTally:
    """The answers to statements of consent, by state."""

    states: Counter[str] = field(default_factory=Counter)

    def add(self, consent: Consent) -> None:
        """Count one answer."""
        self.states[_word(consent.State.Name(consent.state))] += 1


def _word(enum_name: str) -> str:
    return enum_name.split("_", 1)[1].lower()
