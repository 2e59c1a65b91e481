"""Processes that work in the background end as servers do."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = structlog.get_logger(__name__)


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
