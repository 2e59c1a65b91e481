"""A delivery: one message to one person by one channel, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

State = Literal[
    "pending",
    "sending",
    "accepted",
    "retry_wait",
    "failed",
    "suppressed",
    "expired",
    "cancelled",
    "outcome_unknown",
    "closed_unknown",
    "dead_letter",
]
STATES: Final[tuple[State, ...]] = get_args(State)
# As whom dispatch has in the audit what nobody called for.
ACTOR: Final = "dispatch"
# What receipts say of a message, as far as it got; the order in which they come does not matter.
REACHED: Final = ("sent", "delivered", "read", "clicked")
ReceiptKind = Literal[
    "sent", "delivered", "read", "clicked", "bounced", "complained", "failed", "other"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the ways that a decision found possible.

    Attributes:
        number: its position in the rule's order, from 0.
        recipient_ref: address kind and place within the profile version, such as "phone:0".
    """

    number: int
    channel: str
    purpose: str
    template_id: UUID
    account_id: UUID
    recipient_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What dispatch reads of a decision that acts.

    Attributes:
        choices: the possible ways, the best first; never empty.
        not_before: None where it may go at once.
    """

    decision_id: UUID
    profile_id: UUID
    profile_version: int
    choices: Sequence[Choice]
    not_before: datetime | None
    expires_at: datetime

    def choice_after(self, number: int) -> Choice | None:
        """The next possible way behind the one at this position of the rule's order."""
        return next((choice for choice in self.choices if choice.number > number), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery as it is now.

    Attributes:
        follows: the delivery of an earlier choice whose end brought this one; None for a first one.
        reached: the best of REACHED that receipts say; empty without any.
        not_before: when its turn comes, while it waits; else None.
    """

    delivery_id: UUID
    decision_id: UUID
    step: int
    choice: int
    follows: UUID | None
    channel: str
    account_id: UUID
    template_id: UUID
    profile_id: UUID
    state: State
    reason: str
    attempt_count: int
    reached: str
    provider_message_id: str
    not_before: datetime | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One phase of handing a delivery to its provider; an intent has no kind."""

    attempt: int
    phase: str
    kind: str | None
    provider_class: str
    provider_code: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a provider said later, as stored."""

    kind: str
    occurred_at: datetime | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRequest:
    """A provider's request, of which nothing is known to be true yet.

    Attributes:
        account_id: of whom it claims to speak.
        headers: by their names in lower case.
    """

    account_id: UUID
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """What a provider says later, with its signature checked.

    Attributes:
        digest: SHA-256 of the body and the place in it: the same again is known.
        delivery_id: what the provider names; None where it names nothing of the kind.
        provider_message_id: the provider's own id, or empty.
        occurred_at: by the provider's clock.
        suppresses_recipient: whether nothing more is to be sent to where the delivery went.
    """

    digest: bytes
    kind: ReceiptKind
    delivery_id: UUID | None
    provider_message_id: str
    occurred_at: datetime | None
    suppresses_recipient: bool


def choice_of(document: Mapping[str, Any]) -> Choice:
    """A choice from the JSON of decision.choices."""
    return Choice(
        number=document["choice"],
        channel=document["channel"],
        purpose=document["purpose"],
        template_id=UUID(document["template_id"]),
        account_id=UUID(document["account_id"]),
        recipient_ref=document["recipient_ref"],
    )


def dedupe_key_of(tenant_id: UUID, decision_id: UUID, *, step: int, choice: Choice) -> bytes:
    """What a delivery is known by: SHA-256 over the length-prefixed parts of its identity."""
    parts = (
        tenant_id.bytes,
        decision_id.bytes,
        str(step).encode(),
        str(choice.number).encode(),
        choice.channel.encode(),
        choice.recipient_ref.encode(),
    )
    prefixed = (len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(b"".join(prefixed)).digest()


def receipt_digest_of(body: bytes, index: int) -> bytes:
    """What a receipt is known by: SHA-256 over the body and its place in it."""
    return hashlib.sha256(body + index.to_bytes(4, "big")).digest()
