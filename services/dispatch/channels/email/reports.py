"""What the mail system reports of a message to its return path (RFC 3461 to 3464).

And what a mailbox provider reports of a person who called it spam (RFC 5965), which goes wherever
the provider was told to send it, and names the return path inside.
"""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from services.dispatch.channels.contract import ReceivedReceipt
from services.dispatch.channels.email.replies import SUPPRESSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message as Mail
    from uuid import UUID

    from services.dispatch.domain.delivery import ReceiptKind

MESSAGE_ID_LENGTH_MAX: Final = 128
# Where a report says to whom it goes: our mail server's word for it, and the report's own.
ADDRESS_HEADERS: Final = ("X-Original-To", "Delivered-To", "To")

DELIVERY_STATUS: Final = "message/delivery-status"
COMPLAINT: Final = "message/feedback-report"

# By the action of RFC 3464, 2.3.3.
KINDS: Final[Mapping[str, ReceiptKind]] = {
    "delivered": "delivered",
    # Handed on to a system that reports no further.
    "relayed": "other",
    "expanded": "other",
    # Not yet; what becomes of it is another report's to say.
    "delayed": "other",
}
# The first number of a status (RFC 3463): for good, or no longer tried.
FAILURE_KINDS: Final[Mapping[str, ReceiptKind]] = {"5": "bounced", "4": "failed"}


def addresses_of(mail: Mail) -> str:
    """Every address that a report names as its own, or as the return path of what it is about."""
    return " ".join(
        [
            *(str(value) for name in ADDRESS_HEADERS for value in mail.get_all(name, failobj=[])),
            *(_field_of(block, "Original-Mail-From") for block in _blocks_of(mail, COMPLAINT)),
        ]
    )


def read_mail(body: bytes) -> Mail:
    """Any bytes as a mail; what is none has no headers."""
    return email.message_from_bytes(body, policy=email.policy.compat32)


def receipts_of(mail: Mail, delivery_id: UUID) -> list[ReceivedReceipt]:
    """What a report says of a delivery: that the mail system has it, and then what became of it.

    An absence notice, or any other mail to the return path, says the first alone: nobody else knows
    that address.
    """
    message_id = _message_id_of(mail)
    sent = ReceivedReceipt(
        kind="sent",
        delivery_id=delivery_id,
        provider_message_id=message_id,
        occurred_at=None,
    )
    kind, suppresses_recipient = _fate_of(mail)
    fate = ReceivedReceipt(
        kind=kind,
        delivery_id=delivery_id,
        provider_message_id=message_id,
        occurred_at=_time_of(mail),
        suppresses_recipient=suppresses_recipient,
    )
    return [sent, fate]


def _fate_of(mail: Mail) -> tuple[ReceiptKind, bool]:
    """What became of it, and whether nothing more is to be sent to where it went."""
    for block in _blocks_of(mail, COMPLAINT):
        # Of the others, "not-spam" takes a complaint back, and "virus" or "fraud" are about us.
        if _field_of(block, "Feedback-Type").lower() == "abuse":
            return "complained", True
    for block in _blocks_of(mail, DELIVERY_STATUS):
        action = _field_of(block, "Action").lower()
        if action == "failed":
            status = _field_of(block, "Status")
            return FAILURE_KINDS.get(status[:1], "bounced"), status in SUPPRESSING
        if action in KINDS:
            return KINDS[action], False
    return "other", False


def _blocks_of(mail: Mail, content_type: str) -> Iterator[Mail]:
    """The blocks of fields in the parts of a report that a machine reads.

    Of a delivery's status that is one for the message, then one for each recipient; ours have one.
    """
    if mail.get_content_type() == "multipart/report":
        for part in mail.walk():
            if part.get_content_type() == content_type:
                yield from part.walk()


def _message_id_of(mail: Mail) -> str:
    """The name of the message that a report is about; empty where it does not bring it back."""
    for part in mail.walk():
        if part is mail:
            continue
        headers = part
        if part.get_content_type() == "text/rfc822-headers":
            text = part.get_payload(decode=True)
            headers = read_mail(text if isinstance(text, bytes) else b"")
        found = _field_of(headers, "Message-ID")
        if 0 < len(found) <= MESSAGE_ID_LENGTH_MAX and found.isascii() and found.isprintable():
            return found
    return ""


def _field_of(block: Mail, name: str) -> str:
    # A comment may stand behind a status.
    return str(block.get(name, "")).split("(")[0].strip()


def _time_of(mail: Mail) -> datetime | None:
    try:
        found = parsedate_to_datetime(str(mail.get("Date", "")))
    except ValueError:
        return None
    # Without a zone it is UTC: "-0000" says that nothing is said about where the clock stood.
    return found if found.tzinfo else found.replace(tzinfo=UTC)
