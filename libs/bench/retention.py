"""Measures retention: how fast rows go, and what single calls of ingest notice of it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
import orjson
from rich.table import Table
from uuid_utils.compat import uuid7

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import EventResult
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.main_job_report import percentile
from libs.postgres import roles
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)

# Older than retention keeps them by default.
AGE: Final = timedelta(days=500)
_BATCH_STORY_COUNT: Final = 5000
# The first calls fill caches and pools.
_WARM_UP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was measured.

    Attributes:
        alone_seconds: of each call, before and after the removal.
        beside_seconds: of each call while it ran.
        row_counts: what was removed, by table.
        removal_seconds: from the first batch to the last one.
        about: groups of facts: workload, machine, versions, settings.
    """

    alone_seconds: Sequence[float]
    beside_seconds: Sequence[float]
    row_counts: dict[str, int]
    removal_seconds: float
    about: dict[str, dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return self.about | {
            "ingest_ms": {
                name: {f"p{percent}": 1e3 * percentile(seconds, percent) for percent in (50, 99)}
                for name, seconds in self._calls().items()
            },
            "p99_ratio": self._ratio(99),
            "rows_removed": self.row_counts,
            "rows_removed_per_second": sum(self.row_counts.values()) / self.removal_seconds,
        }

    def print(self, console: Console) -> None:
        """The table, for people."""
        table = Table(title="Retention beside ingest", title_justify="left")
        for column in ("IngestEvent", "alone", "while rows are removed", "ratio"):
            table.add_column(column, justify="left" if column == "IngestEvent" else "right")
        for percent in (50, 99):
            told = [
                f"{1e3 * percentile(calls, percent):,.1f} ms" for calls in self._calls().values()
            ]
            table.add_row(f"p{percent}", *told, f"{self._ratio(percent):.2f}")
        console.print(table)
        count = sum(self.row_counts.values())
        rows = ", ".join(f"{name} {number:,}" for name, number in self.row_counts.items())
        console.print(
            f"removed: {count:,} rows, {count / self.removal_seconds:,.0f}/s ({rows})",
            soft_wrap=True,
            highlight=False,
        )
        for group, facts in self.about.items():
            told = [f"{name} {value}" for name, value in facts.items()]
            console.print(f"{group}: {', '.join(told)}", soft_wrap=True, highlight=False)

    def _calls(self) -> dict[str, Sequence[float]]:
        return {"alone": self.alone_seconds, "beside": self.beside_seconds}

    def _ratio(self, percent: int) -> float:
        return percentile(self.beside_seconds, percent) / percentile(self.alone_seconds, percent)


async def measure_retention(
    stack: RunningStack,
    *,
    story_count: int,
    call_rate: float,
    seconds: float,
    say: Callable[[str], None],
) -> RetentionReport:
    """Send single events before, while and after `leo retention run` removes old stories.

    Args:
        stack: a healthy stack of the bench's own, in which nothing decides about the events.
        story_count: events with a decision, a delivery, its attempt and a receipt, all of them old.
        call_rate: events a second, each at its time whatever became of those before it.
        seconds: how long they are sent alone, before and again after.
        say: shows progress.

    Raises:
        BenchError: not everything old was removed, or an event was not accepted.
    """
    tenant_id: UUID = uuid7()
    migrate = await asyncpg.connect(stack.dsn(roles.MIGRATE))
    try:
        await _QUERIES.become_migrate(migrate)
        say(f"Writing {story_count:,} old stories …")
        await _write_stories(migrate, tenant_id, story_count)
    finally:
        await migrate.close()
    async with stack.client(tenant_id=str(tenant_id)) as client:
        calls = _Calls(client, call_rate)
        await calls.send_for(_WARM_UP_SECONDS)
        alone = await calls.send_for(seconds)
        say(f"alone: {len(alone):,} calls")
        removal = asyncio.create_task(_retain(stack))
        beside = await calls.send_until(removal.done)
        row_counts = await removal
        say(f"while rows are removed: {len(beside):,} calls")
        alone += await calls.send_for(seconds)
    if any(row_counts.get(table) != story_count for table in ("marketing_event", "delivery_log")):
        raise BenchError(f"{story_count} stories were old, but {row_counts} was removed")
    async with stack.auditor() as auditor:
        removal_seconds = await _QUERIES.removal_seconds(auditor, tenant_id=tenant_id)
        settings = dict(await _QUERIES.settings(auditor))
    return RetentionReport(
        alone_seconds=alone,
        beside_seconds=beside,
        row_counts=row_counts,
        removal_seconds=removal_seconds,
        about={
            "workload": {"stories": f"{story_count:,}", "calls a second": f"{call_rate:,.0f}"},
            "machine": machine(),
            "versions": versions(),
            "postgresql": settings,
        },
    )


async def _write_stories(migrate: Any, tenant_id: UUID, count: int) -> None:
    """Past the services: what they would have written long ago, but for the hashes."""
    await _QUERIES.insert_tenant(migrate, tenant_id=tenant_id, name=f"bench-{uuid4().hex[:12]}")
    await _QUERIES.insert_account(migrate, tenant_id=tenant_id)
    began_at = datetime.now(UTC) - AGE
    for first in range(0, count, _BATCH_STORY_COUNT):
        await _QUERIES.insert_old_stories(
            migrate,
            tenant_id=tenant_id,
            began_at=began_at,
            first=first,
            last=min(first + _BATCH_STORY_COUNT, count) - 1,
        )
    await _QUERIES.analyze_stories(migrate)


class _Calls:
    """Sends one event after another, each at its time."""

    def __init__(self, client: leo_sdk.LeoClient, per_second: float) -> None:
        self._client = client
        self._per_second = per_second
        self._sent_count = 0

    async def send_for(self, seconds: float) -> list[float]:
        """How long each call took, from when it was due."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        return await self.send_until(lambda: loop.time() >= end)

    async def send_until(self, is_over: Callable[[], bool]) -> list[float]:
        """How long each call took, from when it was due."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        calls: list[asyncio.Task[float]] = []
        while not is_over():
            due = began + len(calls) / self._per_second
            await asyncio.sleep(due - loop.time())
            calls.append(asyncio.create_task(self._send(due)))
        return await asyncio.gather(*calls)

    async def _send(self, due: float) -> float:
        self._sent_count += 1
        number = self._sent_count
        result = await self._client.ingest.ingest_event(
            leo_sdk.event(
                source="bench",
                source_event_id=str(number),
                event_type="purchase",
                profile_ext_id=f"KH-{number % 10_000:06d}",
                event_time=datetime.now(UTC),
                properties={"order": f"DH-{number:08d}", "value_vnd": 150_000},
            )
        )
        if result.outcome != EventResult.OUTCOME_ACCEPTED:
            raise BenchError(f"an event was not accepted: {result.error.message}")
        return asyncio.get_running_loop().time() - due


async def _retain(stack: RunningStack) -> dict[str, int]:
    """`leo retention run`, as a person would; the rows that went by table."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "libs.cli", "retention", "run", "--json"),
        env=os.environ | {"LEO_DATA": str(stack.folder)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise BenchError("leo retention run failed; the reason stands above")
    (report,) = orjson.loads(output)
    counts: dict[str, int] = report["row_counts"]
    return counts
