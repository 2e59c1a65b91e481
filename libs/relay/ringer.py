"""The doorbell: the next service hears of new rows at once, if it can."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from libs.relay.channel import InternalChannel
from libs.relay.handover import BATCH_COUNT_MAX
from libs.relay.outage import Outage, problem_of
from libs.relay.settings import InternalSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from uuid import UUID

    from libs.relay.handover import Handover

# Two, so that one batch gathers while another one is being worked on.
CALL_COUNT_MAX = 2
# Some seconds of full load; what does not fit is found by the sweeper.
WAITING_COUNT_MAX = 20_000


class Ringer:
    """Hands ids over in batches; best effort, because the sweeper finds what it loses.

    There is no timer: the first id goes at once, what comes meanwhile goes with the next call.

        async with Ringer(activation(channel)) as ringer:
            ringer.ring(tenant_id, event_ids)

    Attributes:
        lost_count: ids that were not handed over, because a call failed or too many waited.
    """

    def __init__(
        self,
        hand_over: Callable[[UUID, list[UUID]], Awaitable[object]],
        *,
        waiting_count_max: int = WAITING_COUNT_MAX,
    ) -> None:
        self._hand_over = hand_over
        self._room_count = waiting_count_max
        self._waiting: dict[UUID, deque[UUID]] = {}
        self._call_counts: dict[UUID, int] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._outage = Outage("doorbell")
        self.lost_count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up what is not handed over yet."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def ring(self, tenant_id: UUID, ids: Sequence[UUID]) -> None:
        """Hand `ids` over soon. Returns at once and never raises."""
        taken = ids[: self._room_count]
        if len(taken) < len(ids):
            self._lose(len(ids) - len(taken), "too many wait")
        if not taken:
            return
        self._room_count -= len(taken)
        self._waiting.setdefault(tenant_id, deque()).extend(taken)
        if self._call_counts.get(tenant_id, 0) < CALL_COUNT_MAX:
            self._call_counts[tenant_id] = self._call_counts.get(tenant_id, 0) + 1
            # Not in the context of the call that is being answered: its deadline is not this one's.
            call = asyncio.create_task(self._call(tenant_id), context=contextvars.Context())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, tenant_id: UUID) -> None:
        waiting = self._waiting[tenant_id]
        # What else this turn of the loop brings comes along.
        await asyncio.sleep(0)
        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), BATCH_COUNT_MAX))]
            self._room_count += len(batch)
            try:
                await self._hand_over(tenant_id, batch)
            except Exception as error:  # noqa: BLE001  # whatever it is, the sweeper comes after
                self._lose(len(batch), problem_of(error))
            else:
                self._outage.end()
        self._call_counts[tenant_id] -= 1
        if not self._call_counts[tenant_id]:
            # A tenant at rest takes no memory.
            del self._call_counts[tenant_id], self._waiting[tenant_id]

    def _lose(self, count: int, problem: str) -> None:
        self.lost_count += count
        self._outage.begin(problem)


@asynccontextmanager
async def ringing(
    address: str, handover: Callable[[InternalChannel], Handover]
) -> AsyncIterator[Callable[[UUID, Sequence[UUID]], None] | None]:
    """`Ringer.ring` to the service at `address` for the block; None without an address."""
    if not address:
        yield None
        return
    async with (
        InternalChannel(address, InternalSettings()) as channel,
        Ringer(handover(channel)) as ringer,
    ):
        yield ringer.ring
