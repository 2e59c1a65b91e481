"""Measures the main job: from an event's arrival to the provider's acceptance of the message."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from leo.ingest.v1.ingest_service_pb2 import EventResult
from libs.bench.cost import cost_between, read_meter
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.main_job_report import MainJobReport
from libs.bench.smtp_alone import measure_smtp_alone
from libs.bench.workload import RULE_COUNT, condition_of, event_of, make_tenants
from libs.conditions import compile_condition
from libs.postgres.queries import load_queries
from libs.simulator.witness import read_witness
from libs.supervisor import mail
from libs.supervisor.books import find_breaches, wait_for_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from libs.bench.workload import BenchTenant
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)

QUIET_TIMEOUT: Final = timedelta(minutes=5)
EVALUATION_COUNT: Final = 10_000
# The first events fill caches and pools.
_WARM_UP_EVENT_COUNT: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """One part of the bench, and everything that it needs."""

    stack: RunningStack
    auditor: asyncpg.Connection
    tenants: Sequence[BenchTenant]


async def measure_main_job(
    stack: RunningStack,
    *,
    tenant_count: int,
    profile_count: int,
    event_count: int,
    seconds: float,
    channel: str,
    say: Callable[[str], None],
) -> MainJobReport:
    """Measure rate, then latency at a tenth of it, then the evaluation of the rules alone.

    Args:
        stack: a healthy stack; tenants of the bench's own are made in it.
        tenant_count, profile_count: how many tenants, with so many people each.
        event_count: for the rate, sent as fast as they are taken.
        seconds: how long latency is measured.
        channel: by which the messages go. Beside email's rate stands that of its library alone.
        say: shows progress.

    Raises:
        BenchError: the books do not balance, or it does not come to rest.
    """
    async with AsyncExitStack() as clients:
        run = await warm_run(
            stack,
            clients,
            tenant_count=tenant_count,
            profile_count=profile_count,
            channel=channel,
            say=say,
        )
        auditor = run.auditor
        before = await read_meter(stack, auditor)
        began_at = await send_streams(run, "rate", event_count)
        at_rest_at = await rest(run.stack, run.auditor)
        after = await read_meter(stack, auditor)
        accepted_at = await acceptances(run, "rate", event_count)
        rate = event_count / (max(accepted_at.values()) - began_at).total_seconds()
        say(f"rate: {rate:,.0f}/s over {event_count:,} events")

        due_at = await _send_paced(run, "latency", rate / 10, seconds)
        await rest(run.stack, run.auditor)
        accepted_at = await acceptances(run, "latency", len(due_at))
        latencies = [(accepted_at[event_id] - due).total_seconds() for event_id, due in due_at]
        say(f"latency: over {len(latencies):,} events at {rate / 10:,.0f}/s")

        settings = dict(await _QUERIES.settings(auditor))
    library_rate = None
    if channel == mail.CHANNEL:
        library_rate = await measure_smtp_alone(event_count)
        say(f"aiosmtplib alone: {library_rate:,.0f}/s")
    return MainJobReport(
        workload={
            "channel": channel,
            "tenants": str(tenant_count),
            "profiles each": f"{profile_count:,}",
            "rules each": str(RULE_COUNT),
            "events": f"{event_count:,}",
        },
        accepted_per_second=rate,
        library_per_second=library_rate,
        settled_per_second=event_count / (at_rest_at - began_at).total_seconds(),
        latency_seconds=latencies,
        evaluation_seconds=evaluate_rules(),
        cost=cost_between(before, after, event_count),
        about={"machine": machine(), "versions": versions(), "postgresql": settings},
    )


async def warm_run(
    stack: RunningStack,
    clients: AsyncExitStack,
    *,
    tenant_count: int,
    profile_count: int,
    channel: str,
    say: Callable[[str], None],
) -> Run:
    """Make tenants, let some events through, and wait until they are at rest.

    Args:
        stack: a healthy stack; tenants of the bench's own are made in it.
        clients: closes what the run has open.
        tenant_count, profile_count: how many tenants, with so many people each.
        channel: by which the messages go.
        say: shows progress.

    Raises:
        BenchError: the books do not balance, or it does not come to rest.
    """
    auditor = await clients.enter_async_context(stack.auditor())
    tenants = await make_tenants(
        stack,
        clients,
        run=uuid4().hex[:8],
        tenant_count=tenant_count,
        profile_count=profile_count,
        channel=channel,
        say=say,
    )
    run = Run(stack, auditor, tenants)
    await send_streams(run, "warm-up", _WARM_UP_EVENT_COUNT)
    await rest(stack, auditor)
    return run


def evaluate_rules() -> list[float]:
    """How long it takes, each time, to ask all rules about one event, as Decision asks them."""
    conditions = [compile_condition(condition_of(number), "rule") for number in range(RULE_COUNT)]
    now = datetime.now(UTC)
    taken = []
    for number in range(EVALUATION_COUNT):
        values = {
            "event": {
                "type": "purchase",
                "source": "bench",
                "time": now,
                "properties": {"slot": number % RULE_COUNT, "value_vnd": 150_000},
            },
            "profile": {"city": "Huế", "lifetime_value_vnd": 3_000_000},
            "consent": {},
            "now": now,
        }
        began_at = time.perf_counter()
        met_count = sum(condition.evaluate(values).met for condition in conditions)
        taken.append(time.perf_counter() - began_at)
        assert met_count == 1, "of all rules exactly one is met by each event"
    return taken


async def send_streams(run: Run, source: str, event_count: int) -> datetime:
    """Send events as fast as they are taken, a stream for each tenant; when the first one went."""
    began_at = datetime.now(UTC)

    async def send(index: int, tenant: BenchTenant) -> None:
        numbers = range(index, event_count, len(run.tenants))
        events = (event_of(tenant, source, number) for number in numbers)
        async for _, result in tenant.client.ingest.stream_events(events):
            if result.outcome != EventResult.OUTCOME_ACCEPTED:
                raise BenchError(f"{source}: an event was not accepted: {result.error.message}")

    await asyncio.gather(*(send(index, tenant) for index, tenant in enumerate(run.tenants)))
    return began_at


async def _send_paced(
    run: Run, source: str, per_second: float, seconds: float
) -> list[tuple[UUID, datetime]]:
    """Send one event after another at its time, whatever became of those before it.

    Returns:
        Each event with the time at which it was due: what keeps an event waiting counts.
    """
    loop = asyncio.get_running_loop()
    began, began_at = loop.time(), datetime.now(UTC)

    async def send(number: int) -> tuple[UUID, datetime]:
        after = number / per_second
        await asyncio.sleep(began + after - loop.time())
        tenant = run.tenants[number % len(run.tenants)]
        result = await tenant.client.ingest.ingest_event(event_of(tenant, source, number))
        return UUID(result.event_id), began_at + timedelta(seconds=after)

    count = max(1, round(per_second * seconds))
    return list(await asyncio.gather(*(send(number) for number in range(count))))


async def rest(stack: RunningStack, auditor: asyncpg.Connection) -> datetime:
    """Wait until nothing is on its way, and see that the books balance; since when it rests.

    Raises:
        BenchError: they do not, or it does not come to rest.
    """
    try:
        async with asyncio.timeout(QUIET_TIMEOUT.total_seconds()):
            await wait_for_quiet(auditor, stack.state.address("simulator"))
    except TimeoutError:
        raise BenchError(f"it did not come to rest within {QUIET_TIMEOUT}") from None
    at_rest_at = datetime.now(UTC)
    breaches = await find_breaches(auditor, stack.witness_file)
    if breaches:
        raise BenchError(f"the books do not balance: {breaches[0]} ({len(breaches)} in all)")
    return at_rest_at


async def acceptances(run: Run, source: str, event_count: int) -> dict[UUID, datetime]:
    """When the provider accepted the message of each event, by the provider's own log."""
    witnessed = {row.reference: row.accepted_at for row in read_witness(run.stack.witness_file)}
    rows = [
        row
        async for row in _QUERIES.deliveries_of_source(
            run.auditor,
            tenant_ids=[UUID(tenant.tenant_id) for tenant in run.tenants],
            source=source,
        )
    ]
    accepted = {
        row["event_id"]: witnessed[str(row["delivery_id"])]
        for row in rows
        if row["state"] == "accepted"
    }
    if len(accepted) != event_count:
        raise BenchError(
            f"{source}: {event_count} events were sent, but {len(accepted)} messages accepted"
        )
    return accepted
