"""Recorded rows and entries: every leaf, root and digest is computed again from the columns."""

from __future__ import annotations

from binascii import unhexlify
from collections import Counter
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from libs.audit.chain import entry_digest
from libs.audit.recorded import ENTRY, NULL, fields_of
from libs.audit.tree import root
from libs.audit.verify.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libs.audit.recorded import Form
    from libs.audit.verify.findings import What
    from libs.audit.verify.reading import Removed

    # The leaves of rows that an erasure emptied, by entry and leaf_no, as sealed entries tell them.
    Erased: TypeAlias = Mapping[str, Mapping[int, bytes]]

# Of a row that has no canonical form any more: it fits no root.
_UNREADABLE: Final = b""
_TRUE: Final = b"t"


class _Tree(NamedTuple):
    """The rows of one entry, as far as they have come; a leaf is None where a finding told it."""

    tenant_id: bytes
    member_count: int
    root: bytes
    leaves: dict[int, bytes | None]
    removed: frozenset[int]


def mark(key: bytes, tenant_id: bytes, entry_id: bytes) -> int:
    """A number for an entry, by whose sums sets of entries are compared.

    Nobody who does not know the key, which is another one each time, can find two sets of one sum.
    """
    return int.from_bytes(blake2b(tenant_id + entry_id, key=key, digest_size=16).digest())


class RowsCheck:
    """Takes the rows of one table in any order, and compares the tree of each entry with its root.

    A table is read once, as it lies on the disk. The rows of an entry were written by one statement
    and lie together, so few entries are open at a time.

    Attributes:
        row_count: how many rows there were.
        seen: the sum of the marks of the entries of which there was a row, each time as many as it
            records were there.
        findings: of entries whose rows do not bear them out.
    """

    def __init__(
        self, table: str, form: Form, erased: Erased, removed: Removed, key: bytes
    ) -> None:
        self.row_count = 0
        self.seen = 0
        self.findings: list[Finding] = []
        self._table = table.encode()
        self._form = form
        self._key = key
        self._erased = erased
        self._removed = removed.rows.get(table, {})
        self._ended = {str(tenant_id).encode() for tenant_id in removed.tenant_ids}
        self._open: dict[bytes, _Tree] = {}

    def take(self, lines: Sequence[bytes]) -> None:
        """Lines of COPY's text, as the statements of queries.sql tell rows."""
        canonical, opened = self._form.canonical, self._open
        self.row_count += len(lines)
        for fields in map(fields_of, lines):
            entry_id, number, salt, table, count, its_root, tenant_id, columns = fields[:8]
            documents = fields[8:]
            if table != self._table:
                detail = "a row names it, but it is not there or records another table"
                self._find("row_unrecorded", tenant_id, entry_id, detail)
                continue
            tree = opened.get(entry_id)
            if tree is None:
                tree = self._begin(tenant_id, entry_id, int(count), its_root)
            place = -1 if number == NULL else int(number)
            if place in tree.removed:
                detail = f"row {place} was removed, and is there again"
                self._find("row_returned", tenant_id, entry_id, detail)
                if not tree.leaves:
                    # Those that are left have not come yet, or have all come.
                    del opened[entry_id]
                continue
            if place in tree.leaves:
                detail = f"two rows claim place {place}"
                self._find("rows_added", tenant_id, entry_id, detail)
                tree.leaves[place] = None
            elif salt == NULL:
                holds = self._form.holds_erasable(columns, documents)
                tree.leaves[place] = self._erased_leaf(tree, entry_id, place, holds_values=holds)
            else:
                try:
                    # As libs.audit.tree.leaf has it, without a call.
                    covered = b"\0" + unhexlify(salt) + canonical(columns, documents)
                    tree.leaves[place] = sha256(covered).digest()
                except ValueError:
                    tree.leaves[place] = _UNREADABLE
            if len(tree.leaves) + len(tree.removed) == tree.member_count:
                self._close(entry_id)

    def take_without_rows(self, tenant_id: str, entry_id: str, count: int, its_root: str) -> None:
        """An entry that records rows of this table, of which none is there."""
        self._begin(tenant_id.encode(), entry_id.encode(), count, its_root.encode())
        self._close(entry_id.encode())

    def end(self) -> None:
        """All rows were taken: what is still open lacks some, or has too many."""
        for entry_id in list(self._open):
            self._close(entry_id)

    def _begin(self, tenant_id: bytes, entry_id: bytes, count: int, its_root: bytes) -> _Tree:
        ranges = self._removed.get((tenant_id.decode(), entry_id.decode()), ())
        removed = frozenset[int]().union(*ranges)
        self.seen += mark(self._key, tenant_id, entry_id)
        tree = self._open[entry_id] = _Tree(tenant_id, count, its_root, {}, removed)
        return tree

    def _erased_leaf(
        self, tree: _Tree, entry_id: bytes, place: int, *, holds_values: bool
    ) -> bytes | None:
        kept = self._erased.get(entry_id.decode(), {}).get(place)
        if kept is None:
            detail = f"row {place} has no salt, and no sealed erasure names it"
        elif holds_values:
            detail = f"row {place} was erased, and holds values again"
        else:
            return kept
        self._find("row_erased", tree.tenant_id, entry_id, detail)
        return None

    def _close(self, entry_id: bytes) -> None:
        tree = self._open.pop(entry_id)
        if None in tree.leaves.values():
            return
        leaves = dict(self._erased.get(entry_id.decode(), {})) | tree.leaves
        left_count = tree.member_count - len(tree.removed)
        if any(not 0 <= place < tree.member_count for place in leaves):
            self._find(
                "rows_added", tree.tenant_id, entry_id, f"more than its {tree.member_count} rows"
            )
        elif len(leaves.keys() - tree.removed) < left_count:
            if tree.tenant_id not in self._ended:
                detail = f"{len(tree.leaves)} of its {left_count} rows are there"
                self._find("rows_missing", tree.tenant_id, entry_id, detail)
        elif tree.removed:
            # Without all its leaves there is no root: what is left is counted, and that is all.
            return
        elif root(_in_order(leaves)) != unhexlify(tree.root):
            detail = "its rows are not those that it recorded"
            self._find("rows_changed", tree.tenant_id, entry_id, detail)

    def _find(self, what: What, tenant_id: bytes, entry_id: bytes, detail: str) -> None:
        self.findings.append(
            Finding(
                what=what,
                tenant_id=tenant_id.decode(),
                entry_id=entry_id.decode(),
                subject=self._table.decode(),
                detail=detail,
            )
        )


class EntriesCheck:
    """Takes entries with their seals, and compares each with the digest that was sealed.

    Attributes:
        entry_count: how many entries there were.
        unsealed_count: those that wait for their seal, and not for too long.
        expected: the sum of the marks of those that record rows, by table.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.entry_count = 0
        self.unsealed_count = 0
        self.expected = Counter[str]()
        self.findings: list[Finding] = []

    def take(self, lines: Sequence[bytes]) -> None:
        """Lines of COPY's text, as `entries` of queries.sql tells them."""
        for line in lines:
            seq, sealed_tenant, sealed_entry, digest, *entry = fields_of(line)
            tenant_id, entry_id, its_root, is_late, table, count, columns, *documents = entry
            if entry_id == NULL:
                detail = "it was sealed, and is not there"
                self._find("entry_missing", sealed_tenant, sealed_entry, seq, detail)
                continue
            self.entry_count += 1
            if table != NULL and count != b"0":
                self.expected[table.decode()] += mark(self._key, tenant_id, entry_id)
            if digest == NULL:
                if is_late == _TRUE:
                    detail = "it has no seal after five seconds"
                    self._find("entry_unsealed", tenant_id, entry_id, NULL, detail)
                else:
                    self.unsealed_count += 1
                continue
            try:
                canonical = ENTRY.canonical(columns, documents)
            except ValueError:
                canonical = _UNREADABLE
            if entry_digest(unhexlify(its_root), canonical).hex().encode() != digest:
                detail = "it is not the entry that was sealed"
                self._find("entry_changed", tenant_id, entry_id, seq, detail)

    def _find(self, what: What, tenant_id: bytes, entry_id: bytes, seq: bytes, detail: str) -> None:
        self.findings.append(
            Finding(
                what=what,
                tenant_id=tenant_id.decode(),
                entry_id=entry_id.decode(),
                seq=None if seq == NULL else int(seq),
                subject="audit_entry",
                detail=detail,
            )
        )


def _in_order(leaves: Mapping[int, bytes | None]) -> list[bytes]:
    return [leaves[place] or _UNREADABLE for place in range(len(leaves))]
