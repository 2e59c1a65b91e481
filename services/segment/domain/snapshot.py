"""A snapshot: who was in a segment at one moment, in chunks, under one digest."""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from libs.audit import tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.conditions import Condition

# As the table's CHECK and its view have it.
CHUNK_MEMBER_COUNT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot as stored.

    Attributes:
        condition: the segment's, in the version that was asked.
        digest: SHA-256 over all of it; docs/reference/snapshots.md has the form.
        taken_at: the moment; conditions read it as `now`.
    """

    snapshot_id: UUID
    segment_id: UUID
    segment_version: int
    condition: str
    member_count: int
    digest: bytes
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody in a snapshot.

    Attributes:
        position: from 0, in the order of profile_no.
        profile_id, ext_id: None if the person was erased since.
        consents: what they had consented to, as "channel.purpose".
    """

    position: int
    profile_id: UUID | None
    ext_id: str | None
    profile_version: int
    consents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a snapshot keeps of somebody: as little as that, because ten thousand wait for a chunk.

    Attributes:
        consents: channel and purpose of what is granted.
    """

    profile_no: int
    version: int
    consents: Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to CHUNK_MEMBER_COUNT members, as one row stores them."""

    chunk_no: int
    profile_nos: Sequence[int]
    profile_versions: Sequence[int]
    consent_keys: Sequence[str]
    consents: bytes


def is_member(
    condition: Condition,
    profile: Mapping[str, Any],
    granted: Collection[tuple[str, str]],
    now: datetime,
) -> bool:
    """Whether a segment's condition holds for somebody; unknown is no."""
    consents: dict[str, dict[str, str]] = {}
    for channel, purpose in granted:
        consents.setdefault(channel, {})[purpose] = "granted"
    return condition.evaluate({"profile": profile, "consent": consents, "now": now}).met


def chunk_of(chunk_no: int, members: Sequence[Chosen]) -> Chunk:
    """The row of these members, who come in the order of profile_no."""
    bitmap_bytes = (len(members) + 7) // 8
    bitmaps: dict[str, bytearray] = defaultdict(lambda: bytearray(bitmap_bytes))
    for place, member in enumerate(members):
        for channel, purpose in member.consents:
            # PostgreSQL's get_bit counts from the lowest bit of the first byte, too.
            bitmaps[f"{channel}.{purpose}"][place >> 3] |= 1 << (place & 7)
    keys = sorted(bitmaps)
    return Chunk(
        chunk_no,
        [member.profile_no for member in members],
        [member.version for member in members],
        keys,
        b"".join(bitmaps[key] for key in keys),
    )


class Digest:
    """SHA-256 over a snapshot, chunk by chunk, so that nobody ever holds the whole.

    Every part tells its length before it comes, so no two snapshots have the same bytes.

    Source: docs/reference/snapshots.md
    """

    def __init__(self, **head: object) -> None:
        """Begin with the columns that the snapshot's own row has from the start."""
        self._hash = hashlib.sha256()
        self._add(tree.canonical_row(head))

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk."""
        count = len(chunk.profile_nos)
        self._hash.update(struct.pack(">ii", chunk.chunk_no, count))
        self._hash.update(struct.pack(f">{count}q", *chunk.profile_nos))
        self._hash.update(struct.pack(f">{count}i", *chunk.profile_versions))
        self._hash.update(struct.pack(">i", len(chunk.consent_keys)))
        for key in chunk.consent_keys:
            self._add(key.encode())
        self._add(chunk.consents)

    def digest(self) -> bytes:
        """The 32 bytes over what was taken in so far."""
        return self._hash.digest()

    def _add(self, part: bytes) -> None:
        self._hash.update(struct.pack(">i", len(part)))
        self._hash.update(part)
