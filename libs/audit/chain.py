"""The chain over the entries of a tenant: what each seal's hash covers.

    digest = SHA-256(0x02 || root || canonical entry without its root)
    hash   = SHA-256(0x03 || hash of the seal before || digest)

The first seal stands behind 32 zero bytes. With the leaves and nodes of the tree (0x00 and 0x01) no
hash of one kind can pass for one of another, and every step from a recorded row to a seal is of the
same form: SHA-256 of something before, the value so far, and something behind it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from libs.audit.tree import canonical_row

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING_BEFORE: Final = bytes(32)
ENTRY: Final = b"\x02"
SEAL: Final = b"\x03"
# What of an entry is hashed as its canonical form; the root stands beside it as bytes.
ENTRY_COLUMNS: Final = (
    "tenant_id",
    "entry_id",
    "kind",
    "actor",
    "call_id",
    "recorded_table",
    "member_count",
    "details",
    "created_at",
)


def canonical_entry(entry: Mapping[str, object]) -> bytes:
    """The canonical form of an entry; `details` is given as what it holds, not as its text."""
    return canonical_row({column: entry[column] for column in ENTRY_COLUMNS})


def entry_digest(root: bytes, canonical: bytes) -> bytes:
    """The hash of an entry, from its root and its canonical form."""
    return hashlib.sha256(ENTRY + root + canonical).digest()


def seal_hash(prev: bytes, digest: bytes) -> bytes:
    """The hash of a seal, from the hash of the seal before and the digest of its entry."""
    return hashlib.sha256(SEAL + prev + digest).digest()
