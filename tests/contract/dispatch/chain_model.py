"""What must become of chains of choices, said once more and as simply as it can be.

It shares no code with the machine: it keeps every answer of every attempt and reads from them alone
where a delivery stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Answer = Literal["accepted", "rejected", "retry_at", "unknown"]
OPEN = ("pending", "sending", "retry_wait", "outcome_unknown")
HANDS_OVER = ("failed", "suppressed", "expired")


@dataclass(slots=True)
class Attempt:
    """One call: whether the provider took the message, and what we know of it so far.

    Attributes:
        said: what the provider answers, heard or not.
        for_good: whether a no is one of the address, to all messages.
        known: None while it is under way.
    """

    took: bool
    said: Answer
    for_good: bool
    known: Answer | None = None


@dataclass(slots=True)
class Delivery:
    choice: int
    state: str = "pending"
    attempts: list[Attempt] = field(default_factory=list)
    has_receipt: bool = False

    @property
    def in_doubt(self) -> bool:
        return any(attempt.known == "unknown" for attempt in self.attempts)

    @property
    def took(self) -> bool:
        return any(attempt.took for attempt in self.attempts)

    @property
    def waits(self) -> bool:
        return self.state in {"pending", "retry_wait"}


@dataclass(slots=True)
class Chain:
    """One decision and its deliveries.

    Attributes:
        choices: the numbers of the possible choices, in order.
        knows_key: whether the provider takes the same message again for the same one.
        attempt_count_max: calls after which a failure that may pass is final.
        allowed: whether the person still agrees.
        is_worth: whether the decision still is worth carrying out.
        is_suppressed: whether nothing goes to the address, which all choices share.
    """

    choices: Sequence[int]
    knows_key: bool
    attempt_count_max: int
    allowed: bool = True
    is_worth: bool = True
    is_suppressed: bool = False
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deliveries.append(Delivery(self.choices[0]))

    @property
    def last(self) -> Delivery:
        return self.deliveries[-1]

    def claim(self) -> Delivery | None:
        """The delivery that is sent now, if any: what may not be sent ends in its place."""
        delivery = self.last
        if not self.allowed:
            self._end(delivery, "suppressed")
        elif not self.is_worth:
            self._end(delivery, "expired")
        elif self.is_suppressed:
            self._end(delivery, "suppressed")
        else:
            delivery.state = "sending"
            return delivery
        return None

    def give_up(self) -> None:
        """It could not be prepared."""
        self._end(self.last, "dead_letter")

    def hear(self, delivery: Delivery, attempt: Attempt, answer: Answer) -> None:
        """An answer, or that there was none in time; the first definite one counts."""
        if attempt.known not in {None, "unknown"} or attempt.known == answer:
            return
        attempt.known = answer
        self.is_suppressed |= answer == "rejected" and attempt.for_good
        if delivery.attempts[-1].known is None or delivery.state not in OPEN:
            return
        self._settle(delivery)

    def receive(self, delivery: Delivery) -> None:
        """The provider says that it delivered the message."""
        delivery.has_receipt = True
        if delivery.state == "outcome_unknown":
            delivery.state = "accepted"

    def _settle(self, delivery: Delivery) -> None:
        known = [attempt.known for attempt in delivery.attempts]
        doubt = "unknown" in known
        again = (
            known[-1] != "rejected"
            and len(known) < self.attempt_count_max
            and (self.knows_key or not doubt)
            and self.is_worth
        )
        if "accepted" in known:
            delivery.state = "accepted"
        elif again:
            delivery.state = "retry_wait"
        else:
            self._end(delivery, "failed")

    def _end(self, delivery: Delivery, state: str) -> None:
        if delivery.in_doubt:
            delivery.state = "accepted" if delivery.has_receipt else "outcome_unknown"
            return
        delivery.state = state
        if state in HANDS_OVER and self.is_worth:
            for choice in self.choices:
                if choice > delivery.choice:
                    self.deliveries.append(Delivery(choice))
                    return
