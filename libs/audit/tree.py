"""The one canonical form of a recorded row, and the hash tree over the rows of an entry.

The bytes that go into a hash start with what they are, so that no leaf can pass for a node
(RFC 6962, section 2.1). A tree is over the leaves in the order of `leaf_no`.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from libs import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Enough that nobody finds a personal value by trying: the salt is erased with it.
SALT_BYTES: Final = 16
ROOT_OF_NOTHING: Final = bytes(32)

_INTEGER_MAX: Final = 2**53 - 1
LEAF: Final = b"\x00"
_NODE = b"\x01"


def canonical_row(row: Mapping[str, object]) -> bytes:
    """The bytes of a row that are hashed: its columns as one JSON object by RFC 8785.

    UUIDs become their text, times RFC 3339 in UTC with six digits of a second, bytes lower-case
    hex; a jsonb value is given as what it holds, not as its text.

    Raises:
        ValueError: a value has no canonical form: a time without zone, a number that JSON readers
            would round, another type. It names the column, never the value.
    """
    values = {column: _json_value(value) for column, value in row.items()}
    try:
        return canonical.dumps(values)
    except canonical.CanonicalError as error:
        bad = [column for column, value in values.items() if not _is_canonical(value)]
        raise ValueError(f"no canonical form: column {', '.join(bad)}") from error


def exact(value: Any) -> Any:
    """A JSON value in which numbers that JSON readers would round are told as text.

    For documents that hold people's values: one of them may be beyond 2^53.
    """
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, int) and abs(value) > _INTEGER_MAX:
        return str(value)
    return value


def leaf(salt: bytes, canonical: bytes) -> bytes:
    """The hash of one row: nothing of it can be guessed without its salt."""
    return hashlib.sha256(LEAF + salt + canonical).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash over all leaves in order; an odd one out moves up a level as it is."""
    if not leaves:
        return ROOT_OF_NOTHING
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hashlib.sha256(_NODE + left + right).digest() for left, right in pairs]
        level = above + level[len(above) * 2 :]
    return level[0]


def path(leaves: Sequence[bytes], leaf_no: int) -> list[tuple[bytes, bytes]]:
    """How a leaf leads to the root: what stands before and behind it in each hash on the way."""
    steps = []
    level, place = list(leaves), leaf_no
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            steps.append((_NODE, level[beside]) if place < beside else (_NODE + level[beside], b""))
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hashlib.sha256(_NODE + left + right).digest() for left, right in pairs]
        level = above + level[len(above) * 2 :]
        place //= 2
    return steps


def _json_value(value: object) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    return value


def _is_canonical(value: Any) -> bool:
    try:
        canonical.dumps(value)
    except canonical.CanonicalError:
        return False
    return True
