"""Bad weather for ingest: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from leo.ingest.v1.ingest_service_pb2 import Event, EventResult
from leo_sdk import UnavailableError, event
from tests.faults.stack import Stack, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SEED = 20261125
EVENT_COUNT = 12_000
NOW = datetime.now(UTC)
STORED = (EventResult.OUTCOME_ACCEPTED, EventResult.OUTCOME_DUPLICATE)


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as running:
        yield running


def purchase(number: int) -> Event:
    return event(
        source="shop",
        source_event_id=f"order-{number}",
        event_type="purchase",
        profile_ext_id=f"p-{number % 500}",
        event_time=NOW,
        properties={"amount": 1000 * number},
    )


async def stream_through(
    stack: Stack, tenant: str, moments: dict[int, Callable[[], None]]
) -> set[int]:
    """Stream all events, doing something when a position is acknowledged; what came as stored."""
    tenant_id = await stack.create_tenant(tenant)
    token = await stack.token("--tenant", tenant_id, "--preset", "ingest")
    acknowledged: list[int] = []
    async with await stack.client(token) as client:
        events = (purchase(number) for number in range(1, EVENT_COUNT + 1))
        async for position, result in client.ingest.stream_events(events):
            assert result.outcome in STORED
            acknowledged.append(position)
            if position in moments:
                moments[position]()
    assert acknowledged == list(range(1, EVENT_COUNT + 1))
    assert await stack.count_events(tenant_id) == (EVENT_COUNT, EVENT_COUNT)
    return set(acknowledged)


async def test_ingest_killed_in_the_middle_of_a_stream(stack: Stack) -> None:
    kill = random.Random(SEED).randrange(EVENT_COUNT // 4, EVENT_COUNT // 2)
    restarts = stack.process("ingest")["restarts"]
    await stream_through(
        stack, "ingest-killed", {kill: lambda: stack.signal("ingest", signal.SIGKILL)}
    )
    await stack.wait_healthy("ingest", restarts=restarts + 1)


async def test_postgres_stopped_at_once_and_started(stack: Stack) -> None:
    kill = random.Random(SEED + 1).randrange(EVENT_COUNT // 4, EVENT_COUNT // 2)
    restarts = stack.process("postgres")["restarts"]
    await stream_through(
        stack, "postgres-killed", {kill: lambda: stack.signal("postgres", signal.SIGKILL)}
    )
    await stack.wait_healthy("postgres", restarts=restarts + 1)


async def test_what_was_acknowledged_before_a_kill_is_there_though_nobody_sends_again(
    stack: Stack,
) -> None:
    tenant_id = await stack.create_tenant("no-second-try")
    token = await stack.token("--tenant", tenant_id, "--preset", "ingest")
    kill = random.Random(SEED + 2).randrange(EVENT_COUNT // 4, EVENT_COUNT // 2)
    last = 0
    async with await stack.client(token) as client:
        events = (purchase(number) for number in range(1, EVENT_COUNT + 1))
        stream = client.ingest.stream_events(events)
        async for position, _ in stream:
            last = position
            if position == kill:
                stack.signal("ingest", signal.SIGKILL)
                stack.signal("postgres", signal.SIGKILL)
                break
        await stream.aclose()
    await stack.wait_healthy("postgres", restarts=1)
    await stack.wait_healthy("ingest", restarts=1)
    rows, identities = await stack.count_events(tenant_id)
    assert rows == identities
    assert rows >= last == kill


async def test_unary_calls_through_a_restart_of_postgres_are_each_there_once(stack: Stack) -> None:
    tenant_id = await stack.create_tenant("unary")
    token = await stack.token("--tenant", tenant_id, "--preset", "ingest")
    restarts = stack.process("postgres")["restarts"]
    answered: set[int] = set()
    async with await stack.client(token) as client:

        async def send(numbers: range) -> None:
            for number in numbers:
                try:
                    await client.ingest.ingest_event(purchase(number))
                except UnavailableError:
                    continue
                answered.add(number)
                if len(answered) == 400:
                    stack.signal("postgres", signal.SIGKILL)

        await asyncio.gather(*(send(range(start, 2000, 20)) for start in range(20)))
        await stack.wait_healthy("postgres", restarts=restarts + 1)
    rows, identities = await stack.count_events(tenant_id)
    assert rows == identities
    assert rows >= len(answered) > 400


async def test_valkey_absent_is_not_noticed(stack: Stack) -> None:
    stack.signal("valkey", signal.SIGSTOP)
    try:
        await stream_through(stack, "no-valkey", {})
    finally:
        stack.signal("valkey", signal.SIGCONT)
