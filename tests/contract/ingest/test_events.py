from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest

from leo.ingest.v1.ingest_service_pb2 import Event, EventResult, StreamEventsRequest
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from leo_sdk import (
    ExistsError,
    ForbiddenError,
    InvalidError,
    StateError,
    error_of_status,
    event,
)
from tests.contract.ingest.conftest import tokens_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from leo_sdk import LeoClient
    from tests.contract.ingest.conftest import Clock

NOW = datetime.now(UTC).replace(microsecond=0)
ACCEPTED = EventResult.OUTCOME_ACCEPTED
DUPLICATE = EventResult.OUTCOME_DUPLICATE
REFUSED = EventResult.OUTCOME_REFUSED


def purchase(number: int = 1, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "source": "shop",
        "source_event_id": f"order-{number}",
        "event_type": "purchase",
        "profile_ext_id": "p-1",
        "event_time": NOW,
        "properties": {"amount": 150_000, "items": ["serum"], "note": "cảm ơn"},
    }
    return event(**(values | changes))


async def stored(auditor: Any, tenant_id: UUID) -> dict[str, Any]:
    rows = await auditor.fetch("SELECT * FROM marketing_event WHERE tenant_id = $1", tenant_id)
    return {str(row["event_id"]): row for row in rows}


async def test_an_event_is_stored_as_it_was_sent(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    result = await client.ingest.ingest_event(purchase())
    assert result.outcome == ACCEPTED
    row = (await stored(auditor, tenant_id))[result.event_id]
    assert row["source"] == "shop"
    assert row["source_event_id"] == "order-1"
    assert row["event_type"] == "purchase"
    assert row["profile_ext_id"] == "p-1"
    assert row["occurred_at"] == NOW
    assert row["received_at"] == result.create_time.ToDatetime(tzinfo=UTC)
    amount = await auditor.fetchval("SELECT properties ->> 'amount' FROM marketing_event")
    assert amount == "150000"


async def test_the_same_event_again_gives_the_same_answer(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    first = await client.ingest.ingest_event(purchase())
    again = await client.ingest.ingest_event(purchase())
    assert (again.event_id, again.create_time) == (first.event_id, first.create_time)
    assert again.outcome == DUPLICATE
    assert len(await stored(auditor, tenant_id)) == 1


async def test_the_same_identity_with_another_body_is_refused_and_the_first_stands(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    first = await client.ingest.ingest_event(purchase())
    with pytest.raises(ExistsError) as refused:
        await client.ingest.ingest_event(purchase(properties={"amount": 1}))
    assert refused.value.reason == "EVENT_CONFLICT"
    assert refused.value.domain == "ingest.leo"
    assert refused.value.metadata == {"event_id": first.event_id}
    row = (await stored(auditor, tenant_id))[first.event_id]
    assert "150000" in row["properties"]


async def test_bad_fields_are_all_named(client: LeoClient) -> None:
    bad = purchase(source="Shop!", properties={"note": "a\x00b"})
    bad.event_time.FromDatetime(NOW + timedelta(days=1))
    with pytest.raises(InvalidError) as refused:
        await client.ingest.ingest_event(bad)
    assert refused.value.reason == "FIELD_INVALID"
    assert {violation.field for violation in refused.value.violations} == {
        "event.source",
        "event.properties.note",
        "event.event_time",
    }


async def test_an_empty_request_names_what_is_required(client: LeoClient) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.ingest.ingest_event(Event())
    assert {violation.field for violation in refused.value.violations} == {
        "event.source",
        "event.event_type",
        "event.profile_ext_id",
        "event.event_time",
    }


async def test_a_time_beyond_the_calendar_is_refused(client: LeoClient) -> None:
    bad = purchase()
    bad.event_time.seconds = 10**15
    with pytest.raises(InvalidError) as refused:
        await client.ingest.ingest_event(bad)
    assert [violation.field for violation in refused.value.violations] == ["event.event_time"]


async def test_a_batch_answers_for_each_event_in_order(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    await client.ingest.ingest_event(purchase(1))
    results = await client.ingest.batch_ingest_events(
        [
            purchase(1),
            purchase(2),
            purchase(2),
            purchase(2, event_type="refund"),
            purchase(3, source=""),
            purchase(1, event_type="refund"),
            purchase(4),
        ]
    )
    assert [result.outcome for result in results] == [
        DUPLICATE,
        ACCEPTED,
        DUPLICATE,
        REFUSED,
        REFUSED,
        REFUSED,
        ACCEPTED,
    ]
    assert [error_of_status(result.error).reason for result in results if result.error.code] == [
        "EVENT_CONFLICT",
        "FIELD_INVALID",
        "EVENT_CONFLICT",
    ]
    invalid = error_of_status(results[4].error)
    assert isinstance(invalid, InvalidError)
    assert [violation.field for violation in invalid.violations] == ["events[4].source"]
    assert results[1].event_id == results[2].event_id == results[3].event_id
    assert len(await stored(auditor, tenant_id)) == 3


async def test_a_batch_of_bad_events_only_stores_nothing_and_says_why(client: LeoClient) -> None:
    results = await client.ingest.batch_ingest_events([Event(), Event()])
    assert [result.outcome for result in results] == [REFUSED, REFUSED]


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_has_a_size(client: LeoClient, count: int) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.ingest.batch_ingest_events([purchase(number) for number in range(count)])
    assert [violation.field for violation in refused.value.violations] == ["events"]


async def test_calls_at_the_same_moment_are_each_answered_rightly(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    # 300 events of which each comes three times, and one conflict.
    calls = [client.ingest.ingest_event(purchase(number % 300)) for number in range(900)]
    conflict = client.ingest.ingest_event(purchase(7, event_type="refund"))
    *results, refused = await asyncio.gather(*calls, conflict, return_exceptions=True)
    outcomes = Counter(result.outcome for result in results if isinstance(result, EventResult))
    rows = await stored(auditor, tenant_id)
    # Whichever of the two bodies of order 7 came first stands; the other was refused each time.
    if isinstance(refused, ExistsError):
        assert outcomes == {ACCEPTED: 300, DUPLICATE: 600}
    else:
        assert outcomes == {ACCEPTED: 299, DUPLICATE: 598}
    assert len(rows) == 300
    for result in results:
        if isinstance(result, EventResult):
            row = rows[result.event_id]
            assert row["received_at"] == result.create_time.ToDatetime(tzinfo=UTC)


async def test_a_stream_acknowledges_positions_past_refused_events(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    events = [purchase(number) for number in range(1200)]
    events[10] = purchase(10, source="")
    events[1100] = purchase(5)
    events[1101] = purchase(5, event_type="refund")
    answers = [answer async for answer in client.ingest.stream_events(events)]
    assert [position for position, _ in answers] == list(range(1, 1201))
    outcomes = {position: result.outcome for position, result in answers}
    assert outcomes[11] == REFUSED
    assert outcomes[1101] == DUPLICATE
    assert outcomes[1102] == REFUSED
    assert Counter(outcomes.values()) == {ACCEPTED: 1197, REFUSED: 2, DUPLICATE: 1}
    assert len(await stored(auditor, tenant_id)) == 1197


async def test_a_bad_message_ends_a_stream_after_what_came_before_it(
    address: str, issuer: str, tenant_id: UUID, auditor: Any
) -> None:
    async with open_stream(address, issuer, tenant_id) as call:
        await call.write(StreamEventsRequest(events=[purchase(1), purchase(2)]))
        first = await call.read()
        assert (first.first_position, first.durable_position) == (1, 2)
        await call.write(StreamEventsRequest())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(await stored(auditor, tenant_id)) == 2


async def test_a_stream_does_not_outlive_its_token(
    address: str, issuer: str, tenant_id: UUID, auditor: Any, clock: Clock
) -> None:
    async with open_stream(address, issuer, tenant_id) as call:
        await call.write(StreamEventsRequest(events=[purchase(1)]))
        assert (await call.read()).durable_position == 1
        clock.ahead_seconds = 3600
        await call.write(StreamEventsRequest(events=[purchase(2)]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert len(await stored(auditor, tenant_id)) == 1


@asynccontextmanager
async def open_stream(address: str, issuer: str, tenant_id: UUID) -> AsyncIterator[Any]:
    """A stream without the SDK, which would hide how it ends."""
    async with (
        tokens_of(issuer, tenant_id) as tokens,
        grpc.aio.insecure_channel(address) as channel,
    ):
        bearer = ("authorization", f"Bearer {await tokens.token()}")
        call: Any = IngestServiceStub(channel).StreamEvents(metadata=(bearer,))
        yield call
        call.cancel()


async def test_an_idle_stream_is_answered_at_once(client: LeoClient) -> None:
    answered = asyncio.Event()

    async def events() -> AsyncIterator[Event]:
        yield purchase(1)
        await answered.wait()
        yield purchase(2)

    positions = []
    async for position, _ in client.ingest.stream_events(events()):
        positions.append(position)
        answered.set()
    assert positions == [1, 2]


async def test_another_tenant_has_its_own_events_and_sees_no_other(
    client: LeoClient,
    client_of: Callable[..., LeoClient],
    tenant_id: UUID,
    other_tenant_id: UUID,
    auditor: Any,
) -> None:
    other = client_of(other_tenant_id)
    mine = await client.ingest.ingest_event(purchase())
    theirs = await other.ingest.ingest_event(purchase(event_type="refund"))
    assert theirs.outcome == ACCEPTED
    assert theirs.event_id != mine.event_id
    assert set(await stored(auditor, tenant_id)) == {mine.event_id}
    assert set(await stored(auditor, other_tenant_id)) == {theirs.event_id}


async def test_a_tenant_that_does_not_exist_is_refused(client_of: Callable[..., LeoClient]) -> None:
    stranger = uuid4()
    with pytest.raises(StateError) as refused:
        await client_of(stranger).ingest.ingest_event(purchase())
    assert refused.value.reason == "TENANT_MISSING"
    assert refused.value.metadata["tenant_id"] == str(stranger)


async def test_a_token_without_the_scope_is_refused(
    client_of: Callable[..., LeoClient], tenant_id: UUID
) -> None:
    reader = client_of(tenant_id, "leo.profiles.read")
    with pytest.raises(ForbiddenError) as refused:
        await reader.ingest.ingest_event(purchase())
    assert refused.value.metadata == {"scope": "leo.events.write"}


async def test_a_lone_surrogate_on_the_wire_is_refused_by_the_name_of_its_field(
    address: str, issuer: str, tenant_id: UUID
) -> None:
    async with tokens_of(issuer, tenant_id) as tokens:
        token = await tokens.token()
    good = purchase(1).SerializeToString()
    # CESU-8: how a careless encoder writes half of a surrogate pair.
    bad = purchase(1, profile_ext_id="AAA").SerializeToString().replace(b"AAA", b"\xed\xa0\x80")
    request = b"".join(b"\x0a" + bytes([len(data)]) + data for data in (good, bad))
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/leo.ingest.v1.IngestService/BatchIngestEvents")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request, metadata=(("authorization", f"Bearer {token}"),))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "events[1].profile_ext_id" in (refused.value.details() or "")
