"""The worker's doorbell when everything ends at once, as after a kill of the supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from libs.embedded import EmbeddedValkey
from services.dispatch.machine import worker

if TYPE_CHECKING:
    from pathlib import Path

STOP_TIMEOUT_SECONDS = 10


async def test_the_doorbell_ends_though_redis_ends_at_the_same_moment(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    # Which of the two is noticed first is a matter of luck.
    for _ in range(5):
        await server.start()
        listener = asyncio.create_task(worker._listen(server.url, lambda: None))
        await has_connected(server)
        await server.kill()
        listener.cancel()
        ended, _ = await asyncio.wait({listener}, timeout=STOP_TIMEOUT_SECONDS)
        while not listener.done():
            listener.cancel()
            await asyncio.wait({listener}, timeout=0.1)
        assert ended


async def has_connected(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url) as ours:
        while len(await ours.client_list()) < 2:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)
