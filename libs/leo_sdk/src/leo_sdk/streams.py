"""A stream of events that outlives its connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

import grpc

from leo.ingest.v1.ingest_service_pb2 import (
    Event,
    EventResult,
    StreamEventsRequest,
    StreamEventsResponse,
)
from leo_sdk.calls import Backoff, RetryPolicy, call_metadata, is_retryable
from leo_sdk.errors import (
    SDK_DOMAIN,
    DeadlineError,
    LeoRpcError,
    UnauthenticatedError,
    UnavailableError,
    error_of_call,
)
from leo_sdk.window import Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceAsyncStub
    from leo_sdk.tokens import TokenSource

    _Call: TypeAlias = grpc.aio.StreamStreamCall[StreamEventsRequest, StreamEventsResponse]
    _Reading: TypeAlias = asyncio.Task[StreamEventsResponse | None]

EventSource: TypeAlias = AsyncIterable[Event] | Iterable[Event]

MESSAGE_EVENT_COUNT_MAX = 500

# A server bounds calls that name no deadline. A stream lasts as long as its source does, so it
# names one, and goes on in a new call when that has passed.
_CALL_TIMEOUT = timedelta(hours=1)

# What grpc.aio says in place of the server's status when a write fails while the call ends
# (https://github.com/grpc/grpc/issues/36066): the call is broken, and the next one tells why.
_WRITE_FAILED_DETAILS = "Internal error from Core"

_log = logging.getLogger("leo_sdk")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The limits of one stream.

    Attributes:
        message_event_count: at most so many events travel in one message.
        window_event_count: at most so many events are taken from the source and not acknowledged.
        stall_timeout: the stream fails after trying so long without an acknowledgement.
    """

    message_event_count: int
    window_event_count: int
    stall_timeout: timedelta

    def __post_init__(self) -> None:
        if not 1 <= self.message_event_count <= MESSAGE_EVENT_COUNT_MAX:
            raise ValueError(
                f"message_event_count is {self.message_event_count}; "
                f"it must be 1 to {MESSAGE_EVENT_COUNT_MAX}"
            )
        if self.window_event_count < self.message_event_count:
            raise ValueError("window_event_count must not be smaller than message_event_count")


class EventStream:
    """Sends a source's events and gives their results in order, over as many calls as it takes.

    Three things run at once: a feeder takes events from the source while the window has room, a
    writer sends what is unsent, and whoever iterates reads the answers. A reader that stops reading
    fills the window, which stops the feeder: that is the back-pressure.
    """

    def __init__(
        self,
        stub: IngestServiceAsyncStub,
        events: EventSource,
        *,
        tokens: TokenSource,
        policy: RetryPolicy,
        settings: StreamSettings,
    ) -> None:
        self._stub = stub
        self._events = events
        self._tokens = tokens
        self._backoff = Backoff(policy)
        self._settings = settings
        self._window = Window(settings.window_event_count)
        self._call_id = str(uuid4())
        self._refused_token: str | None = None
        self._rejection: LeoRpcError | None = None
        self._progress_at = 0.0

    async def results(self) -> AsyncGenerator[tuple[int, EventResult]]:
        """The position of each event in the source, from 1, and what became of it."""
        window = self._window
        feeder = asyncio.create_task(self._feed())
        try:
            while True:
                # An idle stream may be cut; it is opened again when there is something to send.
                await window.wait_unsent()
                if window.is_done:
                    break
                async with aclosing(self._responses()) as responses:
                    async for response in responses:
                        for answer in window.acknowledge(response):
                            yield answer
                        # The time that the caller takes for the results is not the server's.
                        self._note_progress()
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
        feeder.result()  # raises what the source raised, now that all it gave is answered

    async def _feed(self) -> None:
        try:
            if isinstance(self._events, AsyncIterable):
                async for event in self._events:
                    await self._add(event)
            else:
                for event in self._events:
                    await self._add(event)
        finally:
            self._window.close()

    async def _add(self, event: Event) -> None:
        if self._window.is_empty:
            self._note_progress()  # from now on an answer is owed
        await self._window.add(event)

    async def _responses(self) -> AsyncGenerator[StreamEventsResponse]:
        """Answers from one call after another, until nothing waits to be acknowledged."""
        error: LeoRpcError
        while True:
            token = ""
            try:
                token = await self._token()
                async with aclosing(self._responses_of_call(token)) as responses:
                    async for response in responses:
                        self._backoff.reset()
                        self._refused_token = self._rejection = None
                        yield response
                error = _unavailable("the server ended the stream early")
            except grpc.aio.AioRpcError as failure:
                if failure.details() == _WRITE_FAILED_DETAILS:
                    error = _unavailable("the connection broke")
                else:
                    error = error_of_call(failure, call_id=self._call_id)
                error.__cause__ = failure
            except LeoRpcError as failure:
                error = failure
            if self._window.is_empty and _is_interruption(error):
                return
            await self._wait_or_raise(error, token)

    async def _responses_of_call(self, token: str) -> AsyncGenerator[StreamEventsResponse]:
        self._window.start_stream()
        call: _Call = self._stub.StreamEvents(
            timeout=_CALL_TIMEOUT.total_seconds(), metadata=call_metadata(token, self._call_id)
        )
        writer = asyncio.create_task(self._write(call))
        responses = aiter(call)
        reading: _Reading | None = None
        try:
            while True:
                reading = asyncio.create_task(_next(responses))
                await self._wait_for_answer(reading, writer)
                response = reading.result()
                if response is None:
                    return
                yield response
        finally:
            tasks = [task for task in (writer, reading) if task is not None]
            for task in tasks:
                task.cancel()
            call.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, call: _Call) -> None:
        # The reader learns why a call broke; here it only means that there is nothing more to do.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await self._window.wait_unsent()
                events = self._window.take(self._settings.message_event_count)
                if not events:
                    break
                await call.write(StreamEventsRequest(events=events))
            await call.done_writing()

    async def _wait_for_answer(self, reading: _Reading, writer: asyncio.Task[None]) -> None:
        """Wait for the next answer: for ever while none is owed, but not on a stalled server."""
        while not reading.done():
            if writer.done():
                writer.result()  # an event that cannot be sent must not look like a stall
            await asyncio.wait(
                [reading] if writer.done() else [reading, writer],
                timeout=max(self._stall_seconds_left(), 0.0),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._window.is_empty:
                self._note_progress()
            elif not reading.done() and self._stall_seconds_left() <= 0:
                raise _unavailable("the server acknowledges nothing any more")

    async def _wait_or_raise(self, error: LeoRpcError, token: str) -> None:
        if isinstance(error, UnauthenticatedError) and token and self._rejection is None:
            self._refused_token, self._rejection = token, error
            return
        if not _is_interruption(error):
            raise error
        wait_seconds = self._backoff.next_seconds(error.retry_after)
        if wait_seconds >= self._stall_seconds_left():
            raise error
        _log.info(
            "stream %s: %s, going on behind position %d in %.3f s",
            self._call_id,
            error.code.name,
            self._window.position,
            wait_seconds,
        )
        await asyncio.sleep(wait_seconds)

    async def _token(self) -> str:
        try:
            async with asyncio.timeout(max(self._stall_seconds_left(), 0.0)):
                token = await self._tokens.token(refused=self._refused_token)
        except TimeoutError as failure:
            raise _unavailable("no token arrives") from failure
        if self._rejection is not None and token == self._refused_token:
            raise self._rejection
        return token

    def _note_progress(self) -> None:
        self._progress_at = asyncio.get_running_loop().time()

    def _stall_seconds_left(self) -> float:
        stalled_seconds = asyncio.get_running_loop().time() - self._progress_at
        return self._settings.stall_timeout.total_seconds() - stalled_seconds


async def _next(responses: AsyncIterator[StreamEventsResponse]) -> StreamEventsResponse | None:
    return await anext(responses, None)


def _is_interruption(error: LeoRpcError) -> bool:
    """The call is over, for its age or because the server goes or is away; the stream is not."""
    ended = isinstance(error, DeadlineError) or error.code is grpc.StatusCode.CANCELLED
    return ended or is_retryable(error)


def _unavailable(message: str) -> UnavailableError:
    return UnavailableError(
        message, code=grpc.StatusCode.UNAVAILABLE, reason="STREAM_BROKEN", domain=SDK_DOMAIN
    )
