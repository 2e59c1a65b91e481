"""Proofs for strangers: how one recorded row leads to a signed checkpoint, by SHA-256 alone.

Every step is of one form: SHA-256 of some bytes, the value so far, and some bytes behind it. The
first value is the row in its canonical form, the last one the hash of the checkpoint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libs.audit.chain import ENTRY as ENTRY_PREFIX
from libs.audit.chain import SEAL
from libs.audit.checkpoint import Checkpoint, read_checkpoints
from libs.audit.recorded import ENTRY, NULL, RECORDED, fields_of
from libs.audit.tree import LEAF, leaf, path
from libs.audit.verify.reading import (
    QUERIES,
    copied,
    erased_leaves,
    removed_rows,
    snapshot_of,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class ProofError(Exception):
    """Why there is no proof, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that is proven.

    Attributes:
        what: "decision", "attempt 1, result", or the kind of an entry that says it all.
        row: its canonical form.
        steps: what stands before and behind the value in each hash.
        checkpoint: to which they lead.
    """

    what: str
    row: bytes
    steps: Sequence[tuple[bytes, bytes]]
    checkpoint: Checkpoint

    def as_document(self, *, with_row: bool = True) -> dict[str, Any]:
        """For strangers; docs/reference/audit.md tells them what to do with it.

        Args:
            with_row: else it starts behind the first step, of whose hash nobody finds the row by
                trying: the row's salt is in that step.
        """
        value, steps = self.row, self.steps
        if not with_row:
            (before, behind), *steps = self.steps
            value = hashlib.sha256(before + value + behind).digest()
        return {
            "what": self.what,
            **({"row": value.decode()} if with_row else {"leaf": value.hex()}),
            "steps": [[before.hex(), behind.hex()] for before, behind in steps],
            "checkpoint": self.checkpoint.as_document(),
        }


async def prove(
    dsn: str, delivery_id: UUID, *, checkpoint_files: Sequence[Path], key: Ed25519PublicKey
) -> list[Item]:
    """Everything recorded about a delivery, with its way to a checkpoint; in order of time.

    Args:
        dsn: of the auditor.
        delivery_id: which delivery.
        checkpoint_files: where the checkpoints are.
        key: whose signatures count.

    Raises:
        ProofError: there is no such delivery, or something of it cannot be proven (yet).
        OSError: a file cannot be read.
    """
    checkpoints = [
        line for line in read_checkpoints(checkpoint_files) if isinstance(line, Checkpoint)
    ]
    async with snapshot_of(dsn) as connection:
        delivery = await QUERIES.select_delivery(connection, delivery_id=delivery_id)
        if delivery is None:
            raise ProofError(await _why_not_there(connection, delivery_id))
        tenant_id = delivery["tenant_id"]
        recorded = [
            row
            async for row in QUERIES.recorded_of_delivery(
                connection,
                tenant_id=tenant_id,
                delivery_id=delivery_id,
                decision_id=delivery["decision_id"],
            )
        ]
        way = _Way(connection, tenant_id, checkpoints, key)
        return [await way.item(row["what"], row["entry_id"], row["leaf_no"]) for row in recorded]


async def _why_not_there(connection: Any, delivery_id: UUID) -> str:
    removal = await QUERIES.select_removal(connection, delivery_id=str(delivery_id))
    if removal["removed_at"] is not None:
        day = removal["removed_at"].date()
        return f"delivery {delivery_id} was removed for its age on {day}: nothing is left to prove"
    if removal["is_any"]:
        return (
            f"no tenant has a delivery {delivery_id}; it may have been removed, for its age or "
            "with its tenant: `leo audit show --kind rows_removed` tells what was, and when"
        )
    return f"no tenant has a delivery {delivery_id}"


class _Way:
    """The ways of one tenant's rows."""

    def __init__(
        self,
        connection: Any,
        tenant_id: UUID,
        checkpoints: Sequence[Checkpoint],
        key: Ed25519PublicKey,
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._checkpoints = sorted(
            (item for item in checkpoints if item.head.tenant_id == tenant_id),
            key=lambda item: item.head.seq,
        )
        self._key = key

    async def item(self, what: str, entry_id: UUID, leaf_no: int | None) -> Item:
        entry = await QUERIES.select_entry(
            self._connection, tenant_id=self._tenant_id, entry_id=entry_id
        )
        canonical = await self._canonical_entry(entry_id)
        if leaf_no is None:
            row, steps = canonical, [(ENTRY_PREFIX + entry["root"], b"")]
        else:
            row, steps = await self._in_tree(entry["recorded_table"], entry_id, leaf_no)
            steps.append((ENTRY_PREFIX, canonical))
        checkpoint = self._checkpoint(what, entry["seq"])
        steps.append((SEAL + entry["prev"], b""))
        async for later in QUERIES.select_digests(
            self._connection,
            tenant_id=self._tenant_id,
            after_seq=entry["seq"],
            last_seq=checkpoint.head.seq,
        ):
            steps.append((SEAL, later["entry_digest"]))
        value = row
        for before, behind in steps:
            value = hashlib.sha256(before + value + behind).digest()
        if value != checkpoint.head.hash:
            raise ProofError(f"{what} does not verify; `leo audit verify` says where")
        return Item(what=what, row=row, steps=steps, checkpoint=checkpoint)

    def _checkpoint(self, what: str, seq: int | None) -> Checkpoint:
        """The first signed one at or behind a seal."""
        for checkpoint in self._checkpoints:
            if (
                seq is not None
                and checkpoint.head.seq >= seq
                and checkpoint.is_signed_by(self._key)
            ):
                return checkpoint
        raise ProofError(
            f"{what} is in no signed checkpoint yet; there is one a minute, so try again"
        )

    async def _canonical_entry(self, entry_id: UUID) -> bytes:
        found: list[bytes] = []

        def take(lines: Sequence[bytes]) -> None:
            for line in lines:
                columns, *documents = fields_of(line)[10:]
                found.append(ENTRY.canonical(columns, documents))

        arguments = (self._tenant_id, entry_id, 1, 0)
        await stream(self._connection, copied("entries"), arguments, take)
        return found[0]

    async def _in_tree(
        self, table: str, entry_id: UUID, leaf_no: int
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        leaves = (await erased_leaves(self._connection, self._tenant_id)).get(str(entry_id), {})
        rows: dict[int, tuple[bytes, bytes]] = {}

        def take(lines: Sequence[bytes]) -> None:
            for line in lines:
                fields = fields_of(line)
                if fields[2] != NULL:
                    salt = bytes.fromhex(fields[2].decode())
                    rows[int(fields[1])] = salt, RECORDED[table].canonical(fields[7], fields[8:])

        arguments = (self._tenant_id, entry_id, 1, 0)
        await stream(self._connection, copied(table), arguments, take)
        if leaf_no not in rows:
            raise ProofError("the row was erased: nothing is left to be proven of it")
        removed = await removed_rows(self._connection, self._tenant_id)
        if (str(self._tenant_id), str(entry_id)) in removed.rows.get(table, {}):
            raise ProofError(
                f"other rows of entry {entry_id} were removed for their age, so that its root "
                "cannot be computed any more: nothing can be proven of those that are left"
            )
        leaves = leaves | {place: leaf(salt, row) for place, (salt, row) in rows.items()}
        if sorted(leaves) != list(range(len(leaves))):
            raise ProofError(f"rows of entry {entry_id} are missing; `leo audit verify` says more")
        salt, row = rows[leaf_no]
        ordered = [leaves[place] for place in range(len(leaves))]
        return row, [(LEAF + salt, b""), *path(ordered, leaf_no)]
