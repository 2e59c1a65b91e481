"""One verification: everything in one snapshot of the database, the heavy part on every core."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from libs.audit.checkpoint import Checkpoint, read_checkpoints
from libs.audit.recorded import RECORDED
from libs.audit.verify.definitions import wrong_definitions
from libs.audit.verify.findings import Finding, in_order
from libs.audit.verify.reading import (
    QUERIES,
    WHOLE_TABLES,
    Progress,
    copied,
    erased_leaves,
    removed_rows,
    snapshot_of,
    stream,
)
from libs.audit.verify.rows import EntriesCheck, RowsCheck
from libs.audit.verify.seals import ChainCheck

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was verified.

    Attributes:
        rows: recorded rows, by table.
        unsealed: entries that wait for their seal.
        checkpoints: that were compared.
        chain_seconds: for the seals; the rest is for entries and rows.
    """

    tenants: int
    seals: int
    entries: int
    rows: dict[str, int]
    unsealed: int
    checkpoints: int
    chain_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification came to.

    Attributes:
        findings: by tenant and place in the chain; empty if everything verifies.
    """

    checked: Checked
    findings: list[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one process verifies: the entries whose id ends so, and their rows."""

    dsn: str
    tenant_id: UUID | None
    snapshot: str | None
    part: int
    part_count: int
    key: bytes


@dataclass(slots=True)
class _PartResult:
    entry_count: int = 0
    unsealed_count: int = 0
    row_counts: dict[str, int] = field(default_factory=dict)
    # Sums of marks, by table: of entries that record rows, and of those of which some were seen.
    expected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


async def verify(
    dsn: str,
    *,
    tenant_id: UUID | None = None,
    checkpoint_files: Sequence[Path] = (),
    key: Ed25519PublicKey | None = None,
    process_count: int = 1,
    progress: Progress | None = None,
) -> Verification:
    """Compute everything again, from the recorded rows to the checkpoints.

    It sees the database as it is at one moment, which may go on working meanwhile.

    Shapes: streams; holds the checkpoints, the leaves of entries of which some rows are still to
    come, and what it finds.

    Args:
        dsn: of the auditor.
        tenant_id: of this tenant alone.
        checkpoint_files: compared with the chains.
        key: whose signatures count; without one no checkpoint does.
        process_count: for entries and rows; with one, all is done here.
        progress: counts along; `shared` where there are more processes.

    Raises:
        OSError: a file cannot be read.
        asyncpg.PostgresError: the database is away, or is none of ours.
    """
    progress = progress or Progress(shared=process_count > 1)
    # Before the snapshot: whatever is in a file was committed by then.
    checkpoints, findings = _read(checkpoint_files, tenant_id)
    started = time.monotonic()
    async with snapshot_of(dsn, settings=WHOLE_TABLES) as connection:
        snapshot = await QUERIES.export_snapshot(connection)
        chain = ChainCheck(checkpoints)

        async def take(data: bytes) -> None:
            before = chain.seal_count
            chain.take(data)
            progress.add(chain.seal_count - before)

        await connection.copy_from_query(copied("seals"), tenant_id, output=take, format="binary")
        chain.end(key)
        chain_seconds = time.monotonic() - started
        marking = os.urandom(16)
        parts = [
            _Part(
                dsn=dsn,
                tenant_id=tenant_id,
                snapshot=snapshot,
                part=part,
                part_count=process_count,
                key=marking,
            )
            for part in range(process_count)
        ]
        work = _in_processes(parts, progress) if process_count > 1 else _here(parts, progress)
        # What one statement finds is looked for meanwhile.
        results, beside = await asyncio.gather(work, _beside_rows(connection, tenant_id))
        findings += chain.findings
        for result in results:
            findings += result.findings
        findings += beside
        findings += await _without_rows(connection, tenant_id, results)
        findings = await _with_seqs(connection, findings)
    rows = {name: sum(result.row_counts[name] for result in results) for name in RECORDED}
    checked = Checked(
        tenants=chain.tenant_count,
        seals=chain.seal_count,
        entries=sum(result.entry_count for result in results),
        rows=rows,
        unsealed=sum(result.unsealed_count for result in results),
        checkpoints=len(checkpoints),
        chain_seconds=chain_seconds,
        seconds=time.monotonic() - started,
    )
    return Verification(checked, in_order(findings))


def _read(files: Sequence[Path], tenant_id: UUID | None) -> tuple[list[Checkpoint], list[Finding]]:
    checkpoints, findings = [], []
    for line in read_checkpoints(files):
        if isinstance(line, str):
            detail = "the line is no checkpoint"
            findings.append(Finding(what="checkpoint_unreadable", subject=line, detail=detail))
        elif tenant_id in (None, line.head.tenant_id):
            checkpoints.append(line)
    return checkpoints, findings


async def _verify_part(part: _Part, progress: Progress) -> _PartResult:
    result = _PartResult()
    # Of every entry.
    dealt = (part.tenant_id, None, part.part_count, part.part)
    async with snapshot_of(part.dsn, part.snapshot, settings=WHOLE_TABLES) as connection:
        entries = EntriesCheck(part.key)
        await stream(connection, copied("entries"), dealt, entries.take, progress)
        result.entry_count, result.unsealed_count = entries.entry_count, entries.unsealed_count
        result.findings += entries.findings
        result.expected = entries.expected
        erased = await erased_leaves(connection, part.tenant_id)
        removed = await removed_rows(
            connection, part.tenant_id, part=part.part, part_count=part.part_count
        )
        checks = {
            table: RowsCheck(table, form, erased, removed, part.key)
            for table, form in RECORDED.items()
        }
        for table, check in checks.items():
            await stream(connection, copied(table), dealt, check.take, progress)
        for table, check in checks.items():
            check.end()
            result.row_counts[table] = check.row_count
            result.seen[table] = check.seen
            result.findings += check.findings
    return result


async def _here(parts: Sequence[_Part], progress: Progress) -> list[_PartResult]:
    return [await _verify_part(part, progress) for part in parts]


_in_process: Progress | None = None


def _begin_process(progress: Progress) -> None:
    global _in_process  # noqa: PLW0603 - what a process is given at its start
    _in_process = progress
    # Ctrl-C reaches every process: this one ends, and the one that a person watches says so.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run_part(part: _Part) -> _PartResult:
    assert _in_process is not None
    return asyncio.run(_verify_part(part, _in_process))


async def _in_processes(parts: Sequence[_Part], progress: Progress) -> list[_PartResult]:
    # Spawned: a copy of this process would share its connections.
    with ProcessPoolExecutor(
        len(parts),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_process,
        initargs=(progress,),
    ) as pool:
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(pool, _run_part, part) for part in parts]
        return list(await asyncio.gather(*work))


async def _beside_rows(connection: Any, tenant_id: UUID | None) -> list[Finding]:
    ended = (await removed_rows(connection, tenant_id)).tenant_ids
    return [
        *await _unrecorded_deliveries(connection, tenant_id, ended),
        *await _returned(connection, tenant_id),
        *await _unrecorded_attempts(connection, tenant_id),
        *await wrong_definitions(connection, tenant_id, ended),
    ]


async def _unrecorded_deliveries(
    connection: Any, tenant_id: UUID | None, ended: Sequence[UUID]
) -> list[Finding]:
    return [
        Finding(
            what="delivery_unrecorded",
            tenant_id=row["tenant_id"],
            subject=f"delivery_log {row['delivery_id']}",
            detail=f"it is {row['state']}, which nothing recorded says"
            if row["state"]
            else "the audit records what became of it, and it is not there",
        )
        async for row in QUERIES.unrecorded_deliveries(
            connection, tenant_id=tenant_id, ended_tenant_ids=ended
        )
    ]


async def _unrecorded_attempts(connection: Any, tenant_id: UUID | None) -> list[Finding]:
    return [
        Finding(
            what="row_unrecorded",
            tenant_id=row["tenant_id"],
            subject="delivery_attempt",
            detail=f"attempt {row['attempt']} of delivery {row['delivery_id']} has an end "
            f"({row['phase']}) that no entry records",
        )
        async for row in QUERIES.unrecorded_attempts(connection, tenant_id=tenant_id)
    ]


async def _returned(connection: Any, tenant_id: UUID | None) -> list[Finding]:
    return [
        Finding(
            what="row_returned",
            tenant_id=row["tenant_id"],
            entry_id=row["entry_id"],
            subject=row["recorded_table"],
            detail="all its rows were removed, and some are there again",
        )
        async for row in QUERIES.returned(connection, tenant_id=tenant_id)
    ]


async def _without_rows(
    connection: Any, tenant_id: UUID | None, results: Sequence[_PartResult]
) -> list[Finding]:
    """Entries that should have rows, and none is there; and rows that are there twice.

    They are looked for only if there may be some: the entries with rows are not those that record
    rows, or one of them was begun anew by a row too many.
    """
    expected = sum((result.expected for result in results), Counter[str]())
    seen = sum((result.seen for result in results), Counter[str]())
    if expected == seen and not any(result.findings for result in results):
        return []
    erased = await erased_leaves(connection, tenant_id)
    removed = await removed_rows(connection, tenant_id)
    checks = {
        table: RowsCheck(table, form, erased, removed, b"") for table, form in RECORDED.items()
    }
    findings = [
        Finding(
            what="rows_added",
            tenant_id=row["tenant_id"],
            entry_id=row["entry_id"],
            subject=row["recorded_table"],
            detail=f"row {row['leaf_no']} is there {row['row_count']} times",
        )
        async for row in QUERIES.doubled(connection, tenant_id=tenant_id)
    ]
    async for row in QUERIES.without_rows(
        connection, tenant_id=tenant_id, ended_tenant_ids=removed.tenant_ids
    ):
        of, entry_id, table, count, its_root = row.values()
        if table in checks:
            checks[table].take_without_rows(of, entry_id, count, its_root)
        else:
            findings.append(
                Finding(
                    what="table_unknown",
                    tenant_id=of,
                    entry_id=entry_id,
                    subject=table,
                    detail="it records a table that this version cannot verify",
                )
            )
    return findings + [finding for check in checks.values() for finding in check.findings]


async def _with_seqs(connection: Any, findings: list[Finding]) -> list[Finding]:
    """Give each finding about an entry its place in the chain."""
    lacking = {
        (found.tenant_id, found.entry_id)
        for found in findings
        if found.seq is None and found.entry_id
    }
    seqs = {
        (row["tenant_id"], row["entry_id"]): row["seq"]
        async for row in QUERIES.select_seqs(
            connection,
            tenant_ids=list({tenant_id for tenant_id, _ in lacking}),
            entry_ids=[entry_id for _, entry_id in lacking],
        )
    }
    return [
        replace(found, seq=seqs.get((found.tenant_id, found.entry_id)))
        if found.seq is None
        else found
        for found in findings
    ]
