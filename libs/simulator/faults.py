"""What goes wrong on purpose: which messages, in which way, how often; repeatable by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from libs.simulator.witness import Message

DELAY_SECONDS_MAX = 3600


class FaultKind(StrEnum):
    # The provider does not accept.
    SERVER_ERROR_BEFORE = "server_error_before"
    THROTTLED = "throttled"
    ERROR_CODE = "error_code"
    # Of a dialogue: the connection breaks before the message, or within it.
    CONNECTION_LOST = "connection_lost"
    MESSAGE_LOST = "message_lost"
    # It accepts, and then the answer suffers.
    SERVER_ERROR_AFTER = "server_error_after"
    REPLY_LOST = "reply_lost"
    REPLY_HUNG = "reply_hung"
    REPLY_TRUNCATED = "reply_truncated"
    REPLY_SLOW = "reply_slow"
    # Its webhook suffers.
    RECEIPT_DROPPED = "receipt_dropped"
    RECEIPT_DUPLICATED = "receipt_duplicated"
    RECEIPT_DELAYED = "receipt_delayed"
    RECEIPT_REORDERED = "receipt_reordered"


RECEIPT_KINDS = frozenset(kind for kind in FaultKind if kind.startswith("receipt_"))
PARAMETERS = {
    "status": {FaultKind.SERVER_ERROR_BEFORE, FaultKind.SERVER_ERROR_AFTER},
    "code": {FaultKind.ERROR_CODE},
    "enhanced_code": {FaultKind.ERROR_CODE},
    "delay_seconds": {
        FaultKind.REPLY_SLOW,
        FaultKind.RECEIPT_DELAYED,
        FaultKind.RECEIPT_REORDERED,
    },
}


class Fault(BaseModel):
    """One thing that goes wrong, for the messages that it names; without names, for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    provider: str | None = None
    account: str | None = None
    template: str | None = None
    # As the provider writes it: a phone number as 84901234567.
    recipient: str | None = None
    # It happens to each n-th of these messages …
    every: int = Field(default=1, ge=1)
    # … with this probability …
    probability: float = Field(default=1.0, gt=0, le=1)
    # … at most this many times.
    count_max: int | None = Field(default=None, ge=1)
    status: int = Field(default=503, ge=500, le=599)
    code: int | None = None
    # Of SMTP, such as "5.1.1".
    enhanced_code: str | None = Field(default=None, pattern=r"^[245]\.\d{1,3}\.\d{1,3}$")
    delay_seconds: float = Field(default=1.0, gt=0, le=DELAY_SECONDS_MAX)

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        for name, kinds in PARAMETERS.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{self.kind} takes no {name}")
        if self.kind is FaultKind.ERROR_CODE and not self.code:
            raise ValueError("error_code takes a code other than 0")
        return self

    def concerns(self, message: Message) -> bool:
        """Say whether the message is one of those that it names."""
        return (
            self.provider in (None, message.provider)
            and self.account in (None, message.account)
            and self.template in (None, message.template)
            and self.recipient in (None, message.recipient)
        )


class FaultScript(BaseModel):
    """Faults that are put into force together.

    The same script on the same sequence of messages does the same again; `seed` decides what
    happens where a probability is below 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    faults: list[Fault] = Field(min_length=1, max_length=100)


@dataclass(slots=True)
class _Entry:
    fault: Fault
    chance: random.Random
    matched_count: int = 0
    fired_count: int = 0

    def fires(self) -> bool:
        self.matched_count += 1
        if self.matched_count % self.fault.every:
            return False
        if self.fault.probability < 1 and self.chance.random() >= self.fault.probability:
            return False
        self.fired_count += 1
        return True

    @property
    def spent(self) -> bool:
        return self.fired_count == self.fault.count_max


class FaultPlan:
    """The faults in force, in the order in which they came."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, script: FaultScript) -> None:
        """Put a script into force behind those that are there."""
        for place, fault in enumerate(script.faults):
            # A stream each, so that what one fault draws does not shift another.
            chance = random.Random(f"{script.seed}/{place}")  # noqa: S311 - repeatable, no secret
            self._entries.append(_Entry(fault, chance))

    def clear(self) -> None:
        """End all faults."""
        self._entries.clear()

    def choose_for_reply(self, message: Message) -> Fault | None:
        """Find what happens to a message and its answer: the first fault that fires."""
        return self._choose(message, of_receipt=False)

    def choose_for_receipt(self, message: Message) -> Fault | None:
        """Find what happens to the webhook of an accepted message."""
        return self._choose(message, of_receipt=True)

    def _choose(self, message: Message, *, of_receipt: bool) -> Fault | None:
        for entry in self._entries:
            fault = entry.fault
            wanted = (fault.kind in RECEIPT_KINDS) is of_receipt and not entry.spent
            if wanted and fault.concerns(message) and entry.fires():
                return fault
        return None

    def report(self) -> list[dict[str, object]]:
        """Tell of each fault how many messages it met and how often it fired."""
        return [
            {
                "kind": entry.fault.kind,
                "matched_count": entry.matched_count,
                "fired_count": entry.fired_count,
                "spent": entry.spent,
            }
            for entry in self._entries
        ]
