"""The load: a process of its own, which reads one Plan from standard input and prints the result.

Everything that is sent is made before the clock starts, so that what is measured is its way into
the database.
"""

from __future__ import annotations

import sys
import time
from asyncio import TaskGroup
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
import uvloop

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import EventResult
from libs.bench.plan import (
    BATCH_EVENT_COUNT,
    BATCH_IN_FLIGHT,
    UNARY_IN_FLIGHT,
    Measurement,
    Plan,
)
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from leo.ingest.v1.ingest_service_pb2 import Event

_QUERIES = load_queries(__file__)
_Item = TypeVar("_Item")

_EVENT_TYPE = "purchase"
_HAPPENED_AT = datetime.now(UTC)


async def measure(plan: Plan) -> Measurement:
    """Carry out one plan.

    Raises:
        leo_sdk.LeoRpcError: a call failed.
        RuntimeError: an event was not accepted.
    """
    if plan.way == "bare":
        return await _measure_bare(plan)
    events = [_event(plan.source, number) for number in range(plan.row_count_max)]
    tokens = leo_sdk.ClientCredentials(
        plan.token_url,
        plan.client_id,
        plan.client_secret.get_secret_value(),
        tenant_id=str(plan.tenant_id),
    )
    async with tokens, leo_sdk.LeoClient(plan.ingest_address, tokens) as client:
        # Connection and token are there before the clock starts, as they are in a running client.
        await tokens.token()
        ways: dict[str, Callable[[], Awaitable[Measurement]]] = {
            "unary": lambda: _measure_unary(plan, client, events),
            "stream": lambda: _measure_stream(plan, client, events),
            "batch": lambda: _measure_batch(plan, client, events),
        }
        return await ways[plan.way]()


async def _measure_unary(
    plan: Plan, client: leo_sdk.LeoClient, events: Sequence[Event]
) -> Measurement:
    async def send(event: Event) -> int:
        _check([await client.ingest.ingest_event(event)])
        return 1

    return await _work_off(plan, iter(events), UNARY_IN_FLIGHT, send)


async def _measure_batch(
    plan: Plan, client: leo_sdk.LeoClient, events: Sequence[Event]
) -> Measurement:
    async def send(batch: Sequence[Event]) -> int:
        _check(await client.ingest.batch_ingest_events(batch))
        return len(batch)

    return await _work_off(plan, _batches(events), BATCH_IN_FLIGHT, send)


async def _measure_stream(
    plan: Plan, client: leo_sdk.LeoClient, events: Sequence[Event]
) -> Measurement:
    started_at = time.monotonic()

    def while_time_lasts() -> Iterator[Event]:
        for event in events:
            if time.monotonic() - started_at >= plan.seconds_max:
                break
            yield event

    row_count = 0
    async for _, result in client.ingest.stream_events(while_time_lasts()):
        _check([result])
        row_count += 1
    return _measurement(plan, row_count, started_at)


async def _measure_bare(plan: Plan) -> Measurement:
    """Insert the rows that ingest would insert, as its role, in batches in the tenant's context."""
    numbers = range(plan.row_count_max)
    batches = [event_columns(plan.source, batch) for batch in _batches(numbers)]
    pool = await asyncpg.create_pool(
        plan.ingest_dsn.get_secret_value(), min_size=BATCH_IN_FLIGHT, max_size=BATCH_IN_FLIGHT
    )

    async def insert(columns: dict[str, Any]) -> int:
        async with pool.acquire() as connection, connection.transaction():
            await _QUERIES.enter_tenant(connection, tenant_id=str(plan.tenant_id))
            await _QUERIES.insert_events(connection, tenant_id=plan.tenant_id, **columns)
        return len(columns["event_ids"])

    async with pool:
        return await _work_off(plan, iter(batches), BATCH_IN_FLIGHT, insert)


async def _work_off(
    plan: Plan,
    items: Iterator[_Item],
    in_flight: int,
    send: Callable[[_Item], Awaitable[int]],
) -> Measurement:
    """Send items, so many at once, until there are none left or the time is over."""
    row_count = 0
    started_at = time.monotonic()

    async def worker() -> None:
        nonlocal row_count
        while time.monotonic() - started_at < plan.seconds_max:
            item = next(items, None)
            if item is None:
                return
            # Not in one expression, which would read the count before it waits.
            sent_count = await send(item)
            row_count += sent_count

    async with TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return _measurement(plan, row_count, started_at)


def _measurement(plan: Plan, row_count: int, started_at: float) -> Measurement:
    return Measurement(way=plan.way, row_count=row_count, seconds=time.monotonic() - started_at)


def _check(results: Sequence[EventResult]) -> None:
    for result in results:
        if result.outcome != EventResult.OUTCOME_ACCEPTED:
            error = leo_sdk.error_of_status(result.error)
            raise RuntimeError(f"an event was not accepted but answered: {error}")


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), BATCH_EVENT_COUNT):
        yield items[start : start + BATCH_EVENT_COUNT]


def _properties(number: int) -> dict[str, Any]:
    """About 200 bytes of JSON, as a web shop's purchase has."""
    return {
        "order": f"DH-{number:08d}",
        "value_vnd": 150_000 + number % 1000 * 500,
        "items": [f"sku-{number % 97}", f"sku-{number % 89}"],
        "payment": "cash-on-delivery",
        "campaign": "tet-2027",
        "page": "https://shop.example/checkout/complete",
    }


def _profile_ext_id(number: int) -> str:
    return f"KH-{number % 10_000:06d}"


def _event(source: str, number: int) -> Event:
    return leo_sdk.event(
        source=source,
        source_event_id=str(number),
        event_type=_EVENT_TYPE,
        profile_ext_id=_profile_ext_id(number),
        event_time=_HAPPENED_AT,
        properties=_properties(number),
    )


def event_columns(source: str, numbers: Sequence[int]) -> dict[str, Any]:
    """What is stored of events, a list for each column."""
    digests = [sha256(f"{source}:{number}".encode()).digest() for number in numbers]
    return {
        "event_ids": [UUID(bytes=digest[:16], version=4) for digest in digests],
        "sources": [source] * len(numbers),
        "source_event_ids": [str(number) for number in numbers],
        "event_types": [_EVENT_TYPE] * len(numbers),
        "profile_ext_ids": [_profile_ext_id(number) for number in numbers],
        "occurred_ats": [_HAPPENED_AT] * len(numbers),
        "properties": [orjson.dumps(_properties(number)).decode() for number in numbers],
        "body_digests": digests,
    }


if __name__ == "__main__":
    given = Plan.model_validate_json(sys.stdin.read())
    print(uvloop.run(measure(given)).model_dump_json())  # noqa: T201, it is the result
