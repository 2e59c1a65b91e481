"""An account at a provider, and its secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libs.fields import NAME_LENGTH_MAX
from services.dispatch.domain.limits import (
    CONCURRENT_SEND_COUNT_MAX,
    CREDENTIAL_LENGTH_MAX,
    SETTING_COUNT_MAX,
    SETTING_LENGTH_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields


class Credentials(Mapping[str, str]):
    """Secrets by name. Whoever prints or logs it sees the names alone."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)

    def __getitem__(self, name: str) -> str:
        return self._secrets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"<credentials: {', '.join(sorted(self._secrets)) or 'none'}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What an account is to be; `credentials` holds the secrets that are new."""

    name: str
    channel: str
    settings: Mapping[str, str]
    credentials: Credentials
    concurrent_send_count_max: int


@dataclass(frozen=True, slots=True)
class SealedCredentials:
    """Secrets as they are stored.

    Attributes:
        names: of the secrets, sorted.
        ciphertext: the secrets under a data key of their own.
        data_key: that key under the key of the ring that key_id names.
        version: grows by one with each change.
    """

    names: tuple[str, ...]
    ciphertext: bytes
    data_key: bytes
    key_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as stored.

    Attributes:
        sealed: None where it has no secrets.
    """

    account_id: UUID
    name: str
    channel: str
    settings: Mapping[str, str]
    sealed: SealedCredentials | None
    concurrent_send_count_max: int
    updated_at: datetime

    def with_sealed(self, sealed: SealedCredentials | None) -> Account:
        """The same account with other secrets."""
        return replace(self, sealed=sealed)


def check_account(
    found: Fields,
    account: NewAccount,
    *,
    channels: Collection[str],
) -> None:
    """Note in `found` everything that is wrong with an account by itself."""
    found.name("name", account.name)
    if account.channel not in channels:
        found.refuse("channel", f"must be one of: {', '.join(sorted(channels))}")
    _check_texts(found, "settings", account.settings, SETTING_LENGTH_MAX)
    _check_texts(found, "credentials", account.credentials, CREDENTIAL_LENGTH_MAX)
    if not 1 <= account.concurrent_send_count_max <= CONCURRENT_SEND_COUNT_MAX:
        found.refuse(
            "concurrent_send_count_max", f"must be from 1 to {CONCURRENT_SEND_COUNT_MAX}, or 0"
        )


def check_complete(
    found: Fields,
    account: NewAccount,
    *,
    kept: Collection[str],
    settings: Collection[str],
    credentials: Collection[str],
) -> None:
    """Note in `found` what the channel needs and the account would lack.

    Args:
        found: where it is noted.
        account: what the account is to be.
        kept: names of the secrets that are there already.
        settings: names of the settings that the channel needs.
        credentials: names of the secrets that the channel needs.
    """
    for name in sorted(settings):
        if not account.settings.get(name):
            found.refuse(f"settings.{name}", f"is required by {account.channel}")
    for name in sorted(set(credentials) - set(account.credentials) - set(kept)):
        found.refuse(f"credentials.{name}", f"is required by {account.channel}")


def _check_texts(found: Fields, field: str, texts: Mapping[str, str], length_max: int) -> None:
    found.count(field, len(texts), SETTING_COUNT_MAX)
    for name, text in texts.items():
        # A name that nobody may use is not repeated: it could be a secret in the wrong place.
        if not name.isascii() or not name.isidentifier() or len(name) > NAME_LENGTH_MAX:
            found.refuse(
                field, f"has a name that is not 1 to {NAME_LENGTH_MAX} letters, digits and '_'"
            )
        else:
            found.text(f"{field}.{name}", text, length_max=length_max, required=True)
