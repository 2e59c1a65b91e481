"""Bad weather for the main job: nothing lost, nothing accepted twice, every doubt shown."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from leo.ingest.v1.ingest_service_pb2 import EventResult
from libs.bench.workload import BenchTenant, event_of, make_tenants
from libs.embedded.credentials import VALKEY, load_credentials
from libs.simulator.client import SimulatorClient
from libs.supervisor.books import find_breaches, wait_for_quiet
from libs.supervisor.running import RunningStack, find_or_start
from tests.faults.stack import Stack, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import asyncpg

    from leo.ingest.v1.ingest_service_pb2 import Event

SEED = 20261125
EVENT_COUNT = 400
PROFILE_COUNT = 40
# More than can be in the hands of a worker that is killed: what is never accepted holds up no more.
AHEAD_COUNT_MAX = 120
STORED = (EventResult.OUTCOME_ACCEPTED, EventResult.OUTCOME_DUPLICATE)
# What was not answered clearly is in doubt, and nothing else may be left over.
ENDS = {"accepted", "outcome_unknown"}
SHORT_LEASES = {"LEO_MACHINE_LEASE": "PT2S", "LEO_MACHINE_BACKOFF_MIN": "PT0.5S"}

# The messages about the events of one source, with their attempts.
MESSAGES = """
    FROM delivery_log AS l
    JOIN decision AS d USING (tenant_id, decision_id)
    JOIN marketing_event AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.trigger_id
    LEFT JOIN delivery_attempt AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
    WHERE e.source = $1
"""


@dataclass(frozen=True, slots=True)
class World:
    """A stack with one tenant, on each of whose events one rule acts."""

    stack: Stack
    running: RunningStack
    tenant: BenchTenant

    def simulator(self) -> SimulatorClient:
        return SimulatorClient(self.running.state.address("simulator"))

    async def run(self, source: str, *, at: int, then: Callable[[], Awaitable[None]]) -> None:
        """Send all events; once the provider accepted `at` messages of them, do something."""
        accepted_before = self.accepted_count()
        sending = asyncio.create_task(self._send(source))
        while self.accepted_count() - accepted_before < at:
            if sending.done():
                await sending  # raises what went wrong; else there are messages under way
            await asyncio.sleep(0.01)
        await then()
        await sending

    async def _send(self, source: str) -> None:
        positions = []
        async for position, result in self.tenant.client.ingest.stream_events(self._events(source)):
            assert result.outcome in STORED
            positions.append(position)
        assert positions == list(range(1, EVENT_COUNT + 1))

    async def _events(self, source: str) -> AsyncIterator[Event]:
        """The events, not much faster than they are carried out, so that every process has work."""
        accepted_before = self.accepted_count()
        for number in range(EVENT_COUNT):
            while self.accepted_count() - accepted_before < number - AHEAD_COUNT_MAX:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            yield event_of(self.tenant, source, number)

    def accepted_count(self) -> int:
        return self.running.witness_file.read_bytes().count(b"\n")

    async def settle(self, source: str) -> Counter[str]:
        """Wait for quiet, check the books; the states of the messages of these events."""
        while not self.stack.status()["healthy"]:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)
        async with self.running.auditor() as auditor:
            await wait_for_quiet(auditor, self.running.state.address("simulator"))
            assert await find_breaches(auditor, self.running.witness_file) == []
            states = await self.states(auditor, source)
        assert states.total() == EVENT_COUNT
        assert set(states) <= ENDS
        return states

    async def states(self, auditor: asyncpg.Connection, source: str) -> Counter[str]:
        """How many of the events' messages are in each state."""
        rows = await auditor.fetch(f"SELECT DISTINCT l.delivery_id, l.state {MESSAGES}", source)
        return Counter(row["state"] for row in rows)

    async def answers(self, auditor: asyncpg.Connection, source: str) -> Counter[str]:
        """How often each code stands for the end of an attempt."""
        rows = await auditor.fetch(
            f"SELECT a.provider_code {MESSAGES} AND a.phase = 'result'", source
        )
        return Counter(row["provider_code"] for row in rows)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with running_stack(**SHORT_LEASES) as stack, AsyncExitStack() as clients:
        running = find_or_start(stack.data_folder, say=print)
        (tenant,) = await make_tenants(
            running, clients, run="faults", tenant_count=1, profile_count=PROFILE_COUNT, say=print
        )
        yield World(stack, running, tenant)


def moment(of: str) -> int:
    """After how many acceptances it happens: in the middle, at a place that the seed decides."""
    return random.Random(f"{SEED}:{of}").randrange(EVENT_COUNT // 8, EVENT_COUNT // 2)


# Each message stays in the provider's hands for a while, so that a kill finds some there.
SLOW = {"kind": "reply_slow", "delay_seconds": 0.3}


@pytest.mark.parametrize(
    "name",
    [
        *("ingest", "ingest-work", "segment", "decision", "decision-work"),
        *("dispatch", "edge", "issuer", "simulator", "valkey", "postgres"),
    ],
)
async def test_a_process_killed_in_the_middle_and_restarted(world: World, name: str) -> None:
    await kill_in_the_middle(world, name)


async def test_a_sender_killed_with_messages_in_the_providers_hands(world: World) -> None:
    await kill_in_the_middle(world, "dispatch-work")
    async with world.running.auditor() as auditor:
        answers = await world.answers(auditor, "killed-dispatch-work")
    # Nobody heard the answers; what the provider took is known by its webhooks alone.
    assert answers["lease"] > 0


async def kill_in_the_middle(world: World, name: str) -> None:
    source = f"killed-{name}"
    process = world.stack.process(name)

    async def kill() -> None:
        os.kill(process["pid"], signal.SIGKILL)

    async with world.simulator() as simulator:
        await simulator.set_faults([SLOW])
        await world.run(source, at=moment(source), then=kill)
        await world.stack.wait_healthy(name, restarts=process["restarts"] + 1)
        await simulator.set_faults([])
    await world.settle(source)


async def test_valkey_flushed_in_the_middle(world: World) -> None:
    password = load_credentials(world.running.folder)[VALKEY]
    address = world.running.state.address("valkey")

    async def flush() -> None:
        async with Redis.from_url(f"redis://:{password}@{address}/0") as valkey:
            await valkey.flushall()

    await world.run("flushed", at=moment("flushed"), then=flush)
    assert await world.settle("flushed") == {"accepted": EVENT_COUNT}


async def test_valkey_away_from_start_to_end(world: World) -> None:
    # Stopped, not killed: whoever calls it gets no answer at all, and nobody restarts it.
    world.stack.signal("valkey", signal.SIGSTOP)
    try:
        await world.run("no-valkey", at=EVENT_COUNT, then=nothing)
        async with world.running.auditor() as auditor:
            await wait_for_quiet(auditor, world.running.state.address("simulator"))
            assert await world.states(auditor, "no-valkey") == {"accepted": EVENT_COUNT}
    finally:
        world.stack.signal("valkey", signal.SIGCONT)
    await world.settle("no-valkey")


async def test_answers_lost_after_acceptance_are_doubts_until_the_webhook_settles_them(
    world: World,
) -> None:
    lost = {"kind": "reply_lost", "probability": 0.1}
    # So late that the doubt can be seen.
    late = {"kind": "receipt_delayed", "delay_seconds": 3}
    async with world.simulator() as simulator, world.running.auditor() as auditor:
        await simulator.set_faults([lost, late], seed=SEED)
        try:
            await world.run("lost", at=EVENT_COUNT // 2, then=nothing)
            while not (await world.states(auditor, "lost"))["outcome_unknown"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert await world.settle("lost") == {"accepted": EVENT_COUNT}
            fired = fired_counts(await simulator.state())
        finally:
            await simulator.set_faults([])
        answers = await world.answers(auditor, "lost")
    assert fired["reply_lost"] > 0
    # One attempt each: what is in doubt is never sent again.
    assert answers == {
        "0": EVENT_COUNT - fired["reply_lost"],
        "no_answer_lost": fired["reply_lost"],
    }


async def test_what_the_provider_never_took_stays_in_doubt_and_is_not_sent_again(
    world: World,
) -> None:
    async with world.simulator() as simulator:
        await simulator.set_faults([{"kind": "server_error_before", "probability": 0.1}], seed=SEED)
        try:
            await world.run("refused-by-proxy", at=EVENT_COUNT // 2, then=nothing)
            states = await world.settle("refused-by-proxy")
            fired = fired_counts(await simulator.state())
        finally:
            await simulator.set_faults([])
    assert fired["server_error_before"] == states["outcome_unknown"] > 0


async def test_everything_at_once(world: World) -> None:
    """Killed one after another while answers get lost and receipts come twice and late."""
    chance = random.Random(f"{SEED}:everything")
    names = ["ingest", "decision", "dispatch", "dispatch-work", "edge", "valkey"]
    chance.shuffle(names)

    async def storm() -> None:
        for name in names:
            restarts = world.stack.process(name)["restarts"]
            world.stack.signal(name, signal.SIGKILL)
            await world.stack.wait_healthy(name, restarts=restarts + 1)

    async with world.simulator() as simulator:
        await simulator.set_faults(
            [
                {"kind": "reply_lost", "probability": 0.05},
                {"kind": "reply_truncated", "probability": 0.05},
                {"kind": "server_error_after", "probability": 0.05},
                {"kind": "server_error_before", "probability": 0.05},
                {"kind": "receipt_duplicated", "probability": 0.1},
                {"kind": "receipt_reordered", "probability": 0.1},
            ],
            seed=SEED,
        )
        try:
            await world.run("everything", at=moment("everything"), then=storm)
            await world.settle("everything")
        finally:
            await simulator.set_faults([])


async def nothing() -> None:
    """Let it go on."""


def fired_counts(state: dict[str, Any]) -> dict[str, int]:
    return {fault["kind"]: fault["fired_count"] for fault in state["faults"]}
