"""The doorbell of the workers: "there may be work", sooner than their poll would find it.

Best effort: a ring that is lost costs a second and nothing else, because PostgreSQL is the truth.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from arq.connections import RedisSettings as ArqSettings
from arq.connections import create_pool

from libs.relay.outage import Outage

if TYPE_CHECKING:
    from arq.connections import ArqRedis

QUEUE_NAME = "leo:dispatch"
JOB_NAME = "ring"
RING_TIMEOUT_SECONDS = 0.05
# Where so many rings hang, somebody will hear one of them, or nobody is there. More than one,
# because whoever has just heard it may have looked already.
RING_COUNT_MAX = 10
# After a failure nobody waits for Redis again for so long.
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
    """Rings through ARQ, at most RING_TIMEOUT_SECONDS long.

    Attributes:
        failure_count: rings that did not reach Redis.
    """

    def __init__(self, url: str) -> None:
        """Hang it at a Redis; with an empty `url` it never rings."""
        self._url = url
        self._pool: ArqRedis | None = None
        self._opening = asyncio.Lock()
        self._quiet_until = 0.0
        self._outage = Outage("doorbell")
        self.failure_count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await self._pool.aclose()

    async def ring(self) -> None:
        """Wake a worker, if that goes fast. Never raises."""
        if not self._url or time.monotonic() < self._quiet_until:
            return
        try:
            async with asyncio.timeout(RING_TIMEOUT_SECONDS):
                pool = await self._opened()
                # ARQ never takes a job back that no worker came for: it would keep them for ever.
                if await pool.zcard(QUEUE_NAME) < RING_COUNT_MAX:
                    await pool.enqueue_job(JOB_NAME, _SHARD)
        except Exception as error:  # noqa: BLE001 - whatever it is, the poll comes after
            self.failure_count += 1
            self._quiet_until = time.monotonic() + PAUSE_SECONDS
            self._outage.begin(type(error).__name__)
        else:
            self._outage.end()

    async def _opened(self) -> ArqRedis:
        async with self._opening:
            if self._pool is None:
                self._pool = await create_pool(
                    # Whoever rings next tries again.
                    replace(ArqSettings.from_dsn(self._url), conn_retries=0),
                    job_serializer=serialize,
                    job_deserializer=deserialize,
                    default_queue_name=QUEUE_NAME,
                )
            return self._pool
