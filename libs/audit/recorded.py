"""The tables whose rows the audit records, and how a stored row becomes what its leaf covers.

PostgreSQL writes the columns of a row, sorted by name, as JSON of which every byte is canonical
(`verify/queries.sql`): text, whole numbers, null, and times as text. Documents (jsonb) come beside
it, because their keys and fractions are not, and are put in their places here. The services that
write the rows hash the same; their tests verify what they wrote.

A column that is covered from some later version on goes into `later`: where it is NULL it is left
out, so that rows from before verify.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from libs import canonical
from libs.audit.tree import exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NULL: Final = b"\\N"

_COMMON_LENGTH: Final = 300
_ESCAPE: Final = re.compile(rb"\\([^N])", re.DOTALL)
_LETTERS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# It begins with the point because a search for one leading character is the fast kind.
_FRACTION: Final = re.compile(rb"\.\d+(?:[,\]}]|$)")
# Digits, and what begins a character beyond the basic plane in UTF-8, as one byte each.
_BEYOND: Final = 0xF0
_KINDS: Final = bytes(
    ord("0") if byte in b"0123456789" else _BEYOND if byte >= _BEYOND else 0 for byte in range(256)
)


@dataclass(frozen=True, slots=True)
class Form:
    """What the canonical form of a table's rows needs beside the columns that SQL names.

    Attributes:
        documents: the jsonb columns in their order, each with the column that follows it.
        erasable: the columns that an erasure nulls, together with the salt.
        later: see the module.
    """

    documents: Mapping[str, str]
    erasable: Sequence[str] = ()
    later: Sequence[str] = ()
    # Where each document belongs and what stands before it, and what is left out, as written.
    _marks: Sequence[tuple[bytes, bytes]] = field(init=False)
    _left_out: Sequence[bytes] = field(init=False)

    def __post_init__(self) -> None:
        marks = [
            (f',"{follower}":'.encode(), f',"{name}":'.encode())
            for name, follower in self.documents.items()
        ]
        object.__setattr__(self, "_marks", marks[::-1])
        left_out = [f',"{name}":null'.encode() for name in self.later]
        object.__setattr__(self, "_left_out", left_out)

    def canonical(self, columns: bytes, documents: Sequence[bytes]) -> bytes:
        """The canonical form of one row.

        Args:
            columns: as JSON, without the documents.
            documents: as PostgreSQL writes them; NULL where one is null.

        Raises:
            ValueError: a document has no canonical form, which no service would have stored.
        """
        for left_out in self._left_out:
            columns = columns.replace(left_out, b"")
        # From behind, because what stands in a document may look like a column: a place is looked
        # for before any of them. A quote within a text is escaped, so it is found where it is.
        for (follower, name), document in zip(self._marks, reversed(documents), strict=True):
            written = name + canonical_document(document) + follower
            columns = columns.replace(follower, written, 1)
        return columns

    def holds_erasable(self, columns: bytes, documents: Sequence[bytes]) -> bool:
        """Whether a column that an erasure nulls is not null."""
        held = dict(zip(self.documents, documents, strict=True))
        return any(
            held[name] != NULL if name in held else b'"%b":null' % name.encode() not in columns
            for name in self.erasable
        )


def fields_of(line: bytes) -> list[bytes]:
    """The columns of a line of COPY's text; NULL stays as it is written."""
    fields = line.split(b"\t")
    if b"\\" in line:
        return [field if field == NULL else _ESCAPE.sub(_unescaped, field) for field in fields]
    return fields


def _unescaped(escape: re.Match[bytes]) -> bytes:
    letter = escape.group(1)
    return _LETTERS.get(letter, letter)


def canonical_document(text: bytes) -> bytes:
    """The canonical form of a jsonb value as PostgreSQL writes it; NULL is null.

    Raises:
        ValueError: it has none.
    """
    if text == NULL:
        return b"null"
    return _common_document(text) if len(text) < _COMMON_LENGTH else _canonical(text)


def _canonical(text: bytes) -> bytes:
    document = orjson.loads(text)
    # orjson, told to sort keys, writes the canonical bytes, unless there are numbers with a
    # fraction or of sixteen digits, or characters beyond the basic plane, which UTF-8 and UTF-16
    # sort differently. What only looks so, within a text, costs a little time. PostgreSQL writes
    # numbers without an exponent, and a comma or a bracket behind them.
    kinds = text.translate(_KINDS)
    if b"0" * 16 in kinds or b"\xf0" in kinds or _FRACTION.search(text):
        return canonical.dumps(exact(document))
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


# Short documents, such as the choices of a rule, are the same for many rows.
_common_document = lru_cache(maxsize=1024)(_canonical)


# By name, as audit_entry.recorded_table has it.
RECORDED: Final[Mapping[str, Form]] = {
    "decision": Form({"choices": "cooldown_us", "inputs": "not_before"}, erasable=("inputs",)),
    "delivery_attempt": Form({}),
    "profile_consent_version": Form({}, erasable=("evidence",)),
}
ENTRY: Final = Form({"details": "entry_id"})
