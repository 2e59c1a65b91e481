"""The chain: every seal's hash is computed again, in one pass, and met by the checkpoints."""

from __future__ import annotations

import struct
from collections import defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import UUID

from libs.audit.chain import NOTHING_BEFORE, SEAL
from libs.audit.verify.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from libs.audit.checkpoint import Checkpoint

# COPY's binary form: a signature, flags and the length of an empty extension, then rows of a count
# of fields and, for each field, its length and its bytes; at the end a count of -1.
_HEADER_BYTES: Final = 19
_ROW: Final = struct.Struct(">h i16s iq i16s i32s i32s i32s")
_FORM: Final = (6, 16, 8, 16, 32, 32, 32)


class ChainCheck:
    """Follows the chains of all tenants, in the order of tenant and seq.

    Attributes:
        seal_count, tenant_count: how many there were.
        findings: at the places where a chain is broken.
    """

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self.seal_count = 0
        self.tenant_count = 0
        self.findings: list[Finding] = []
        self._expected: dict[bytes, dict[int, list[Checkpoint]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for checkpoint in checkpoints:
            head = checkpoint.head
            self._expected[head.tenant_id.bytes][head.seq].append(checkpoint)
        self._met: set[int] = set()
        self._last_seqs: dict[bytes, int] = {}
        self._rest = b""
        self._is_begun = False
        self._is_lost = False
        self._tenant = b""
        self._seq = 0
        self._hash = NOTHING_BEFORE

    def take(self, data: bytes) -> None:
        """The next bytes of COPY's binary form of tenant_id, seq, entry_id, digest, prev, hash."""
        if self._is_lost:
            return
        buffer = self._rest + data
        if not self._is_begun:
            if len(buffer) < _HEADER_BYTES:
                self._rest = buffer
                return
            buffer, self._is_begun = buffer[_HEADER_BYTES:], True
        whole = len(buffer) // _ROW.size * _ROW.size
        self._rest = buffer[whole:]
        self._follow(buffer[:whole])

    def _follow(self, rows: bytes) -> None:
        tenant, seq, last = self._tenant, self._seq, self._hash
        expected = self._expected.get(tenant, {})
        for row in _ROW.iter_unpack(rows):
            (count, l_tenant, of, l_seq, number, l_entry, entry) = row[:7]
            l_digest, digest, l_prev, prev, l_found, found = row[7:]
            if (count, l_tenant, l_seq, l_entry, l_digest, l_prev, l_found) != _FORM:
                self._lose(tenant, seq)
                break
            if of != tenant:
                if tenant:
                    self._last_seqs[tenant] = seq
                tenant, seq, last = of, 0, NOTHING_BEFORE
                expected = self._expected.get(tenant, {})
                self.tenant_count += 1
            seq += 1
            if number != seq or prev != last or sha256(SEAL + prev + digest).digest() != found:
                self._find(of, (seq, number), entry, is_linked=prev == last)
                seq = number
            last = found
            if number in expected:
                self._met.update(
                    id(checkpoint)
                    for checkpoint in expected[number]
                    if checkpoint.head.hash == found
                )
        self.seal_count += len(rows) // _ROW.size
        self._tenant, self._seq, self._hash = tenant, seq, last
        if tenant:
            self._last_seqs[tenant] = seq

    def _lose(self, tenant: bytes, seq: int) -> None:
        """A hash is not of 32 bytes, which the table's checks refuse: nothing can be read on."""
        self._is_lost = True
        self.findings.append(
            Finding(
                what="seal_changed",
                tenant_id=str(UUID(bytes=tenant)) if tenant else "",
                seq=seq + 1,
                detail="a hash is not of 32 bytes: from here on the seals cannot be read",
            )
        )

    def _find(self, tenant: bytes, seqs: tuple[int, int], entry: bytes, *, is_linked: bool) -> None:
        expected, number = seqs
        where = {"tenant_id": str(UUID(bytes=tenant)), "entry_id": str(UUID(bytes=entry))}
        if number != expected:
            self.findings.append(
                Finding(
                    what="seal_missing",
                    tenant_id=where["tenant_id"],
                    seq=expected,
                    detail=f"seals {expected} to {number - 1} are not there",
                )
            )
        elif is_linked:
            detail = "its hash is not the one of what it seals"
            self.findings.append(Finding(what="seal_changed", seq=number, detail=detail, **where))
        else:
            detail = "it does not stand behind the hash of the seal before"
            self.findings.append(Finding(what="seal_unlinked", seq=number, detail=detail, **where))

    def end(self, key: Ed25519PublicKey | None) -> None:
        """Compare with the checkpoints, once all seals were taken.

        A chain that has the hash of a signed checkpoint is, up to there, the one that was signed:
        so of those that fit, only the newest one's signature is looked at.

        Args:
            key: whose signatures count; without one, no checkpoint does.
        """
        for tenant, by_seq in self._expected.items():
            checkpoints = [item for seq in sorted(by_seq) for item in by_seq[seq]]
            differing = [item for item in checkpoints if id(item) not in self._met]
            fitting = [item for item in checkpoints if id(item) in self._met]
            for newest in reversed(fitting):
                if key is not None and newest.is_signed_by(key):
                    break
                self._unsigned(newest)
            for item in differing:
                if key is not None and item.is_signed_by(key):
                    before = max(
                        (fit.head.seq for fit in fitting if fit.head.seq < item.head.seq), default=0
                    )
                    self._differs(item, before, self._last_seqs.get(tenant, 0))
                    break
                self._unsigned(item)

    def _unsigned(self, checkpoint: Checkpoint) -> None:
        self.findings.append(
            Finding(
                what="checkpoint_unsigned",
                tenant_id=str(checkpoint.head.tenant_id),
                seq=checkpoint.head.seq,
                subject=checkpoint.place,
                detail="the line is not signed by the key that was given",
            )
        )

    def _differs(self, checkpoint: Checkpoint, before: int, last_seq: int) -> None:
        head = checkpoint.head
        if head.seq > last_seq:
            seq, is_what = last_seq + 1, f"it ends at seal {last_seq}"
        else:
            seq, is_what = before + 1, "it was made anew"
        self.findings.append(
            Finding(
                what="checkpoint_differs",
                tenant_id=str(head.tenant_id),
                seq=seq,
                subject=checkpoint.place,
                detail=f"from seal {before + 1} to {head.seq} the chain is not the one of the "
                f"checkpoint of {checkpoint.time}: {is_what}",
            )
        )
