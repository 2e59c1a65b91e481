"""The doorbell of the workers: "there may be work", sooner than their poll would find it.

Best effort: a ring that is lost costs a second and nothing else, because PostgreSQL is the truth.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from arq.connections import RedisSettings as ArqSettings
from arq.connections import create_pool

from libs.relay.outage import Outage

if TYPE_CHECKING:
    from arq.connections import ArqRedis

QUEUE_NAME = "leo:dispatch"
JOB_NAME = "ring"
# Longer is of no use: the poll is as fast.
RING_TIMEOUT_SECONDS = 1.0
# Where so many rings hang, somebody will hear one of them, or nobody is there. More than one,
# because whoever has just heard it may have looked already.
RING_COUNT_MAX = 10
# After a failure the next ring waits for so long.
PAUSE_SECONDS = 1.0
# ARQ logs arguments and keeps them: this one says nothing.
_SHARD = 0


def serialize(job: dict[str, Any]) -> bytes:
    """A job as JSON: pickle would run whatever somebody put into Redis."""
    return json.dumps(job, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """A job from JSON."""
    job: dict[str, Any] = json.loads(data)
    return job


class Doorbell:
    """Rings through ARQ, beside whoever asks for it: nobody waits for Redis.

    What is asked for while one ring is on its way is one more ring.

    Attributes:
        ring_count: rings that Redis has, or had enough of.
        failure_count: rings that did not reach Redis.
    """

    def __init__(self, url: str) -> None:
        """Hang it at a Redis; with an empty `url` it never rings."""
        self._url = url
        self._pool: ArqRedis | None = None
        self._wanted = asyncio.Event()
        self._ringing: asyncio.Task[None] | None = None
        self._outage = Outage("doorbell")
        self.ring_count = 0
        self.failure_count = 0

    async def __aenter__(self) -> Self:
        if self._url:
            self._ringing = asyncio.create_task(self._ring())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.wait({self._ringing})
        if self._pool is not None:
            await self._pool.aclose()

    def ring(self) -> None:
        """Wake a worker soon. Returns at once and never raises."""
        self._wanted.set()

    async def _ring(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                async with asyncio.timeout(RING_TIMEOUT_SECONDS):
                    pool = await self._opened()
                    # ARQ never takes a job back that no worker came for: it keeps them for ever.
                    if await pool.zcard(QUEUE_NAME) < RING_COUNT_MAX:
                        await pool.enqueue_job(JOB_NAME, _SHARD)
            except Exception as error:  # noqa: BLE001 - whatever it is, the poll comes after
                self.failure_count += 1
                self._outage.begin(type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.ring_count += 1
                self._outage.end()

    async def _opened(self) -> ArqRedis:
        if self._pool is None:
            self._pool = await create_pool(
                # Whoever rings next tries again.
                replace(ArqSettings.from_dsn(self._url), conn_retries=0),
                job_serializer=serialize,
                job_deserializer=deserialize,
                default_queue_name=QUEUE_NAME,
            )
        return self._pool
