"""Reading the audit as the auditor: one snapshot, and COPY's text line by line."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from uuid import UUID

QUERIES = load_queries(__file__)

# What is read as text is read in one form; and what is hashed in joins may take some memory.
_SESSION: Final[Mapping[str, str]] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "bytea_output": "hex",
    "work_mem": "64MB",
    "application_name": "leo-audit-verify",
}
# Whole tables are joined whole. Statistics that lag behind what was written suggest to look rows up
# one by one, which takes a hundred times as long; and the work is dealt out already. What is read
# in order comes along its index: where nothing is known of tenants, sorting all seems cheaper.
WHOLE_TABLES: Final[Mapping[str, str]] = {
    "enable_nestloop": "off",
    "enable_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


class Progress:
    """Counts what was taken, for whoever watches; shared between processes where there are some."""

    def __init__(self, *, shared: bool = False) -> None:
        self._count: Any = multiprocessing.get_context("spawn").Value("Q") if shared else None
        self._own = 0

    def add(self, count: int) -> None:
        """So many more seals, entries or rows."""
        if self._count is None:
            self._own += count
        else:
            with self._count.get_lock():
                self._count.value += count

    @property
    def count(self) -> int:
        """How many seals, entries and rows were taken so far."""
        return self._own if self._count is None else int(self._count.value)


@asynccontextmanager
async def snapshot_of(
    dsn: str, snapshot: str | None = None, *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Any]:
    """A connection that sees the database as it is now, or as another one sees it."""
    connection = await asyncpg.connect(dsn, server_settings={**_SESSION, **(settings or {})})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if snapshot is not None:
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            yield connection
    finally:
        await connection.close()


def copied(name: str) -> str:
    """A statement of queries.sql as COPY takes one."""
    text: str = getattr(QUERIES, name).sql
    return text.rstrip().removesuffix(";")


async def stream(
    connection: Any,
    statement: str,
    arguments: Sequence[object],
    take: Callable[[Sequence[bytes]], None],
    progress: Progress | None = None,
) -> None:
    """Hand the lines of COPY's text on, as they come."""
    rest = b""

    async def output(data: bytes) -> None:
        nonlocal rest
        whole, found, tail = data.rpartition(b"\n")
        if not found:
            rest += tail
            return
        lines = (rest + whole).split(b"\n")
        rest = bytes(tail)
        take(lines)
        if progress is not None:
            progress.add(len(lines))

    await connection.copy_from_query(statement, *arguments, output=output)


class Removed(NamedTuple):
    """What is not there any more, as sealed removals tell it.

    Attributes:
        rows: by recorded table, tenant and entry, of entries that lost their rows bit by bit.
        tenant_ids: of tenants that are removed or about to be; anything of theirs may be gone.
    """

    rows: Mapping[str, Mapping[tuple[str, str], Sequence[range]]]
    tenant_ids: Sequence[UUID]


async def removed_rows(
    connection: Any, tenant_id: UUID | None, *, part: int = 0, part_count: int = 1
) -> Removed:
    """What sealed removals took away, of the entries of a part."""
    rows: dict[str, dict[tuple[str, str], list[range]]] = defaultdict(lambda: defaultdict(list))
    async for row in QUERIES.removed(
        connection, tenant_id=tenant_id, part=part, part_count=part_count
    ):
        of = row["tenant_id"], row["entry_id"]
        rows[row["recorded_table"]][of].append(range(row["first"], row["last"] + 1))
    ended = [
        row["tenant_id"] async for row in QUERIES.ended_tenants(connection, tenant_id=tenant_id)
    ]
    return Removed(rows, ended)


async def erased_leaves(connection: Any, tenant_id: UUID | None) -> dict[str, dict[int, bytes]]:
    """The leaves that sealed erasures kept of the rows that they emptied, by entry and leaf_no."""
    erased: dict[str, dict[int, bytes]] = {}
    async for row in QUERIES.erased(connection, tenant_id=tenant_id):
        try:
            leaf = bytes.fromhex(row["leaf"])
            erased.setdefault(row["entry_id"], {})[int(row["leaf_no"])] = leaf
        except (TypeError, ValueError):
            # It names no row: whatever was meant is not excused by it.
            continue
    return erased
