"""Processes that work in the background end as servers do."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from libs.postgres.database import Database
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.relay.channel import InternalChannel
from libs.relay.settings import InternalSettings
from libs.relay.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from libs.relay.handover import Handover
    from libs.relay.sweeper import Hop

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """Something that works in the background."""

    async def run(self) -> None:
        """Work until cancelled."""


async def until_stopped(work: Coroutine[None, None, None]) -> None:
    """Run `work` until SIGTERM or SIGINT cancels it; what it raises by itself is raised."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    log.info("working")
    with suppress(asyncio.CancelledError):
        await task
    log.info("stopped")


async def sweep_until_stopped(
    hop: Hop,
    handover: Callable[[InternalChannel], Handover],
    address: str,
    *,
    application_name: str,
    beside: Callable[[Database, Database], Iterable[Worker]] = lambda *_: (),
) -> None:
    """Hand over what is missing at the service that listens on `address`, until SIGTERM.

    Args:
        beside: makes what else this process does, of the service's database and the finder's. Where
            one worker fails, all end.
    """
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name=application_name)
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name=application_name)
        stack.push_async_callback(finder.close)
        channel = await stack.enter_async_context(InternalChannel(address, InternalSettings()))
        sweeper = Sweeper(database, finder, hop, handover(channel))
        await until_stopped(_run_together(sweeper, *beside(database, finder)))


async def _run_together(*workers: Worker) -> None:
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
