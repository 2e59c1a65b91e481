"""What a link says, and how it is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

if TYPE_CHECKING:
    from collections.abc import Sequence

# Far more than the longest ext_id takes.
TOKEN_LENGTH_MAX: Final = 2048


class LinkInvalidError(Exception):
    """A token is none that was sealed with one of the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What a person withdraws by a link.

    Attributes:
        ext_id: of the person; it may be a phone number. Never printed.
        delivery_id: the message that carried the link.
    """

    tenant_id: UUID
    ext_id: str
    channel: str
    purpose: str
    delivery_id: UUID

    def __repr__(self) -> str:
        return f"<withdrawal of {self.channel}, {self.purpose}, from delivery {self.delivery_id}>"


class UnsubscribeLinks:
    """Makes links and reads them.

    Tokens are Fernet's (AES-128-CBC and HMAC-SHA-256): nobody reads or changes them. They do not
    run out: people unsubscribe by messages of long ago. They end with the key that sealed them.
    """

    def __init__(self, keys: Sequence[bytes], url: str) -> None:
        """Take keys and address.

        Args:
            keys: the first one seals, all of them open.
            url: of the door, to which "/" and the token are appended.
        """
        self._seal = MultiFernet([Fernet(key) for key in keys])
        self._url = url.rstrip("/")

    def url_of(self, withdrawal: Withdrawal) -> str:
        """The link by which a person withdraws this."""
        said = orjson.dumps(
            [
                str(withdrawal.tenant_id),
                withdrawal.ext_id,
                withdrawal.channel,
                withdrawal.purpose,
                str(withdrawal.delivery_id),
            ]
        )
        return f"{self._url}/{self._seal.encrypt(said).decode()}"

    def read(self, token: str) -> Withdrawal:
        """What a link says.

        Raises:
            LinkInvalidError: none of the keys sealed it.
        """
        if len(token) > TOKEN_LENGTH_MAX or not token.isascii():
            raise LinkInvalidError
        try:
            said = self._seal.decrypt(token)
        except InvalidToken as error:
            raise LinkInvalidError from error
        tenant_id, ext_id, channel, purpose, delivery_id = orjson.loads(said)
        return Withdrawal(
            tenant_id=UUID(tenant_id),
            ext_id=ext_id,
            channel=channel,
            purpose=purpose,
            delivery_id=UUID(delivery_id),
        )
