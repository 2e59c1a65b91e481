"""The provider's own count: one line for each message that was accepted, written before the answer.

Each line is written by one write(2) to a file that is only ever appended to. So a process that is
killed leaves a line for every acceptance that somebody may have heard of, and none that is broken.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a provider is asked to send, in words that all of them share."""

    provider: str
    account: str
    # The sender's own name for the delivery, which the provider's receipts repeat.
    reference: str
    recipient: str
    template: str


class WitnessRow(BaseModel):
    """One acceptance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accepted_at: datetime
    provider: str
    account: str
    reference: str
    recipient_hash: str
    template: str
    message_id: str


class WitnessLog:
    """Writes the acceptances; `recipient_key` makes the hashes that stand for recipients."""

    def __init__(self, path: Path, recipient_key: SecretStr) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._recipient_key = recipient_key.get_secret_value().encode()

    def record(self, message: Message, message_id: str) -> None:
        """Write one acceptance; it is there when this returns.

        Raises:
            OSError: it could not be written, so the message must not be accepted.
        """
        row = {
            "accepted_at": datetime.now(UTC),
            "provider": message.provider,
            "account": message.account,
            "reference": message.reference,
            "recipient_hash": hash_recipient(self._recipient_key, message.recipient),
            "template": message.template,
            "message_id": message_id,
        }
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        if os.write(self._descriptor, line) != len(line):
            raise OSError("the witness log was written in part only; is the disk full?")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def hash_recipient(key: bytes, recipient: str) -> str:
    """Hash a recipient with a key: a bare hash of a phone number is soon guessed."""
    return hmac.new(key, recipient.encode(), hashlib.sha256).hexdigest()


def read_witness(path: Path) -> Iterator[WitnessRow]:
    """Read the acceptances in their order; a file that is not there yet has none.

    A last line without its end is still being written and is left for the next time.

    Raises:
        ValueError: a line is no acceptance; the text names it by its number.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield WitnessRow.model_validate_json(line)
            except ValidationError:
                raise ValueError(f"{path}, line {number} is no acceptance") from None


def count_by_reference(path: Path) -> Counter[str]:
    """Count the acceptances of each delivery; more than 1 is a message that was sent twice."""
    return Counter(row.reference for row in read_witness(path))
