"""Streams that break: everything is answered once, in order, and memory stays bounded."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

import leo_sdk
from tests.contract.sdk.scripted import ACCEPTED, DUPLICATE, StreamScript, failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from leo.ingest.v1.ingest_service_pb2 import Event, EventResult
    from tests.contract.sdk.scripted import ScriptedServer


def numbered(number: int) -> Event:
    return leo_sdk.event(
        source="shop",
        source_event_id=str(number),
        event_type="purchase",
        profile_ext_id="p1",
        event_time=datetime(2026, 1, 2, tzinfo=UTC),
    )


def numbered_events(count: int) -> Iterator[Event]:
    return (numbered(number) for number in range(1, count + 1))


async def all_results(
    client: leo_sdk.LeoClient, count: int, message_event_count: int = 10
) -> list[tuple[int, EventResult]]:
    results = client.ingest.stream_events(
        numbered_events(count), message_event_count=message_event_count, window_event_count=50
    )
    return [answer async for answer in results]


def assert_each_answered_in_order(answers: list[tuple[int, EventResult]], count: int) -> None:
    assert [position for position, _ in answers] == list(range(1, count + 1))
    assert [result.event_id for _, result in answers] == [
        str(number) for number in range(1, count + 1)
    ]


async def test_an_unbroken_stream_answers_each_event_in_order(server: ScriptedServer) -> None:
    async with server.client() as client:
        answers = await all_results(client, 1000)
    assert_each_answered_in_order(answers, 1000)
    assert {result.outcome for _, result in answers} == {ACCEPTED}
    assert len(server.ingest.calls) == 1


async def test_no_events_make_no_call(server: ScriptedServer) -> None:
    async with server.client() as client:
        assert await all_results(client, 0) == []
    assert server.ingest.calls == []


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ],
)
async def test_a_broken_stream_goes_on_behind_the_last_durable_position(
    server: ScriptedServer, code: grpc.StatusCode
) -> None:
    server.ingest.streams.append(
        StreamScript(break_after_count=37, unacknowledged_count=5, status=failure(code))
    )
    async with server.client() as client:
        answers = await all_results(client, 200)
    assert_each_answered_in_order(answers, 200)
    duplicates = [position for position, result in answers if result.outcome == DUPLICATE]
    assert duplicates == [33, 34, 35, 36, 37]  # stored, but their acknowledgement was lost
    assert server.ingest.received_count == 205
    assert len(server.ingest.calls) == 2


async def test_a_stream_survives_many_breaks(server: ScriptedServer) -> None:
    server.ingest.streams.extend(
        StreamScript(break_after_count=count, unacknowledged_count=count % 3)
        for count in [1, 0, 13, 50, 0, 0, 7, 99, 2]
    )
    async with server.client() as client:
        answers = await all_results(client, 400)
    assert_each_answered_in_order(answers, 400)
    assert len(server.ingest.stored) == 400
    assert not server.ingest.streams


async def test_a_stream_survives_the_death_of_the_server(server: ScriptedServer) -> None:
    async with server.client() as client:
        stream = client.ingest.stream_events(
            numbered_events(300), message_event_count=10, window_event_count=50
        )
        answers = [await anext(stream) for _ in range(60)]
        await server.stop()
        await server.start(server.address)
        answers += [answer async for answer in stream]
    assert_each_answered_in_order(answers, 300)
    assert len(server.ingest.stored) == 300


async def test_a_server_that_ends_the_stream_early_is_called_again(server: ScriptedServer) -> None:
    server.ingest.streams.append(
        StreamScript(break_after_count=20, status=failure(grpc.StatusCode.OK))
    )
    async with server.client() as client:
        answers = await all_results(client, 100)
    assert_each_answered_in_order(answers, 100)


async def test_a_reader_that_stops_stops_the_source(server: ScriptedServer) -> None:
    taken_count = 0

    def counted() -> Iterator[Event]:
        nonlocal taken_count
        for event in numbered_events(10_000):
            taken_count += 1
            yield event

    async with server.client() as client:
        stream = client.ingest.stream_events(
            counted(), message_event_count=10, window_event_count=40
        )
        async with aclosing(stream):
            async for position, _ in stream:
                # The window, and the one event that waits for room in it.
                assert taken_count <= position + 10 + 40 + 1
                if position == 500:
                    break
    assert taken_count <= 500 + 10 + 40 + 1


async def test_an_event_that_comes_alone_is_sent_at_once(server: ScriptedServer) -> None:
    answered = asyncio.Event()

    async def one_by_one() -> AsyncIterator[Event]:
        for number in range(1, 6):
            yield numbered(number)
            await answered.wait()  # the next one exists only after this one's answer
            answered.clear()

    async with server.client() as client:
        positions = []
        async for position, _ in client.ingest.stream_events(one_by_one()):
            positions.append(position)
            answered.set()
    assert positions == [1, 2, 3, 4, 5]


async def test_a_source_that_fails_is_told_after_what_it_gave_is_answered(
    server: ScriptedServer,
) -> None:
    def failing() -> Iterator[Event]:
        yield from numbered_events(25)
        raise RuntimeError("the file ends in the middle")

    async with server.client() as client:
        stream = client.ingest.stream_events(failing())
        answers = [await anext(stream) for _ in range(25)]
        with pytest.raises(RuntimeError, match="the file ends in the middle"):
            await anext(stream)
    assert_each_answered_in_order(answers, 25)


async def test_a_stream_without_any_progress_gives_up_with_the_servers_reason(
    server: ScriptedServer,
) -> None:
    unavailable = failure(
        grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", retry_after=timedelta(hours=1)
    )
    server.ingest.streams.extend([StreamScript(break_after_count=0, status=unavailable)] * 100)
    async with server.client() as client:
        with pytest.raises(leo_sdk.UnavailableError) as caught:
            await all_results(client, 100)
    assert caught.value.reason == "STORAGE_UNAVAILABLE"
    assert server.ingest.stored == {}


async def test_a_server_that_takes_events_and_never_answers_is_given_up(
    server: ScriptedServer,
) -> None:
    server.ingest.streams.append(StreamScript(break_after_count=10, hang=True))
    async with server.client() as client:
        stream = client.ingest.stream_events(
            numbered_events(100), message_event_count=10, stall_timeout=timedelta(milliseconds=200)
        )
        answers = [await anext(stream) for _ in range(10)]
        with pytest.raises(leo_sdk.UnavailableError) as caught:
            await anext(stream)
    assert caught.value.reason == "STREAM_BROKEN"
    assert_each_answered_in_order(answers, 10)


async def test_an_idle_stream_is_not_stalled(server: ScriptedServer) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Event]:
        yield numbered(1)
        await go_on.wait()
        yield numbered(2)

    async with server.client() as client:
        stream = client.ingest.stream_events(slow(), stall_timeout=timedelta(milliseconds=50))
        assert (await anext(stream))[0] == 1
        second = asyncio.ensure_future(anext(stream))
        await asyncio.wait([second], timeout=0.2)  # four times what a stall may last
        assert not second.done()
        go_on.set()
        assert (await second)[0] == 2
        await stream.aclose()


async def test_a_refusal_that_is_not_the_networks_ends_the_stream(server: ScriptedServer) -> None:
    denied = failure(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    server.ingest.streams.extend([StreamScript(break_after_count=0, status=denied)] * 100)
    async with server.client() as client:
        with pytest.raises(leo_sdk.ForbiddenError) as caught:
            await all_results(client, 10)
    assert caught.value.reason == "SCOPE_MISSING"


async def test_a_stream_whose_token_ran_out_goes_on_with_a_new_one(server: ScriptedServer) -> None:
    class Tokens:
        async def token(self, *, refused: str | None = None) -> str:
            return "old" if refused is None else "new"

    server.ingest.refused_authorization = "Bearer old"
    async with server.client(Tokens()) as client:
        answers = await all_results(client, 30)
    assert_each_answered_in_order(answers, 30)
    sent = [metadata["authorization"] for _, metadata in server.ingest.calls]
    assert list(dict.fromkeys(sent)) == ["Bearer old", "Bearer new"]


async def test_a_stream_whose_token_is_refused_for_good_ends(server: ScriptedServer) -> None:
    server.ingest.refused_authorization = "Bearer a-token"
    async with server.client() as client:
        with pytest.raises(leo_sdk.UnauthenticatedError) as caught:
            await all_results(client, 30)
    assert caught.value.reason == "TOKEN_INVALID"


async def test_a_stream_that_is_left_early_ends_its_call(server: ScriptedServer) -> None:
    async with server.client() as client:
        async with aclosing(client.ingest.stream_events(numbered_events(10_000))) as stream:
            await anext(stream)
        # The connection serves other calls, and nothing of the stream runs any more.
        await client.ingest.ingest_event(numbered(1))
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
    assert not [name for name in names if name.startswith("EventStream.")]
    assert server.ingest.received_count < 10_000


@pytest.mark.parametrize(
    ("message_event_count", "window_event_count"), [(0, 10), (501, 1000), (100, 99)]
)
async def test_limits_that_cannot_work_are_refused(
    server: ScriptedServer, message_event_count: int, window_event_count: int
) -> None:
    async with server.client() as client:
        with pytest.raises(ValueError, match="event_count"):
            client.ingest.stream_events(
                [],
                message_event_count=message_event_count,
                window_event_count=window_event_count,
            )
