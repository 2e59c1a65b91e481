"""Unary calls: retries, deadlines, tokens and typed errors, over a real connection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Consent, EventResult, Tenant
from tests.contract.sdk.scripted import failure

if TYPE_CHECKING:
    from tests.contract.sdk.scripted import ScriptedServer

EVENT = leo_sdk.event(
    source="shop",
    source_event_id="1",
    event_type="purchase",
    profile_ext_id="p1",
    event_time=datetime(2026, 1, 2, tzinfo=UTC),
)
CONSENT = Consent(
    channel="email", purpose="marketing", state=Consent.STATE_GRANTED, evidence="form"
)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Tokens:
    """A source that makes a new token whenever one is refused."""

    def __init__(self) -> None:
        self.made_count = 1

    async def token(self, *, refused: str | None = None) -> str:
        if refused == f"token-{self.made_count}":
            self.made_count += 1
        return f"token-{self.made_count}"


async def test_a_call_that_finds_the_server_unavailable_is_tried_again(
    server: ScriptedServer,
) -> None:
    server.ingest.failures.extend([failure(UNAVAILABLE), failure(UNAVAILABLE)])
    async with server.client() as client:
        result = await client.ingest.ingest_event(EVENT)
    assert result.outcome == EventResult.OUTCOME_ACCEPTED
    assert len(server.ingest.calls) == 3


async def test_every_try_carries_the_same_request_id_and_call_id(server: ScriptedServer) -> None:
    server.ingest.failures.extend([failure(UNAVAILABLE), failure(UNAVAILABLE)])
    async with server.client() as client:
        await client.ingest.set_consent("p1", CONSENT)
        await client.ingest.set_consent("p1", CONSENT)
    tries = server.ingest.calls
    request_ids = [request.request_id for request, _ in tries]
    call_ids = [metadata["x-request-id"] for _, metadata in tries]
    assert request_ids[0] == request_ids[1] == request_ids[2] != request_ids[3]
    assert call_ids[0] == call_ids[1] == call_ids[2] != call_ids[3]
    assert {UUID(text).version for text in request_ids + call_ids} == {4}


async def test_a_request_id_of_the_caller_is_sent_as_it_is(server: ScriptedServer) -> None:
    request_id = "7a1f0f3e-52c4-4bb1-9d1e-0d8a53f0a2c1"
    async with server.client() as client:
        await client.ingest.create_tenant(Tenant(name="demo"), request_id=request_id)
    assert server.ingest.calls[0][0].request_id == request_id


async def test_a_retry_that_would_start_behind_the_deadline_is_not_waited_for(
    server: ScriptedServer,
) -> None:
    server.ingest.failures.append(failure(UNAVAILABLE, retry_after=timedelta(hours=1)))
    async with server.client() as client:
        with pytest.raises(leo_sdk.UnavailableError) as caught:
            await client.ingest.ingest_event(EVENT)
    assert caught.value.retry_after == timedelta(hours=1)
    assert len(server.ingest.calls) == 1


async def test_a_call_without_an_answer_ends_at_its_deadline(server: ScriptedServer) -> None:
    server.ingest.held.clear()
    async with server.client() as client:
        with pytest.raises(leo_sdk.DeadlineError):
            await client.ingest.ingest_event(EVENT, timeout=timedelta(milliseconds=100))
    assert len(server.ingest.calls) == 1


async def test_a_token_that_does_not_come_ends_the_call_at_its_deadline(
    server: ScriptedServer,
) -> None:
    class NoToken:
        async def token(self, *, refused: str | None = None) -> str:
            await asyncio.Event().wait()
            return refused or "never"

    async with server.client(NoToken()) as client:
        with pytest.raises(leo_sdk.DeadlineError) as caught:
            await client.ingest.ingest_event(EVENT, timeout=timedelta(milliseconds=20))
    assert caught.value.reason == "TOKEN_LATE"
    assert not server.ingest.calls


async def test_a_limit_is_waited_for_only_if_the_server_says_how_long(
    server: ScriptedServer,
) -> None:
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    server.ingest.failures.append(failure(exhausted, retry_after=timedelta(milliseconds=1)))
    server.ingest.failures.append(failure(exhausted))
    async with server.client() as client:
        with pytest.raises(leo_sdk.LimitError):
            await client.ingest.ingest_event(EVENT)
    assert len(server.ingest.calls) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, leo_sdk.InvalidError),
        (grpc.StatusCode.PERMISSION_DENIED, leo_sdk.ForbiddenError),
        (grpc.StatusCode.NOT_FOUND, leo_sdk.MissingError),
        (grpc.StatusCode.ALREADY_EXISTS, leo_sdk.ExistsError),
        (grpc.StatusCode.FAILED_PRECONDITION, leo_sdk.StateError),
        (grpc.StatusCode.ABORTED, leo_sdk.ConflictError),
        (grpc.StatusCode.INTERNAL, leo_sdk.InternalError),
        (grpc.StatusCode.UNIMPLEMENTED, leo_sdk.LeoRpcError),
    ],
)
async def test_other_codes_are_typed_by_kind_and_never_tried_again(
    server: ScriptedServer, code: grpc.StatusCode, kind: type[leo_sdk.LeoRpcError]
) -> None:
    server.ingest.failures.append(
        failure(code, "SOME_REASON", violations={"event.source": "is required"}, name="demo")
    )
    async with server.client() as client:
        with pytest.raises(leo_sdk.LeoRpcError) as caught:
            await client.ingest.ingest_event(EVENT)
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.reason, error.domain) == (code, "SOME_REASON", "ingest.leo")
    assert error.metadata == {"name": "demo"}
    assert error.violations == (leo_sdk.Violation("event.source", "is required"),)
    assert error.retry_after is None
    assert error.call_id == server.ingest.calls[0][1]["x-request-id"]
    assert len(server.ingest.calls) == 1


async def test_a_refused_token_is_replaced_once(server: ScriptedServer) -> None:
    server.ingest.failures.append(failure(grpc.StatusCode.UNAUTHENTICATED))
    async with server.client(Tokens()) as client:
        await client.ingest.ingest_event(EVENT)
    assert [metadata["authorization"] for _, metadata in server.ingest.calls] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


async def test_a_new_token_that_is_refused_too_ends_the_call(server: ScriptedServer) -> None:
    server.ingest.failures.extend([failure(grpc.StatusCode.UNAUTHENTICATED)] * 3)
    async with server.client(Tokens()) as client:
        with pytest.raises(leo_sdk.UnauthenticatedError):
            await client.ingest.ingest_event(EVENT)
    assert len(server.ingest.calls) == 2


async def test_a_static_token_that_is_refused_is_not_sent_again(server: ScriptedServer) -> None:
    server.ingest.failures.append(failure(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"))
    async with server.client() as client:
        with pytest.raises(leo_sdk.UnauthenticatedError) as caught:
            await client.ingest.ingest_event(EVENT)
    assert caught.value.reason == "TOKEN_INVALID"
    assert len(server.ingest.calls) == 1


async def test_a_server_that_comes_back_is_found_within_the_call(server: ScriptedServer) -> None:
    await server.stop()
    async with server.client(timeout=timedelta(seconds=30)) as client:
        call = asyncio.create_task(client.ingest.ingest_event(EVENT))
        await asyncio.wait([call], timeout=0.05)
        assert not call.done()
        await server.start(server.address)
        assert (await call).outcome == EventResult.OUTCOME_ACCEPTED


async def test_batches_answer_for_each_item(server: ScriptedServer) -> None:
    async with server.client() as client:
        events = await client.ingest.batch_ingest_events([EVENT, EVENT])
        profiles = await client.ingest.batch_upsert_profiles([leo_sdk.cdp_document("{}")])
        profile = await client.ingest.get_profile("p1")
    assert [result.outcome for result in events] == [
        EventResult.OUTCOME_ACCEPTED,
        EventResult.OUTCOME_DUPLICATE,
    ]
    assert [result.version for result in profiles] == [1]
    assert profile.profile.ext_id == "p1"
