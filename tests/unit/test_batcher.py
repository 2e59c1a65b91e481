"""Single calls become batches, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from libs.postgres.batcher import FLUSH_COUNT_MAX, Batcher
from libs.postgres.errors import DeadlinePassedError, StorageUnavailableError
from libs.rpc.call import Call, enter_call, find_call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

TENANT, OTHER = uuid4(), uuid4()
COUNT_MAX = 10


class Writer:
    """Writes when the test lets it, and remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[tuple[UUID, list[int]]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.poison: set[int] = set()

    async def write(self, tenant_id: UUID, items: Sequence[int]) -> list[str]:
        assert find_call() is None
        self.batches.append((tenant_id, list(items)))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if self.poison & set(items):
            raise ValueError
        return [f"answer {item}" for item in items]

    def sizes(self) -> list[int]:
        return [len(items) for _, items in self.batches]


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def batcher(writer: Writer) -> Batcher[int, str]:
    return Batcher(writer.write, count_max=COUNT_MAX)


async def begin(
    batcher: Batcher[int, str], items: Sequence[int], tenant_id: UUID = TENANT
) -> list[asyncio.Task[str]]:
    """Submit items, and let the batcher do what it does at once."""
    calls = [asyncio.create_task(batcher.submit(tenant_id, item)) for item in items]
    for _ in range(5):
        await asyncio.sleep(0)
    return calls


async def busy(batcher: Batcher[int, str], tenant_id: UUID = TENANT) -> list[asyncio.Task[str]]:
    """As many writes under way as there may be, of one item each."""
    calls = []
    for item in range(-FLUSH_COUNT_MAX, 0):
        calls += await begin(batcher, [item], tenant_id)
    return calls


async def test_what_comes_while_others_are_written_is_written_together(
    batcher: Batcher[int, str], writer: Writer
) -> None:
    calls = [*await busy(batcher), *await begin(batcher, range(7))]
    assert writer.sizes() == [1] * FLUSH_COUNT_MAX
    writer.go.set()
    answers = await asyncio.gather(*calls)
    assert answers[FLUSH_COUNT_MAX:] == [f"answer {item}" for item in range(7)]
    assert writer.sizes() == [1] * FLUSH_COUNT_MAX + [7]


async def test_a_batch_has_its_limit(batcher: Batcher[int, str], writer: Writer) -> None:
    calls = [*await busy(batcher), *await begin(batcher, range(2 * COUNT_MAX + 1))]
    writer.go.set()
    await asyncio.gather(*calls)
    assert sorted(writer.sizes()) == [1, *[1] * FLUSH_COUNT_MAX, COUNT_MAX, COUNT_MAX]


async def test_nobody_is_answered_before_it_is_written(
    batcher: Batcher[int, str], writer: Writer
) -> None:
    (call,) = await begin(batcher, [1])
    assert writer.sizes() == [1]
    assert not call.done()
    writer.go.set()
    assert await call == "answer 1"


async def test_tenants_neither_share_a_batch_nor_wait_for_each_other(
    batcher: Batcher[int, str], writer: Writer
) -> None:
    calls = [*await busy(batcher), *await begin(batcher, [1, 2], OTHER)]
    assert writer.batches[-1] == (OTHER, [1, 2])
    writer.go.set()
    await asyncio.gather(*calls)


async def test_one_that_cannot_be_written_takes_no_other_with_it(
    batcher: Batcher[int, str], writer: Writer
) -> None:
    writer.poison = {2}
    calls = [*await busy(batcher), *await begin(batcher, range(4))]
    writer.go.set()
    answers = (await asyncio.gather(*calls, return_exceptions=True))[FLUSH_COUNT_MAX:]
    assert isinstance(answers.pop(2), ValueError)
    assert answers == ["answer 0", "answer 1", "answer 3"]


@pytest.mark.parametrize("error", [StorageUnavailableError(), DeadlinePassedError()])
async def test_a_database_that_is_away_is_not_asked_for_each_one(
    batcher: Batcher[int, str], writer: Writer, error: Exception
) -> None:
    writer.error = error
    calls = [*await busy(batcher), *await begin(batcher, range(4))]
    writer.go.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers == [error] * (FLUSH_COUNT_MAX + 4)
    assert writer.sizes() == [1] * FLUSH_COUNT_MAX + [4]


async def test_whoever_goes_away_holds_up_nobody(
    batcher: Batcher[int, str], writer: Writer
) -> None:
    calls = [*await busy(batcher), *await begin(batcher, range(3))]
    calls.pop().cancel()
    writer.go.set()
    assert (await asyncio.gather(*calls))[-1] == "answer 1"
    assert writer.batches[-1] == (TENANT, [0, 1, 2])


async def test_a_batch_has_no_callers_deadline(batcher: Batcher[int, str], writer: Writer) -> None:
    # Writer.write looks.
    enter_call(Call(call_id="1", method="/x/Y", deadline_seconds=0.0))
    writer.go.set()
    assert await batcher.submit(TENANT, 1) == "answer 1"


async def test_a_tenant_at_rest_takes_no_memory(batcher: Batcher[int, str], writer: Writer) -> None:
    calls = [*await busy(batcher), *await begin(batcher, [1], OTHER)]
    writer.go.set()
    await asyncio.gather(*calls)
    while batcher._flushes:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert not batcher._waiting
    assert not batcher._flush_counts
