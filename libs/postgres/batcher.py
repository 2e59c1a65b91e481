"""Single calls become batches: one row costs a database twelve times what it costs in a batch.

Source: docs/decisions/0007-batches-without-a-timer.md
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from libs.rpc.errors import DeadlineError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

# Two, so that one batch is put together while the other one commits.
FLUSH_COUNT_MAX = 2


class Batcher(Generic[_Item, _Answer]):
    """Gathers items of one tenant while earlier ones are being written.

    There is no timer: the first item goes at once, what arrives meanwhile goes together with the
    next commit. So a quiet system answers fast and a busy one writes large batches.
    """

    def __init__(
        self,
        write: Callable[[UUID, Sequence[_Item]], Awaitable[Sequence[_Answer]]],
        *,
        count_max: int,
    ) -> None:
        """Make one that holds nothing yet.

        Args:
            write: writes a tenant's items in one transaction, all or nothing, and answers for each
                in their order; doing it again changes nothing. It runs outside of any call, so that
                no caller's deadline is the batch's.
            count_max: items of one batch.
        """
        self._write = write
        self._count_max = count_max
        self._waiting: dict[UUID, deque[tuple[_Item, asyncio.Future[_Answer]]]] = {}
        self._flush_counts: dict[UUID, int] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def submit(self, tenant_id: UUID, item: _Item) -> _Answer:
        """Have one item written; when this returns, it is committed.

        A caller that goes away does not take its item back: it may be written.

        Raises:
            What writing it raised: with its batch where the database was away or too slow, else by
                itself.
        """
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append((item, future))
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
            count = min(len(waiting), self._count_max)
            await self._write_batch(tenant_id, [waiting.popleft() for _ in range(count)])
        self._flush_counts[tenant_id] -= 1
        if not self._flush_counts[tenant_id]:
            # Nothing waits and nothing is written: a tenant at rest takes no memory.
            del self._flush_counts[tenant_id], self._waiting[tenant_id]

    async def _write_batch(
        self, tenant_id: UUID, batch: Sequence[tuple[_Item, asyncio.Future[_Answer]]]
    ) -> None:
        try:
            answers = await self._write(tenant_id, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # each caller gets it
            if len(batch) > 1 and not isinstance(error, (UnavailableError, DeadlineError)):
                # One of them is to blame, and takes none of the others with it.
                for one in batch:
                    await self._write_batch(tenant_id, [one])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
