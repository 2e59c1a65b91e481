"""What the audit chain costs: the main job with it and without it, in turns."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg
from rich.table import Table

from libs.bench.cost import cost_between, read_meter
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.main_job import WARM_UP_EVENT_COUNT, Run, acceptances, rest, send_streams
from libs.bench.workload import RULE_COUNT, make_tenants
from libs.postgres import roles
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from libs.bench.cost import Cost
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)
# What the stack without the audit is started with.
WITHOUT_AUDIT: Final = {
    "PYTHONPATH": os.pathsep.join(
        [str(Path(__file__).parent / "unaudited"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    "LEO_AUDIT_SEAL": "false",
}
WITH: Final = "with"
WITHOUT: Final = "without"


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement.

    Attributes:
        way: "with" or "without".
        per_second: from the first event sent to the last message accepted.
    """

    way: str
    per_second: float
    cost: Cost


@dataclass(frozen=True, slots=True)
class AuditCostReport:
    """All rounds, in their order."""

    workload: dict[str, str]
    rounds: Sequence[Round]
    about: dict[str, dict[str, str]]

    def rate(self, way: str) -> float:
        """The median of the rounds of a way."""
        return median(item.per_second for item in self.rounds if item.way == way)

    @property
    def cost_ratio(self) -> float:
        """How much of the rate without the chain is lost with it; negative if it is faster."""
        return 1 - self.rate(WITH) / self.rate(WITHOUT)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "workload": self.workload,
            "accepted_per_second": {way: self.rate(way) for way in (WITH, WITHOUT)},
            "cost_ratio": self.cost_ratio,
            "rounds": [asdict(item) for item in self.rounds],
        } | self.about

    def print(self, console: Console) -> None:
        """The table, for people."""
        table = Table(title="What the audit chain costs the main job", title_justify="left")
        table.add_column("measure")
        for way in (WITH, WITHOUT):
            table.add_column(f"{way} the chain", justify="right")
        ways = [[item for item in self.rounds if item.way == way] for way in (WITH, WITHOUT)]

        def add(name: str, figure: Callable[[Round], float], unit: str) -> None:
            cells = [f"{median(map(figure, rounds)):,.0f}{unit}" for rounds in ways]
            table.add_row(name, *cells)

        add("events to accepted messages", lambda item: item.per_second, "/s")
        for name, pick in (("least", min), ("most", max)):
            cells = [f"{pick(item.per_second for item in rounds):,.0f}/s" for rounds in ways]
            table.add_row(f"  {name}", *cells)
        add(
            "processor time an activation",
            lambda item: sum(item.cost.cpu_microseconds.values()),
            " µs",
        )
        add("write-ahead log an activation", lambda item: item.cost.wal_bytes, " bytes")
        console.print(table)
        console.print(f"The chain costs {self.cost_ratio:.1%} of the rate.", highlight=False)
        for group, facts in ({"workload": self.workload} | self.about).items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)


async def measure_audit_cost(
    audited: RunningStack,
    unaudited: RunningStack,
    *,
    tenant_count: int,
    profile_count: int,
    event_count: int,
    repeat_count: int,
    say: Callable[[str], None],
) -> AuditCostReport:
    """Measure the rate of the main job on two stacks in turns; the other one is at rest meanwhile.

    Args:
        audited: as it is.
        unaudited: a stack that was started WITHOUT_AUDIT.
        tenant_count, profile_count: how many tenants each has, with so many people each.
        event_count: in a round.
        repeat_count: rounds each way.
        say: shows progress.

    Raises:
        BenchError: the books do not balance, it does not come to rest, or a stack records what it
            should not, or does not record what it should.
    """
    await _cut_loose(unaudited)
    async with AsyncExitStack() as clients:
        runs = {}
        for way, stack in ((WITH, audited), (WITHOUT, unaudited)):
            auditor = await clients.enter_async_context(stack.auditor())
            tenants = await make_tenants(
                stack,
                clients,
                run=uuid4().hex[:8],
                tenant_count=tenant_count,
                profile_count=profile_count,
                channel="zalo-template",
                say=say,
            )
            runs[way] = Run(stack, auditor, tenants)
            await send_streams(runs[way], "warm-up", WARM_UP_EVENT_COUNT)
            await rest(stack, auditor)
        rounds = []
        for repeat in range(repeat_count):
            # What the machine does to the first of two, it does to the other one next time.
            for way in (WITH, WITHOUT) if repeat % 2 == 0 else (WITHOUT, WITH):
                rounds.append(await _round(way, runs[way], f"round-{repeat}", event_count))
                say(f"{repeat + 1} of {repeat_count}, {way}: {rounds[-1].per_second:,.0f}/s")
        for way, run in runs.items():
            await _see_what_is_recorded(way, run)
        settings = dict(await _QUERIES.settings(runs[WITH].auditor))
    return AuditCostReport(
        workload={
            "channel": "zalo-template",
            "tenants": str(tenant_count),
            "profiles each": f"{profile_count:,}",
            "rules each": str(RULE_COUNT),
            "events a round": f"{event_count:,}",
        },
        rounds=rounds,
        about={"machine": machine(), "versions": versions(), "postgresql": settings},
    )


async def _round(way: str, run: Run, source: str, event_count: int) -> Round:
    before = await read_meter(run.stack, run.auditor)
    began_at = await send_streams(run, source, event_count)
    await rest(run.stack, run.auditor)
    after = await read_meter(run.stack, run.auditor)
    accepted_at = await acceptances(run, source, event_count)
    seconds = (max(accepted_at.values()) - began_at).total_seconds()
    return Round(way, event_count / seconds, cost_between(before, after, event_count))


async def _cut_loose(stack: RunningStack) -> None:
    """Let rows name entries that nobody writes."""
    connection = await asyncpg.connect(stack.dsn(roles.MIGRATE))
    try:
        await _QUERIES.cut_loose_from_audit(connection)
    finally:
        await connection.close()


async def _see_what_is_recorded(way: str, run: Run) -> None:
    counts = await _QUERIES.count_recorded(run.auditor)
    lacking = [name for name, count in counts.items() if (count > 0) != (way == WITH)]
    if lacking:
        raise BenchError(f"{way} the chain, but {lacking[0]}: {counts[lacking[0]]}")
