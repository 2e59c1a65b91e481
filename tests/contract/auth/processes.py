"""Real processes of ours, started and stopped as a supervisor would."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def free_address() -> str:
    """Return a loopback address at which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def start(module: str, log: Path, **environment: str) -> asyncio.subprocess.Process:
    """Start `python -m <module> serve` with its log in a file."""
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            "serve",
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )


@asynccontextmanager
async def running(
    module: str, log: Path, url: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module's HTTP server until `url` answers, and end it at the end."""
    process = await start(module, log, **environment)
    try:
        await _wait_for(process, url, log)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _wait_for(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient() as client:
        while process.returncode is None:
            try:
                (await client.get(url)).raise_for_status()
            except httpx.TransportError:
                # It does not listen yet; the test's time limit ends this.
                await asyncio.sleep(0.02)
            else:
                return
    raise AssertionError(f"the process ended; its log is {log}")
