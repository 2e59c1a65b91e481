"""Secrets at rest: each account's under a data key of its own, which a key of the ring wraps.

AES-256-GCM for both. The associated data says whose secrets they are, so that a row copied to
another tenant, channel or version does not open.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.dispatch.domain.account import Credentials, SealedCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class EnvelopeError(Exception):
    """Stored secrets do not open: their key is not in the ring, or they are not what was sealed."""


class KeyRing:
    """The keys that wrap data keys. It seals with the active one and opens with any."""

    __slots__ = ("_keys", "active_key_id")

    def __init__(self, keys: Mapping[str, bytes], active_key_id: str) -> None:
        assert active_key_id in keys, "the active key is one of the ring"
        assert all(len(key) == KEY_BYTES for key in keys.values()), "AES-256"
        self._keys = dict(keys)
        self.active_key_id = active_key_id

    def key(self, key_id: str) -> bytes:
        """The key of this id.

        Raises:
            EnvelopeError: it is not in the ring.
        """
        try:
            return self._keys[key_id]
        except KeyError:
            raise EnvelopeError(
                f'key "{key_id}" is not in LEO_DISPATCH_CREDENTIAL_KEYS; add it again'
            ) from None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys."""
        return tuple(self._keys)

    def hash_recipient(self, key_id: str, recipient: str) -> bytes:
        """A keyed hash of an address, 32 bytes: it can be compared, and tells nothing by itself.

        Raises:
            EnvelopeError: the key is not in the ring.
        """
        return hmac.digest(self.key(key_id), b"recipient" + recipient.encode(), "sha256")

    def hash_request(self, key_id: str, digest: bytes) -> bytes:
        """The same of the digest of a request that holds an address.

        Raises:
            EnvelopeError: the key is not in the ring.
        """
        return hmac.digest(self.key(key_id), b"request" + digest, "sha256")

    def __repr__(self) -> str:
        return f"<key ring: {', '.join(sorted(self._keys))}; active: {self.active_key_id}>"


def seal(
    credentials: Mapping[str, str],
    *,
    tenant_id: UUID,
    channel: str,
    version: int,
    key_ring: KeyRing,
) -> SealedCredentials:
    """Encrypt secrets under a new data key, wrapped by the active key of the ring."""
    key_id = key_ring.active_key_id
    whose = _associated_data(tenant_id, channel, key_id, version)
    data_key = AESGCM.generate_key(8 * KEY_BYTES)
    return SealedCredentials(
        names=tuple(sorted(credentials)),
        ciphertext=_encrypt(data_key, orjson.dumps(dict(credentials)), whose),
        data_key=_encrypt(key_ring.key(key_id), data_key, whose),
        key_id=key_id,
        version=version,
    )


def open_(
    sealed: SealedCredentials, *, tenant_id: UUID, channel: str, key_ring: KeyRing
) -> Credentials:
    """Decrypt secrets.

    Raises:
        EnvelopeError: their key is not in the ring, or they were sealed for somebody else.
    """
    whose = _associated_data(tenant_id, channel, sealed.key_id, sealed.version)
    data_key = _decrypt(key_ring.key(sealed.key_id), sealed.data_key, whose)
    return Credentials(orjson.loads(_decrypt(data_key, sealed.ciphertext, whose)))


def _associated_data(tenant_id: UUID, channel: str, key_id: str, version: int) -> bytes:
    return f"{tenant_id}|{channel}|{key_id}|{version}".encode()


def _encrypt(key: bytes, plain: bytes, whose: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, whose)


def _decrypt(key: bytes, sealed: bytes, whose: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], whose)
    except (InvalidTag, ValueError) as error:
        raise EnvelopeError("stored secrets do not open with their key") from error
