"""Single calls become batches: one row costs a database twelve times what it costs in a batch."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING

from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX

if TYPE_CHECKING:
    from uuid import UUID

    from services.ingest.domain.event import Event, StoredEvent
    from services.ingest.store import IngestStore

# Two, so that one batch is put together while the other one commits.
FLUSH_COUNT_MAX = 2


class EventBatcher:
    """Gathers events of one tenant while earlier ones are being written.

    There is no timer: the first event goes at once, what arrives meanwhile goes together with the
    next commit. So a quiet system answers fast and a busy one writes large batches.
    """

    def __init__(self, store: IngestStore) -> None:
        self._store = store
        self._waiting: dict[UUID, deque[tuple[Event, asyncio.Future[StoredEvent]]]] = {}
        self._flush_counts: dict[UUID, int] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def insert(self, tenant_id: UUID, event: Event) -> StoredEvent:
        """Store one event; raises what its batch raised.

        A caller that goes away does not take its event back: it may be stored.
        """
        future: asyncio.Future[StoredEvent] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append((event, future))
        if self._flush_counts.get(tenant_id, 0) < FLUSH_COUNT_MAX:
            self._flush_counts[tenant_id] = self._flush_counts.get(tenant_id, 0) + 1
            # Not in the first caller's context: its deadline is not the batch's.
            flush = asyncio.create_task(self._flush(tenant_id), context=contextvars.Context())
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        return await future

    async def _flush(self, tenant_id: UUID) -> None:
        waiting = self._waiting[tenant_id]
        # The other calls that this turn of the loop has read come along.
        await asyncio.sleep(0)
        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), EVENT_BATCH_COUNT_MAX))]
            try:
                answers = await self._store.insert_events(tenant_id, [event for event, _ in batch])
            except Exception as error:  # noqa: BLE001  # each caller gets it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        self._flush_counts[tenant_id] -= 1
        if not self._flush_counts[tenant_id]:
            # Nothing waits and nothing is written: a tenant at rest takes no memory.
            del self._flush_counts[tenant_id], self._waiting[tenant_id]
