from __future__ import annotations

import asyncio
from contextvars import ContextVar
from uuid import UUID, uuid4

from libs.relay import Ringer

TENANT = uuid4()
CALL = ContextVar("call", default="none")


class Receiver:
    """Records batches; `gate` holds calls up, `error` makes them fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[UUID, list[UUID]]] = []
        self.contexts: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self._changed = asyncio.Condition()

    async def __call__(self, tenant_id: UUID, ids: list[UUID]) -> None:
        self.calls.append((tenant_id, ids))
        self.contexts.add(CALL.get())
        async with self._changed:
            self._changed.notify_all()
        await self.gate.wait()
        if self.error:
            raise self.error

    @property
    def received(self) -> list[UUID]:
        return [item for _, ids in self.calls for item in ids]

    async def wait_for(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)


def some(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]


async def test_what_comes_while_calls_are_out_goes_together() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    ids = some(1202)
    async with Ringer(receiver) as ringer:
        for position in (0, 1):
            ringer.ring(TENANT, ids[position : position + 1])
            await receiver.wait_for(position + 1)
        for item_id in ids[2:]:
            ringer.ring(TENANT, [item_id])
        await asyncio.sleep(0)
        assert len(receiver.calls) == 2
        receiver.gate.set()
        await receiver.wait_for(len(ids))
    assert [len(batch) for _, batch in receiver.calls] == [1, 1, 500, 500, 200]
    assert receiver.received == ids


async def test_rings_of_one_turn_of_the_loop_go_in_one_call() -> None:
    receiver = Receiver()
    ids = some(3)
    async with Ringer(receiver) as ringer:
        for item_id in ids:
            ringer.ring(TENANT, [item_id])
        await receiver.wait_for(3)
    assert receiver.calls == [(TENANT, ids)]


async def test_a_slow_call_of_one_tenant_holds_no_other_up() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    other = uuid4()
    async with Ringer(receiver) as ringer:
        for tenant_id in (TENANT, TENANT, other):
            before = len(receiver.received)
            ringer.ring(tenant_id, some(1))
            await receiver.wait_for(before + 1)
        assert [tenant_id for tenant_id, _ in receiver.calls] == [TENANT, TENANT, other]


async def test_a_failed_call_is_counted_and_the_next_one_goes_out() -> None:
    receiver = Receiver()
    receiver.error = RuntimeError("a secret")
    async with Ringer(receiver) as ringer:
        ringer.ring(TENANT, some(3))
        await receiver.wait_for(3)
        receiver.error = None
        ringer.ring(TENANT, some(2))
        await receiver.wait_for(5)
        assert ringer.lost_count == 3


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    async with Ringer(receiver, waiting_count_max=10) as ringer:
        ringer.ring(TENANT, some(2))
        await receiver.wait_for(2)
        ringer.ring(TENANT, some(2))
        await receiver.wait_for(4)
        ringer.ring(TENANT, some(8))
        ringer.ring(TENANT, some(8))
        ringer.ring(TENANT, some(1))
        assert ringer.lost_count == 7
        receiver.gate.set()
        await receiver.wait_for(14)
        ringer.ring(TENANT, some(10))
        await receiver.wait_for(24)
        assert ringer.lost_count == 7


async def test_the_call_that_rings_gives_neither_its_context_nor_its_end() -> None:
    receiver = Receiver()
    receiver.gate.clear()

    async def answer(ringer: Ringer) -> None:
        CALL.set("of a client")
        ringer.ring(TENANT, some(1))

    async with Ringer(receiver) as ringer:
        await asyncio.create_task(answer(ringer))
        await receiver.wait_for(1)
        receiver.gate.set()
    assert receiver.contexts == {"none"}


async def test_it_ends_without_waiting_for_calls() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    async with Ringer(receiver) as ringer:
        ringer.ring(TENANT, some(1))
        await receiver.wait_for(1)
    assert len(receiver.calls) == 1
