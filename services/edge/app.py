"""The routes of the edge: JSON in, one RPC, JSON out; with the caller's own token or as a door."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from google.protobuf import json_format
from google.rpc import code_pb2
from grpc_status import rpc_status

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from libs.relay import InternalChannel
from libs.rpc.errors import LeoError
from libs.rpc.status import status_of
from services.edge.body import read_body
from services.edge.errors import (
    AuthorizationUnreadableError,
    BodyTooLargeError,
    CallDeadlineError,
    ServiceUnavailableError,
)
from services.edge.event_json import read_event
from services.edge.unsubscribe import Consents, unsubscribe_routes
from services.edge.webhooks import Dispatch, webhook_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.rpc import status_pb2

    from libs.relay.settings import InternalSettings
    from libs.unsubscribe import UnsubscribeLinks
    from services.edge.settings import EdgeSettings

# As google/rpc/code.proto maps them.
HTTP_STATUS = {
    code_pb2.CANCELLED: 499,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ABORTED: 409,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DEADLINE_EXCEEDED: 504,
}
CONTENT_TOO_LARGE = 413
UNAUTHORIZED = 401

# A service that comes back is found within a second; gRPC's own back-off grows to two minutes.
CHANNEL_OPTIONS = [("grpc.max_reconnect_backoff_ms", 1000)]

log = structlog.get_logger(__name__)


def build_application(
    settings: EdgeSettings, internal: InternalSettings, links: UnsubscribeLinks | None = None
) -> FastAPI:
    """Make the edge; who brings no token is handed on in the edge's own name.

    Args:
        settings: where it listens and whom it calls.
        internal: who it is when it calls for providers and for people who unsubscribe.
        links: those by which people unsubscribe; None where none are sent.
    """

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with (
            grpc.aio.insecure_channel(settings.ingest_address, options=CHANNEL_OPTIONS) as channel,
            InternalChannel(settings.dispatch_address, internal) as dispatch_channel,
            InternalChannel(settings.ingest_address, internal) as ingest_channel,
        ):
            application.state.ingest = IngestServiceStub(channel)
            application.state.dispatch = Dispatch(dispatch_channel)
            application.state.consents = Consents(ingest_channel)
            yield

    application = FastAPI(lifespan=lifespan, openapi_url=None)
    application.include_router(webhook_routes(settings))
    application.include_router(unsubscribe_routes(settings, links))

    @application.exception_handler(LeoError)
    async def refuse(_request: Request, error: LeoError) -> JSONResponse:
        response = _status_response(status_of(error, call_id=""))
        if isinstance(error, BodyTooLargeError):
            response.status_code = CONTENT_TOO_LARGE
        return response

    @application.exception_handler(grpc.aio.AioRpcError)
    async def hand_on(_request: Request, error: grpc.aio.AioRpcError) -> JSONResponse:
        return _status_response(_status_of_call(error))

    @application.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"state": "SERVING"}

    @application.post("/activate/event")
    async def activate_event(request: Request) -> JSONResponse:
        metadata = _metadata(request)
        event = read_event(await read_body(request, settings.body_bytes_max))
        response = await request.app.state.ingest.IngestEvent(
            pb.IngestEventRequest(event=event),
            metadata=metadata,
            timeout=settings.call_timeout.total_seconds(),
        )
        return JSONResponse(json_format.MessageToDict(response))

    return application


def _metadata(request: Request) -> list[tuple[str, str]]:
    """Hand on who calls, and the id by which they look for the call."""
    authorizations = request.headers.getlist("authorization")
    if not all(map(_may_be_metadata, authorizations)):
        raise AuthorizationUnreadableError(
            "the header Authorization must be printable ASCII", metadata={"problem": "malformed"}
        )
    request_ids = filter(_may_be_metadata, request.headers.getlist("x-request-id"))
    return [
        *(("authorization", value) for value in authorizations),
        *(("x-request-id", value) for value in request_ids),
    ]


def _may_be_metadata(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _status_of_call(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the service's own status, or tell in our words why there is none."""
    # The types of grpcio-status know only the synchronous call; it reads the same methods.
    call: Any = error
    status = rpc_status.from_call(call)
    if status is not None:
        return status
    call_id = str(uuid4())
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            reason: Exception = ServiceUnavailableError("the service cannot be reached; retry")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            reason = CallDeadlineError("the service did not answer in time")
        case _:
            log.error("call failed", code=error.code().name, call_id=call_id)
            reason = error
    return status_of(reason, call_id=call_id)


def _status_response(status: status_pb2.Status) -> JSONResponse:
    code = HTTP_STATUS.get(status.code, 500)
    headers = {"WWW-Authenticate": "Bearer"} if code == UNAUTHORIZED else {}
    return JSONResponse(json_format.MessageToDict(status), code, headers)
