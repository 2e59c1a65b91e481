"""What a stream has taken from its source and not yet seen acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import grpc

from leo_sdk.errors import SDK_DOMAIN, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leo.ingest.v1.ingest_service_pb2 import Event, EventResult, StreamEventsResponse


class Window:
    """Events in order: first those sent on the present stream, then those still to be sent.

    Acknowledged events leave at the front, new ones enter at the back while there is room, and a
    broken stream makes all of them unsent again. So memory is bounded by `event_count_max`, and
    nothing is forgotten before the server has it.

    Attributes:
        position: the position of the last acknowledged event, counted over all streams from 1.
    """

    def __init__(self, event_count_max: int) -> None:
        self._event_count_max = event_count_max
        self._events: deque[Event] = deque()
        self._sent_count = 0
        # Positions on the wire count from 1 on each stream; this many events went before it.
        self._stream_start = 0
        self._room = asyncio.Event()
        self._unsent = asyncio.Event()
        self._closed = False
        self.position = 0

    @property
    def is_empty(self) -> bool:
        """Nothing waits to be sent or acknowledged."""
        return not self._events

    @property
    def is_done(self) -> bool:
        """Everything is acknowledged and nothing more will come."""
        return self._closed and not self._events

    async def add(self, event: Event) -> None:
        """Take one more event, as soon as there is room."""
        while len(self._events) >= self._event_count_max:
            self._room.clear()
            await self._room.wait()
        self._events.append(event)
        self._unsent.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._unsent.set()

    async def wait_unsent(self) -> None:
        """Wait until there is something to send, or nothing more will come."""
        await self._unsent.wait()

    def start_stream(self) -> None:
        """Make everything that is not acknowledged unsent: a new stream begins."""
        self._stream_start = self.position
        self._sent_count = 0
        if self._events:
            self._unsent.set()

    def take(self, event_count_max: int) -> list[Event]:
        """Up to so many unsent events, now counted as sent; empty if nothing more will come."""
        start = self._sent_count
        events = list(islice(self._events, start, start + event_count_max))
        self._sent_count += len(events)
        if self._sent_count == len(self._events) and not self._closed:
            self._unsent.clear()
        return events

    def acknowledge(self, response: StreamEventsResponse) -> Iterator[tuple[int, EventResult]]:
        """Let go of what the response names; its results with their positions.

        Raises:
            InternalError: the response does not follow the one before it, or names more than was
                sent.
        """
        count = len(response.results)
        first = self._stream_start + response.first_position
        last = self._stream_start + response.durable_position
        if first != self.position + 1 or last != self.position + count or count > self._sent_count:
            raise InternalError(
                "the answer does not follow the events that were sent",
                code=grpc.StatusCode.INTERNAL,
                reason="ANSWER_INVALID",
                domain=SDK_DOMAIN,
            )
        for _ in range(count):
            self._events.popleft()
        self._sent_count -= count
        self.position = last
        self._room.set()
        return zip(range(first, last + 1), response.results, strict=True)
