"""What the work costs: rows and write-ahead log of the database, processor time of each process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)
_HAS_PROC = Path("/proc/self/stat").exists()
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts since the start, to be subtracted.

    Attributes:
        row_versions: rows inserted, updated and deleted; as the server's statistics have it, which
            sessions report when they are idle.
        table_bytes: on disk, of each table with its indexes and partitions.
        cpu_seconds: of each process with its children, by name; empty where /proc is missing.
    """

    row_versions: int
    wal_bytes: int
    table_bytes: dict[str, int]
    cpu_seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one activation cost."""

    row_versions: float
    wal_bytes: float
    table_bytes: dict[str, float]
    cpu_microseconds: dict[str, float]


async def read_meter(stack: RunningStack, auditor: asyncpg.Connection) -> Meter:
    """Read the counts."""
    counts = await _QUERIES.meter(auditor)
    return Meter(
        row_versions=int(counts["row_versions"]),
        wal_bytes=int(counts["wal_bytes"]),
        table_bytes={row["name"]: int(row["bytes"]) async for row in _QUERIES.table_bytes(auditor)},
        cpu_seconds={
            process.name: _cpu_seconds(process.pid)
            for process in stack.state.processes
            if process.pid is not None and _HAS_PROC
        },
    )


def cost_between(before: Meter, after: Meter, activation_count: int) -> Cost:
    """The difference, for each of so many activations."""
    return Cost(
        row_versions=(after.row_versions - before.row_versions) / activation_count,
        wal_bytes=(after.wal_bytes - before.wal_bytes) / activation_count,
        table_bytes={
            name: (count - before.table_bytes[name]) / activation_count
            for name, count in after.table_bytes.items()
            if count > before.table_bytes[name]
        },
        cpu_microseconds={
            name: 1e6 * (seconds - before.cpu_seconds[name]) / activation_count
            for name, seconds in after.cpu_seconds.items()
        },
    )


def _cpu_seconds(pid: int) -> float:
    """What a process and its children have used, those that ended included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # it ended meanwhile, and its parent counts it
        return 0.0
    # utime, stime, cutime and cstime: 14 to 17 in proc(5), whose first two stand before the ")".
    own = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
    return own + sum(_cpu_seconds(int(child)) for child in children)
