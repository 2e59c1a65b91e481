"""Measures what the services' stores reach at the database, beside the bare statement, in turns."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.stores import WAYS, open_ground
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from libs.bench.stores import Ground, Operation, Way
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Measurement:
    """One way, measured once.

    Attributes:
        row_count: rows that were written or read.
        seconds: from the first operation to the end of the last.
        latencies: seconds of each operation, from asking for a connection to the commit.
    """

    row_count: int
    seconds: float
    latencies: Sequence[float]

    @property
    def rows_per_second(self) -> float:
        """The rate."""
        return self.row_count / self.seconds

    def latency_ms(self, percentile: int) -> float:
        """What so many of a hundred operations did not exceed."""
        if len(self.latencies) == 1:
            return 1e3 * self.latencies[0]
        cuts = quantiles(self.latencies, n=_PERCENT, method="inclusive")
        return 1e3 * cuts[percentile - 1]


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """All measurements of one run, by way, and what they were made on."""

    measurements: Mapping[str, Sequence[Measurement]]
    about: dict[str, dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return self.about | {"ways": {way.name: self._figures(way) for way in WAYS}}

    def print(self, console: Console) -> None:
        """The tables, for people."""
        rates = _table("Rows, per second", "median", "min to max", "of bare")
        times = _table("Milliseconds, to the commit", "p50", "p99", "p99, min to max")
        for way in WAYS:
            figures = self._figures(way)
            rate, p99 = figures["rows_per_second"], figures["p99_ms"]
            ratio = figures.get("ratio_to_bare")
            rates.add_row(
                way.label,
                f"{median(rate):,.0f}",
                f"{min(rate):,.0f} to {max(rate):,.0f}",
                "" if ratio is None else f"{ratio:.0%}",
            )
            times.add_row(
                way.label,
                f"{median(figures['p50_ms']):.2f}",
                f"{median(p99):.2f}",
                f"{min(p99):.2f} to {max(p99):.2f}",
            )
        console.print(rates)
        console.print(times)
        for group, facts in self.about.items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)

    def _figures(self, way: Way) -> dict[str, Any]:
        made = self.measurements[way.name]
        figures: dict[str, Any] = {
            "rows_per_second_median": median(each.rows_per_second for each in made),
            "rows_per_second": [each.rows_per_second for each in made],
            "p50_ms": [each.latency_ms(50) for each in made],
            "p99_ms": [each.latency_ms(99) for each in made],
            "p99_ms_median": median(each.latency_ms(99) for each in made),
            "operations": sum(len(each.latencies) for each in made),
        }
        if way.bare is not None:
            bare = median(each.rows_per_second for each in self.measurements[way.bare])
            figures["ratio_to_bare"] = figures["rows_per_second_median"] / bare
        return figures


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in columns:
        table.add_column(column, justify="right")
    return table


async def measure_database(
    stack: RunningStack,
    *,
    delivery_count: int,
    event_count: int,
    repeat_count: int,
    say: Callable[[str], None],
) -> DatabaseReport:
    """Measure each way once in each repeat, so that what disturbs the machine disturbs all alike.

    Args:
        stack: a healthy stack whose services do nothing; a tenant of the bench's own is made in it.
        delivery_count: deliveries of one measurement one by one; ten times as many in batches.
        event_count: events of one measurement.
        repeat_count: how often each way is measured.
        say: shows progress.

    Raises:
        BenchError: rows are missing that were committed.
    """
    measurements: dict[str, list[Measurement]] = {way.name: [] for way in WAYS}
    async with open_ground(stack, delivery_count=delivery_count, event_count=event_count) as ground:
        for repeat in range(1, repeat_count + 1):
            for way in WAYS:
                measured = await _measure(ground, way)
                measurements[way.name].append(measured)
                say(
                    f"{repeat} of {repeat_count}: {way.label}, {measured.rows_per_second:,.0f}/s, "
                    f"p99 {measured.latency_ms(99):.2f} ms"
                )
        settings = dict(await _QUERIES.settings(ground.auditor))
    return DatabaseReport(
        measurements, {"machine": machine(), "versions": versions(), "postgresql": settings}
    )


async def _measure(ground: Ground, way: Way) -> Measurement:
    operations = await way.operations(ground)
    before = await way.count(ground) if way.count else 0
    measured = await _work_off(operations, way.in_flight)
    if way.count:
        there = await way.count(ground) - before
        if there != measured.row_count:
            raise BenchError(
                f"{way.name}: {measured.row_count} rows were committed, but {there} are there"
            )
    return measured


async def _work_off(operations: Sequence[Operation], in_flight: int) -> Measurement:
    """Carry out operations, so many at once."""
    waiting = iter(operations)
    row_counts: list[int] = []
    latencies: list[float] = []

    async def worker() -> None:
        for operation in waiting:
            began = time.perf_counter()
            row_counts.append(await operation())
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return Measurement(sum(row_counts), time.perf_counter() - began, latencies)
