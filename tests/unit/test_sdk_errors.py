from __future__ import annotations

import random

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

import leo_sdk
from leo_sdk.calls import Backoff
from leo_sdk.errors import error_of_call


def status_with(*details: AnyMessage) -> Status:
    return Status(
        code=grpc.StatusCode.ALREADY_EXISTS.value[0], message="taken", details=list(details)
    )


def test_details_of_unknown_types_are_left_out() -> None:
    unknown = AnyMessage(type_url="type.googleapis.com/leo.unknown.v1.Detail", value=b"\xff")
    packed = AnyMessage()
    packed.Pack(ErrorInfo(reason="EVENT_CONFLICT", domain="ingest.leo"))
    error = leo_sdk.error_of_status(status_with(unknown, packed))
    assert isinstance(error, leo_sdk.ExistsError)
    assert error.reason == "EVENT_CONFLICT"
    assert str(error) == "ALREADY_EXISTS EVENT_CONFLICT: taken"


def test_a_status_without_details_is_typed_by_its_code_alone() -> None:
    error = leo_sdk.error_of_status(status_with())
    assert isinstance(error, leo_sdk.ExistsError)
    assert (error.reason, error.domain, error.violations) == ("", "", ())


def test_trailing_bytes_that_are_no_status_leave_code_and_message() -> None:
    failure = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff")),
        details="no such thing",
    )
    error = error_of_call(failure, call_id="c")
    assert isinstance(error, leo_sdk.MissingError)
    assert error.message == "no such thing"


@pytest.mark.parametrize("seed", range(20))
def test_waits_stay_between_nothing_and_a_bound_that_doubles(seed: int) -> None:
    random.seed(seed)
    backoff = Backoff(leo_sdk.RetryPolicy())
    bounds = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    waits = [backoff.next_seconds(None) for _ in bounds]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    backoff.reset()
    assert backoff.next_seconds(None) <= 0.05


def test_every_kind_of_error_is_public() -> None:
    kinds = leo_sdk.LeoRpcError.__subclasses__()
    assert {kind.__name__ for kind in kinds} <= set(leo_sdk.__all__)
    assert len(kinds) == 11
