"""A suppression: nothing is sent by a channel to one address, whatever its person allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from services.dispatch.domain.delivery import ReceiptKind

Cause = Literal["bounced", "complained", "rejected", "requested"]
Source = Literal["delivery", "receipt", "call"]

# What a person reads at a delivery that was not sent for it.
IN_WORDS: Final[Mapping[Cause, str]] = {
    "bounced": "an earlier message to this address came back",
    "complained": "the person complained about an earlier message",
    "rejected": "the provider refuses this address for good",
    "requested": "somebody asked that nothing be sent to this address",
}
# By what a receipt says of a message; of its recipient, the channel knows.
RECEIPT_CAUSES: Final[Mapping[ReceiptKind, Cause]] = {
    "bounced": "bounced",
    "complained": "complained",
    "failed": "rejected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom a call is about: an address in its normal form, or a person by ext_id."""

    channel: str
    address: str | None = field(default=None, repr=False)
    profile_ext_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A suppression as stored, without the hash of its address.

    Attributes:
        delivery_id: what was answered, or what the receipt is about; None for a call.
        lifted_at: None while it is in force.
    """

    suppression_id: UUID
    channel: str
    cause: Cause
    source: Source
    delivery_id: UUID | None
    created_at: datetime
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True)
class BadRecipient:
    """What the provider said of the recipient of one delivery."""

    delivery_id: UUID
    cause: Cause
