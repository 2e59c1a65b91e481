"""One round: events come in, strikes fall, everything comes to rest, the books are compared."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from redis.asyncio import Redis

from leo.ingest.v1.ingest_service_pb2 import EventResult
from libs.embedded.credentials import VALKEY, load_credentials
from libs.postgres.queries import load_queries
from libs.simulator.client import SimulatorClient
from libs.supervisor.books import find_breaches, wait_for_quiet
from libs.supervisor.state import read_state
from libs.torture.plan import EVENT_COUNT, OWN_WORKER, SECOND, SENDERS, TOO_LONG_SECONDS
from libs.torture.second import MODULE, second_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from leo.ingest.v1.ingest_service_pb2 import Event
    from libs.supervisor.running import RunningStack
    from libs.supervisor.state import ProcessState, StackState
    from libs.torture.plan import Plan, Strike
    from libs.torture.second import SecondWorker
    from libs.torture.tenant import TortureTenant

_QUERIES = load_queries(__file__)
_STORED: Final = (EventResult.OUTCOME_ACCEPTED, EventResult.OUTCOME_DUPLICATE)
_POLL_SECONDS: Final = 0.05
# Between two events: so that those before and those behind a strike are on their way when it falls.
_PACE_SECONDS: Final = 0.02
# What the driver raises where PostgreSQL was hit while it was asked.
_SESSION_LOST: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# Where a chain may come to rest: what was not answered clearly is in doubt, what every provider
# refused has failed, and nothing else may be left over.
ENDS: Final = frozenset({"accepted", "outcome_unknown", "failed"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round came to.

    Attributes:
        ends: where the last delivery of each decision stands.
        delivery_count: deliveries of all choices.
        problems: what does not balance, in words; empty if all is well.
    """

    plan: Plan
    ends: Counter[str]
    delivery_count: int
    problems: list[str]
    seconds: float


class Rounds:
    """Rounds on one running stack, one after the other."""

    def __init__(self, running: RunningStack, tenant: TortureTenant) -> None:
        self.running = running
        self._tenant = tenant

    async def run(self, plan: Plan, *, module: str = MODULE) -> Outcome:
        """Do what a plan says, wait until everything is at rest, and look at the books.

        Args:
            plan: what happens.
            module: what runs as the second worker, if the plan has one.
        """
        began = time.monotonic()
        async with AsyncExitStack() as opened:
            simulator = await opened.enter_async_context(self.simulator())
            second = None
            resting = opened.enter_context(ExitStack())
            if plan.alone:
                self.signal(OWN_WORKER, signal.SIGSTOP)
                resting.callback(self.signal, OWN_WORKER, signal.SIGCONT)
            if plan.second_worker or any(strike.process == SECOND for strike in plan.strikes):
                second = await opened.enter_async_context(second_worker(self.running, module))
            await simulator.set_faults(plan.faults, seed=plan.seed)
            strikes = [
                (strike.at, self._striker(plan.name, strike, second)) for strike in plan.strikes
            ]
            await self.send(plan.name, strikes)
            await self.wait_healthy()
            if second is not None:
                # What it has heard and not yet written counts too.
                await self._quiet()
                await second.stop()
            resting.close()
            outcome = await self.settle(plan, began)
            await simulator.set_faults([])
        return outcome

    def simulator(self) -> SimulatorClient:
        """What scripts the providers."""
        return SimulatorClient(self.running.state.address("simulator"))

    async def settle(self, plan: Plan, began: float) -> Outcome:
        """Wait for quiet and compare the books."""
        before: list[str] | None = None
        while True:
            await self._quiet()
            chains, problems = await self._compare(plan.name)
            if problems in ([], before):
                break
            # A worker that comes back late moves what was at rest, and what was put off for a lease
            # is taken again; but what is wrong stays wrong.
            before = problems
            await asyncio.sleep(TOO_LONG_SECONDS)
        ends = Counter(chain[-1]["state"] for chain in chains)
        return Outcome(plan, ends, sum(map(len, chains)), problems, time.monotonic() - began)

    async def _compare(self, source: str) -> tuple[list[list[Any]], list[str]]:
        """The deliveries of each decision in the order of their choices, and what is wrong."""
        async with self.running.auditor() as auditor:
            problems = await find_breaches(auditor, self.running.witness_file)
            deliveries = await self.deliveries(auditor, source)
        chains = [list(chain) for _, chain in groupby(deliveries, lambda row: row["decision_id"])]
        if len(chains) != EVENT_COUNT:
            problems.append(f"{EVENT_COUNT} events, but {len(chains)} chains of deliveries")
        ends = Counter(chain[-1]["state"] for chain in chains)
        problems += [f"{count} ended {state}" for state, count in ends.items() if state not in ENDS]
        return chains, problems

    async def _quiet(self) -> None:
        async with self.running.auditor() as auditor:
            await wait_for_quiet(auditor, self.running.state.address("simulator"))

    async def deliveries(self, auditor: asyncpg.Connection, source: str) -> list[Any]:
        """All deliveries of a round: decision_id, choice, state."""
        return [row async for row in _QUERIES.deliveries(auditor, source=source)]

    async def answers(self, source: str, phase: str = "result") -> Counter[str]:
        """How often each code stands for the end of an attempt, in time or late."""
        async with self.running.auditor() as auditor:
            rows = [row async for row in _QUERIES.answers(auditor, source=source)]
        return Counter(
            {row["provider_code"]: row["answer_count"] for row in rows if row["phase"] == phase}
        )

    def state(self) -> StackState:
        """The stack as it is now."""
        state = read_state(self.running.folder)
        assert state is not None, "the supervisor is never hit"
        return state

    def process(self, name: str) -> ProcessState:
        """One process of the stack as it is now."""
        return next(process for process in self.state().processes if process.name == name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process of the stack; it may be down."""
        pid = self.process(name).pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def wait_healthy(self) -> None:
        """Wait until every process answers."""
        while not self.state().healthy:  # noqa: ASYNC110 - in other processes
            await asyncio.sleep(_POLL_SECONDS)

    async def send(
        self, source: str, strikes: Sequence[tuple[int, Callable[[], Awaitable[None]]]] = ()
    ) -> None:
        """Send the events of a round, and do something after so many of them."""
        waiting = sorted(strikes, key=lambda strike: strike[0])
        async with asyncio.TaskGroup() as falling:
            count = 0
            async for _, result in self._tenant.client.ingest.stream_events(self._events(source)):
                assert result.outcome in _STORED, "ingest refuses none of these"
                count += 1
                while waiting and waiting[0][0] <= count:
                    falling.create_task(_fall(waiting.pop(0)[1]))
        assert count == EVENT_COUNT, "each event is answered once"

    async def _events(self, source: str) -> AsyncIterator[Event]:
        for number in range(EVENT_COUNT):
            yield self._tenant.event(source, number)
            await asyncio.sleep(_PACE_SECONDS)

    def _striker(
        self, source: str, strike: Strike, second: SecondWorker | None
    ) -> Callable[[], Awaitable[None]]:
        async def fall() -> None:
            if strike.process in SENDERS:
                await self._sending(source)
            if strike.kind == "flush":
                await self._flush()
            elif strike.process == SECOND:
                assert second is not None, "a plan that hits it has it"
                await _strike_second(strike, second)
            elif strike.kind == "kill":
                await self.kill(strike.process)
            else:
                self.signal(strike.process, signal.SIGSTOP)
                await asyncio.sleep(strike.seconds)
                self.signal(strike.process, signal.SIGCONT)

        return fall

    async def _sending(self, source: str) -> None:
        """Wait until messages are in the provider's hands, or all are through."""
        while True:
            # PostgreSQL may have been hit just now.
            with suppress(*_SESSION_LOST):
                async with self.running.auditor() as auditor:
                    states = [row["state"] for row in await self.deliveries(auditor, source)]
                done = len(states) >= EVENT_COUNT and not {"pending", "retry_wait"} & set(states)
                if "sending" in states or done:
                    return
            await asyncio.sleep(_POLL_SECONDS)

    async def kill(self, name: str) -> None:
        """Kill a process and wait until the supervisor has restarted it."""
        restarts = self.process(name).restarts
        self.signal(name, signal.SIGKILL)
        while True:
            found = self.process(name)
            if found.restarts > restarts and found.health == "healthy":
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _flush(self) -> None:
        password = load_credentials(self.running.folder)[VALKEY]
        address = self.running.state.address("valkey")
        async with Redis.from_url(f"redis://:{password}@{address}/0") as valkey:
            await valkey.flushall()


async def _fall(strike: Callable[[], Awaitable[None]]) -> None:
    await strike()


async def _strike_second(strike: Strike, second: SecondWorker) -> None:
    if strike.kind == "kill":
        await second.kill()
        second.start()
    elif strike.kind == "cut":
        second.gate.shut()
        await asyncio.sleep(strike.seconds)
        second.gate.open()
    else:
        second.send(signal.SIGSTOP)
        await asyncio.sleep(strike.seconds)
        second.send(signal.SIGCONT)
