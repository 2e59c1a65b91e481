"""`python -m services.dispatch work`: the machine, with ARQ as its doorbell."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import structlog
from arq import Worker, func
from arq.connections import RedisSettings as ArqSettings

from libs.http.client import HttpClient
from libs.postgres.database import Database
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.relay import until_stopped
from libs.relay.outage import Outage
from libs.smtp.client import SmtpClient
from libs.unsubscribe import UnsubscribeSettings
from services.dispatch.channels.contract import Clients
from services.dispatch.doorbell import JOB_NAME, QUEUE_NAME, deserialize, serialize
from services.dispatch.machine.claim import Claims
from services.dispatch.machine.machine import Machine
from services.dispatch.machine.results import Results
from services.dispatch.machine.settings import MachineSettings, RedisSettings
from services.dispatch.settings import DispatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from arq.typing import StartupShutdown, WorkerCoroutine

# Short, because the doorbell is there to be fast.
POLL_SECONDS = 0.02
JOB_TIMEOUT_SECONDS = 5
RESTART_SECONDS_MIN = 0.5
RESTART_SECONDS_MAX = 5.0

log = structlog.get_logger(__name__)


async def work() -> None:
    """Send what is due, until SIGTERM; then finish what is in flight."""
    dispatch, settings = DispatchSettings(), MachineSettings()
    links = UnsubscribeSettings().links()
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-dispatch-work")
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name="leo-dispatch-work")
        stack.push_async_callback(finder.close)
        private_addresses = settings.private_addresses
        clients = Clients(
            http=await stack.enter_async_context(HttpClient(private_addresses=private_addresses)),
            smtp=await stack.enter_async_context(SmtpClient(private_addresses=private_addresses)),
        )
        machine = Machine(
            finder=finder,
            claims=Claims(database, dispatch.key_ring(), settings, links),
            results=Results(database, settings),
            clients=clients,
            settings=settings,
        )
        listener = asyncio.create_task(_listen(RedisSettings().url, machine.wake))
        try:
            await until_stopped(machine.run())
        finally:
            listener.cancel()
            await asyncio.wait({listener})


async def _listen(url: str, wake: Callable[[], None]) -> None:
    """Run the ARQ worker for as long as this runs: it ends when Redis does, and is begun again."""
    if not url:
        return

    async def ring(_context: dict[Any, Any], _shard: int) -> None:
        wake()

    async def connected(_context: dict[Any, Any]) -> None:
        outage.end()

    # Once only: the loop below comes again by itself, and says it in one line.
    settings = replace(ArqSettings.from_dsn(url), conn_retries=0)
    # ARQ tells of each ring in two lines.
    logging.getLogger("arq").setLevel(logging.WARNING)
    outage = Outage("doorbell")
    task = asyncio.current_task()
    assert task is not None, "it runs as a task"
    while True:
        try:
            worker = Worker(
                functions=[func(cast("WorkerCoroutine", ring), name=JOB_NAME, max_tries=1)],
                queue_name=QUEUE_NAME,
                redis_settings=settings,
                poll_delay=POLL_SECONDS,
                job_timeout=JOB_TIMEOUT_SECONDS,
                keep_result=0,
                handle_signals=False,
                on_startup=cast("StartupShutdown", connected),
                job_serializer=serialize,
                job_deserializer=deserialize,
            )
            try:
                await worker.async_run()
            finally:
                await worker.close()
        except asyncio.CancelledError:
            # Closing an ARQ worker raises it for the jobs that it cancels.
            if task.cancelling():
                raise
        except Exception as error:
            # Whatever ends it, the poll goes on beside it. But where Redis goes at the same moment
            # as we do, closing fails and hides that we are cancelled.
            if task.cancelling():
                raise asyncio.CancelledError from error
            outage.begin(type(error).__name__)
        # Jitter, so that workers do not come back together.
        await asyncio.sleep(random.uniform(RESTART_SECONDS_MIN, RESTART_SECONDS_MAX))  # noqa: S311
