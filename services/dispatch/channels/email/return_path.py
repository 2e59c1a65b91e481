"""Where the mail system reports: an address of each delivery's own, which nobody can make up.

Variable envelope return path (VERP): "bounces@shop.vn" becomes "bounces+<tag>@shop.vn". The tag is
the delivery's id and a part of an HMAC over it, in base32, because local parts have at most 64
characters and some servers change their case.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID_BYTES: Final = 16
# 80 bits, which nobody guesses.
_PROOF_BYTES: Final = 10
_TAG_LENGTH: Final = 42
# Source: RFC 5321, 4.5.3.1.1
_LOCAL_PART_LENGTH_MAX: Final = 64
NAME_LENGTH_MAX: Final = _LOCAL_PART_LENGTH_MAX - _TAG_LENGTH - len("+")
_TAG: Final = re.compile(rf"\+([a-z2-7]{{{_TAG_LENGTH}}})@", re.ASCII | re.IGNORECASE)


def return_path_of(delivery_id: UUID, settings: Mapping[str, str], key: str) -> str:
    """The return path of a delivery, in an account with this `bounce_key`."""
    name, _, domain = settings["return_path"].rpartition("@")
    tag = base64.b32encode(delivery_id.bytes + _proof_of(delivery_id.bytes, key))
    return f"{name}+{tag.decode().rstrip('=').lower()}@{domain}"


def delivery_of(addresses: str, key: str) -> UUID | None:
    """The delivery whose return path is among addresses; None where none is proven."""
    for found in _TAG.finditer(addresses):
        tag = base64.b32decode(found[1].upper() + "=" * (-len(found[1]) % 8))
        identity, proof = tag[:_ID_BYTES], tag[_ID_BYTES:]
        if hmac.compare_digest(proof, _proof_of(identity, key)):
            return UUID(bytes=identity)
    return None


def _proof_of(identity: bytes, key: str) -> bytes:
    return hmac.digest(key.encode(), b"return path" + identity, "sha256")[:_PROOF_BYTES]
