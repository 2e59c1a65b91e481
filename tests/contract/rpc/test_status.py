from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

import grpc
import pytest
from google.rpc import error_details_pb2
from structlog.testing import capture_logs

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from libs.rpc import errors
from libs.rpc.call import Call, current_call
from tests.contract.rpc.scripted import (
    ScriptedServicer,
    details_of,
    error_info,
    ingest_server,
    raising,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.rpc import status_pb2

Code = grpc.StatusCode


class BadFieldsError(errors.InvalidError):
    reason: ClassVar[str] = "INVALID_REASON"


class StrangerError(errors.UnauthenticatedError):
    reason: ClassVar[str] = "UNAUTHENTICATED_REASON"


class NotYoursError(errors.ForbiddenError):
    reason: ClassVar[str] = "FORBIDDEN_REASON"


class GoneError(errors.MissingError):
    reason: ClassVar[str] = "MISSING_REASON"


class TakenError(errors.ExistsError):
    reason: ClassVar[str] = "EXISTS_REASON"


class WrongStateError(errors.StateError):
    reason: ClassVar[str] = "STATE_REASON"


class LostRaceError(errors.ConflictError):
    reason: ClassVar[str] = "CONFLICT_REASON"


class FullError(errors.LimitError):
    reason: ClassVar[str] = "LIMIT_REASON"


class AwayError(errors.UnavailableError):
    reason: ClassVar[str] = "UNAVAILABLE_REASON"


class LateError(errors.DeadlineError):
    reason: ClassVar[str] = "DEADLINE_REASON"


Retry = error_details_pb2.RetryInfo
KINDS: list[tuple[errors.LeoError, grpc.StatusCode, list[Any]]] = [
    (
        BadFieldsError(
            "two fields are bad",
            [errors.FieldViolation("a", "is empty"), errors.FieldViolation("b[1]", "is long")],
            metadata={"k": "v"},
        ),
        Code.INVALID_ARGUMENT,
        [error_details_pb2.BadRequest],
    ),
    (StrangerError("who?", metadata={"k": "v"}), Code.UNAUTHENTICATED, []),
    (NotYoursError("no", metadata={"k": "v"}), Code.PERMISSION_DENIED, []),
    (
        GoneError("no such", resource_type="profile", resource_name="p", metadata={"k": "v"}),
        Code.NOT_FOUND,
        [error_details_pb2.ResourceInfo],
    ),
    (
        TakenError("taken", resource_type="tenant", resource_name="t", metadata={"k": "v"}),
        Code.ALREADY_EXISTS,
        [error_details_pb2.ResourceInfo],
    ),
    (
        WrongStateError("not now", subject="tenant", metadata={"k": "v"}),
        Code.FAILED_PRECONDITION,
        [error_details_pb2.PreconditionFailure],
    ),
    (LostRaceError("again", metadata={"k": "v"}), Code.ABORTED, []),
    (
        FullError("wait", retry_after=timedelta(seconds=2.5), metadata={"k": "v"}),
        Code.RESOURCE_EXHAUSTED,
        [error_details_pb2.QuotaFailure, Retry],
    ),
    (
        AwayError("later", retry_after=timedelta(seconds=2.5), metadata={"k": "v"}),
        Code.UNAVAILABLE,
        [Retry],
    ),
    (LateError("too late", metadata={"k": "v"}), Code.DEADLINE_EXCEEDED, []),
]


@asynccontextmanager
async def logged() -> AsyncIterator[list[Any]]:
    """Collect what is logged while the block runs."""
    with capture_logs() as entries:
        yield entries


def check_kind(
    status: status_pb2.Status, error: errors.LeoError, detail_types: list[type[Any]]
) -> None:
    info, *others = details_of(status)
    assert status.message == error.message
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (error.reason, "leo", {"k": "v"})
    assert [type(detail) for detail in others] == detail_types
    for detail in others:
        match detail:
            case error_details_pb2.BadRequest():
                assert [(v.field, v.description) for v in detail.field_violations] == [
                    ("a", "is empty"),
                    ("b[1]", "is long"),
                ]
            case error_details_pb2.RetryInfo():
                assert detail.retry_delay.ToTimedelta() == timedelta(seconds=2.5)
            case error_details_pb2.ResourceInfo():
                assert detail.resource_type in {"profile", "tenant"}
                assert detail.resource_name in {"p", "t"}
            case error_details_pb2.PreconditionFailure():
                (violation,) = detail.violations
                assert (violation.type, violation.subject) == ("STATE_REASON", "tenant")
            case error_details_pb2.QuotaFailure():
                assert len(detail.violations) == 1


def test_every_kind_is_in_the_table() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.LeoError)
        and not kind.__name__.startswith("_")
    }
    tested = {type(error).__bases__[0] for error, _, _ in KINDS}
    assert kinds - {errors.LeoError} == tested


@pytest.mark.parametrize(
    ("error", "code", "detail_types"), KINDS, ids=[type(error).__name__ for error, _, _ in KINDS]
)
async def test_a_kind_arrives_with_its_code_one_error_info_and_its_details(
    error: errors.LeoError, code: grpc.StatusCode, detail_types: list[type[Any]]
) -> None:
    async with ingest_server(raising(error)) as channel:
        stub = IngestServiceStub(channel)
        seen, status = await refusal(stub.IngestEvent(pb.IngestEventRequest()))
        assert seen == code
        check_kind(status, error, detail_types)


@pytest.mark.parametrize(
    ("error", "code", "detail_types"), KINDS, ids=[type(error).__name__ for error, _, _ in KINDS]
)
async def test_a_kind_arrives_the_same_way_from_a_stream(
    error: errors.LeoError, code: grpc.StatusCode, detail_types: list[type[Any]]
) -> None:
    async with ingest_server(raising(error)) as channel:
        stream = IngestServiceStub(channel).StreamEvents(iter([pb.StreamEventsRequest()]))
        seen, status = await refusal(stream.read())
        assert seen == code
        check_kind(status, error, detail_types)


async def test_a_stream_that_fails_late_keeps_what_it_answered() -> None:
    servicer = ScriptedServicer()

    async def requests() -> Any:
        yield pb.StreamEventsRequest(events=[pb.Event()])
        yield pb.StreamEventsRequest(events=[pb.Event()])

    async def act() -> None:
        servicer.act = raising(GoneError("gone", resource_type="x")).act

    servicer.act = act
    async with ingest_server(servicer) as channel:
        stream: Any = IngestServiceStub(channel).StreamEvents(requests())
        assert (await stream.read()).durable_position == 1
        code, _ = await refusal(stream.read())
        assert code == Code.NOT_FOUND


@pytest.mark.parametrize("method", ["IngestEvent", "StreamEvents"])
async def test_a_defect_hides_its_text_and_is_found_by_its_call_id(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    request_id = uuid4()
    metadata = (("x-request-id", str(request_id)),)
    error = RuntimeError("canary-nguyen-van-a")
    async with ingest_server(raising(error)) as channel, logged() as entries:
        stub = IngestServiceStub(channel)
        if method == "IngestEvent":
            call: Any = stub.IngestEvent(pb.IngestEventRequest(), metadata=metadata)
        else:
            call = stub.StreamEvents(iter([pb.StreamEventsRequest()]), metadata=metadata).read()
        code, status = await refusal(call)
    assert code == Code.INTERNAL
    assert status.message == "internal error"
    assert b"canary" not in status.SerializeToString()
    (info,) = details_of(status)
    assert (info.reason, info.domain) == ("INTERNAL", "leo")
    assert dict(info.metadata) == {"call_id": str(request_id)}
    (entry,) = (entry for entry in entries if entry["event"] == "call failed")
    assert (entry["call_id"], entry["exc_info"]) == (str(request_id), error)


async def test_an_expected_error_is_no_line_in_the_log() -> None:
    async with ingest_server(raising(NotYoursError("no"))) as channel, logged() as entries:
        await refusal(IngestServiceStub(channel).IngestEvent(pb.IngestEventRequest()))
    assert not [entry for entry in entries if entry["event"] == "call failed"]


async def test_a_call_id_is_made_where_the_caller_brings_no_uuid() -> None:
    async with ingest_server(raising(RuntimeError())) as channel:
        call = IngestServiceStub(channel).IngestEvent(
            pb.IngestEventRequest(), metadata=(("x-request-id", "drop table"),)
        )
        _, status = await refusal(call)
    assert UUID(error_info(status).metadata["call_id"])


async def test_many_bad_fields_still_fit_into_the_trailers() -> None:
    violations = [errors.FieldViolation(f"events[{n}].x", "ữ" * 5000) for n in range(500)]
    async with ingest_server(raising(BadFieldsError("ữ" * 5000, violations))) as channel:
        code, status = await refusal(
            IngestServiceStub(channel).IngestEvent(pb.IngestEventRequest())
        )
    assert code == Code.INVALID_ARGUMENT
    (bad_request,) = (
        detail for detail in details_of(status) if isinstance(detail, error_details_pb2.BadRequest)
    )
    assert len(bad_request.field_violations) > 1
    assert "more" in bad_request.field_violations[-1].description


async def test_the_servicer_knows_its_call_and_the_time_that_is_left() -> None:
    calls: list[Call] = []

    async def act() -> None:
        calls.append(current_call())

    async with ingest_server(ScriptedServicer(act)) as channel:
        stub = IngestServiceStub(channel)
        await stub.IngestEvent(pb.IngestEventRequest(), timeout=60)
        await stub.IngestEvent(pb.IngestEventRequest())
        stream = stub.StreamEvents(iter([pb.StreamEventsRequest()]))
        await stream.read()
    asked, default, streamed = calls
    assert len({call.call_id for call in calls}) == 3
    # gRPC rounds the time-outs that it sends up, so the server may see a little more.
    assert timedelta(seconds=15) < asked.deadline_remaining() < timedelta(seconds=65)
    assert timedelta() < default.deadline_remaining() <= timedelta(seconds=15)
    assert timedelta(minutes=1) < streamed.deadline_remaining() <= timedelta(hours=1)
    assert default.method == "/leo.ingest.v1.IngestService/IngestEvent"
