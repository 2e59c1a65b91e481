"""Starts the stack stage by stage, watches it, restarts what dies, stops it in reverse.

Own code, because the process supervisors on PyPI neither tie their children to the parent's death
nor start one process when the one before it answers.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from libs.embedded.errors import EmbeddedError
from libs.postgres.migrations import MigrationError
from libs.supervisor.logs import bound_logs
from libs.supervisor.state import Health, ProcessState, StackState, write_state

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from libs.supervisor.console import Console
    from libs.supervisor.settings import SupervisorSettings
    from libs.supervisor.stack import Managed, Stack

WATCH_INTERVAL_SECONDS: Final = 0.1
PROBE_INTERVAL_SECONDS: Final = 1.0
CANCEL_INTERVAL_SECONDS: Final = 0.2
LOG_INTERVAL_SECONDS: Final = 1.0
# After a kill -9 the processes of the last stack need a moment to follow their supervisor.
PORTS_FREE_TIMEOUT_SECONDS: Final = 20.0
BACKOFF_SECONDS_MIN: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 30.0
# A process that lived this long starts over at the shortest back-off.
STABLE_SECONDS: Final = 60.0


class Supervisor:
    """One life of a stack, from start to stop."""

    def __init__(
        self,
        folder: Path,
        stack: Stack,
        console: Console,
        settings: SupervisorSettings,
        *,
        after_kill: bool,
    ) -> None:
        """Describe the life; `run` begins it.

        Args:
            folder: the data folder, which the caller holds (libs.supervisor.state.lock).
            stack: what runs on it.
            console: tells the operator.
            settings: limits.
            after_kill: whether processes of a supervisor that was killed may still be going.
        """
        self._folder = folder
        self._stack = stack
        self._console = console
        self._settings = settings
        self._after_kill = after_kill
        self._told: set[str] = set()
        self._published = False
        self._health: dict[str, Health] = dict.fromkeys(stack.processes, "stopped")
        self._restarts = dict.fromkeys(stack.processes, 0)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> bool:
        """Run until SIGINT or SIGTERM; False if the stack could not be started.

        A second signal stops everything at once instead of in order.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self._publish()
        started = asyncio.create_task(self._start())
        try:
            if await self._until_stopped(started):
                if not started.result():
                    return False
                self._console.ready(self._state())
                for text in self._stack.notes():
                    self._console.note(text)
                await self._watch_all()
            return True
        finally:
            await self._stop_all()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _until_stopped(self, work: asyncio.Task[bool]) -> bool:
        """Wait for `work` to end or a signal; whether it ended by itself."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        done = work.done()
        await _cancel(stop, work)
        return done

    async def _watch_all(self) -> None:
        watches = [
            asyncio.create_task(self._watch(name, managed))
            for name, managed in self._stack.processes.items()
        ]
        watches.append(asyncio.create_task(self._bound_logs()))
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({stop, *watches}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(stop, *watches)
        for watch in watches:
            # A watch ends by itself only by a defect, which is not to be hidden.
            if not watch.cancelled():
                watch.result()

    async def _start(self) -> bool:
        patience = PORTS_FREE_TIMEOUT_SECONDS if self._after_kill else 0
        if not await self._check("ports", self._stack.check_ports(patience)):
            return False
        if not await self._check("preparation", self._stack.prepare()):
            return False
        for names in self._stack.stages:
            if not await self._start_stage(names):
                return False
        return True

    async def _start_stage(self, names: tuple[str, ...]) -> bool:
        """Start those of one stage at the same time; False as soon as one of them cannot."""
        starts = [asyncio.create_task(self._start_first(name)) for name in names]
        try:
            for start in asyncio.as_completed(starts):
                if not await start:
                    return False
            return True
        finally:
            await _cancel(*starts)

    async def _start_first(self, name: str) -> bool:
        managed = self._stack.processes[name]
        if not await self._step(name, self._start_one(name, managed)):
            self._console.tail(managed.log)
            return False
        return name != "postgres" or await self._step("migrations", self._stack.migrate())

    async def _start_one(self, name: str, managed: Managed) -> None:
        self._set_health(name, "starting")
        await managed.start()
        self._set_health(name, "healthy")

    async def _check(self, name: str, work: Awaitable[None]) -> bool:
        """Do something; False if it cannot be done, which the operator is told."""
        self._console.starting(name)
        try:
            await work
        except (EmbeddedError, MigrationError) as error:
            self._console.failed(name, str(error))
            return False
        except OSError as error:
            self._console.failed(name, f"{error.filename or 'the system'}: {error.strerror}")
            return False
        return True

    async def _step(self, name: str, work: Awaitable[None]) -> bool:
        began = time.monotonic()
        if not await self._check(name, work):
            return False
        managed = self._stack.processes.get(name)
        self._console.started(name, managed.address if managed else "", time.monotonic() - began)
        return True

    async def _watch(self, name: str, managed: Managed) -> None:
        backoff = BACKOFF_SECONDS_MIN
        began = time.monotonic()
        probed = began
        while True:
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)
            if managed.process is not None and managed.process.poll() is None:
                if time.monotonic() - probed >= PROBE_INTERVAL_SECONDS:
                    answers = await managed.answers()
                    self._set_health(name, "healthy" if answers else "unhealthy")
                    probed = time.monotonic()
                continue
            if time.monotonic() - began > STABLE_SECONDS:
                backoff = BACKOFF_SECONDS_MIN
            # Jitter, so that what died together does not come back together.
            wait = backoff * random.uniform(0.5, 1.0)  # noqa: S311
            self._set_health(name, "restarting")
            self._console.died(name, managed.process.returncode if managed.process else None, wait)
            await asyncio.sleep(wait)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
            began = time.monotonic()
            self._restarts[name] += 1
            await self._step(name, self._start_one(name, managed))

    async def _bound_logs(self) -> None:
        while True:
            try:
                await asyncio.to_thread(bound_logs, self._folder / "logs", self._settings)
            except OSError as error:
                self._tell(f"the logs grow on: {error.strerror}")
            await asyncio.sleep(LOG_INTERVAL_SECONDS)

    async def _stop_all(self) -> None:
        started = {name for name, health in self._health.items() if health != "stopped"}
        if not started:
            return
        self._health |= dict.fromkeys(started, "stopping")
        self._publish()
        self._console.stopping()
        for names in reversed(self._stack.stages):
            await asyncio.gather(*(self._stop_one(name) for name in names if name in started))
        self._console.stopped()

    async def _stop_one(self, name: str) -> None:
        managed = self._stack.processes[name]
        stopping = asyncio.create_task(managed.stop())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not stopping.done():
            await managed.kill()
            await stopping
        self._set_health(name, "stopped")

    def _set_health(self, name: str, health: Health) -> None:
        """Publish news; a restart that succeeds is news too, because the pid is another."""
        if self._health[name] != health or not self._published:
            self._health[name] = health
            self._publish()

    def _publish(self) -> None:
        try:
            write_state(self._folder, self._state())
            self._published = True
        except OSError as error:
            # The processes can do without; `leo status` shows older news until there is room.
            self._published = False
            self._tell(f"the state cannot be written to {self._folder}: {error.strerror}")

    def _tell(self, problem: str) -> None:
        """Tell of a problem, once."""
        if problem not in self._told:
            self._told.add(problem)
            self._console.problem(problem)

    def _state(self) -> StackState:
        return StackState(
            version=version("leo-activation"),
            supervisor_pid=os.getpid(),
            data_folder=str(self._folder),
            processes=tuple(
                ProcessState(
                    name=name,
                    pid=_pid(managed),
                    address=managed.address,
                    health=self._health[name],
                    restarts=self._restarts[name],
                )
                for name, managed in self._stack.processes.items()
            ),
        )


def _pid(managed: Managed) -> int | None:
    process = managed.process
    return process.pid if process is not None and process.poll() is None else None


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone.

    Asked again and again: a library whose own time-out falls into the same moment may swallow a
    cancellation (seen with HTTP probes), and the task would go on for ever.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_INTERVAL_SECONDS)
