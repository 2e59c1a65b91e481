"""A real gRPC server whose answers a test writes down beforehand."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from leo.ingest.v1.ingest_service_pb2 import (
    BatchIngestEventsResponse,
    BatchUpsertProfilesResponse,
    CreateTenantResponse,
    EventResult,
    GetProfileResponse,
    GetTenantResponse,
    IngestEventResponse,
    ListTenantsResponse,
    Profile,
    ProfileResult,
    RemoveTenantResponse,
    SetConsentResponse,
    SetTenantStateResponse,
    StreamEventsResponse,
)
from leo.ingest.v1.ingest_service_pb2_grpc import (
    IngestServiceServicer,
    add_IngestServiceServicer_to_server,
)
from leo_sdk import LeoClient, RetryPolicy, StaticToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from leo.ingest.v1.ingest_service_pb2 import (
        BatchIngestEventsRequest,
        BatchUpsertProfilesRequest,
        CreateTenantRequest,
        GetProfileRequest,
        IngestEventRequest,
        SetConsentRequest,
        StreamEventsRequest,
    )
    from leo_sdk import TokenSource

ACCEPTED = EventResult.OUTCOME_ACCEPTED
DUPLICATE = EventResult.OUTCOME_DUPLICATE

# Short waits: what is tested is that the client waits and how often it tries, not how long.
QUICK = RetryPolicy(backoff_first=timedelta(milliseconds=1), backoff_max=timedelta(milliseconds=5))


def failure(
    code: grpc.StatusCode,
    reason: str = "",
    *,
    violations: dict[str, str] | None = None,
    retry_after: timedelta | None = None,
    **metadata: str,
) -> Status:
    """A status as the services make them."""
    status = Status(code=code.value[0], message="told by the script")
    details: list[Any] = [ErrorInfo(reason=reason, domain="ingest.leo", metadata=metadata)]
    if violations:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=name, description=description)
                    for name, description in violations.items()
                ]
            )
        )
    if retry_after is not None:
        details.append(RetryInfo())
        details[-1].retry_delay.FromTimedelta(retry_after)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@dataclass
class StreamScript:
    """What one StreamEvents call does.

    Attributes:
        break_after_count: events that are stored before the call breaks; None for no break.
        unacknowledged_count: the last so many of these are stored but not acknowledged.
        status: how it breaks.
        hang: it waits for ever instead of breaking.
    """

    break_after_count: int | None = None
    unacknowledged_count: int = 0
    status: Status = field(default_factory=lambda: failure(grpc.StatusCode.UNAVAILABLE))
    hang: bool = False


class ScriptedIngest(IngestServiceServicer):
    """Answers as its scripts say, and remembers who asked.

    Attributes:
        failures: raised one after another by unary calls, before any succeeds.
        streams: one for each StreamEvents call; then calls that do not break.
        calls: the request and the metadata of each try.
        stored: the source_event_ids that are stored, in order of arrival.
        received_count: events that arrived, again and again included.
        refused_authorization: streams with this one are UNAUTHENTICATED.
        held: while it is cleared, nothing is answered.
    """

    def __init__(self) -> None:
        self.failures: deque[Status] = deque()
        self.streams: deque[StreamScript] = deque()
        self.calls: list[tuple[Any, dict[str, str]]] = []
        self.stored: dict[str, None] = {}
        self.received_count = 0
        self.refused_authorization = ""
        self.held = asyncio.Event()
        self.held.set()

    async def _unary(self, request: Any, context: Any) -> None:
        self.calls.append((request, _metadata(context)))
        await self.held.wait()
        if self.failures:
            await context.abort_with_status(rpc_status.to_status(self.failures.popleft()))

    async def IngestEvent(  # noqa: N802
        self, request: IngestEventRequest, context: Any
    ) -> IngestEventResponse:
        await self._unary(request, context)
        return IngestEventResponse(result=EventResult(outcome=ACCEPTED))

    async def BatchIngestEvents(  # noqa: N802
        self, request: BatchIngestEventsRequest, context: Any
    ) -> BatchIngestEventsResponse:
        await self._unary(request, context)
        results = [self._store(event.source_event_id) for event in request.events]
        return BatchIngestEventsResponse(results=results)

    async def BatchUpsertProfiles(  # noqa: N802
        self, request: BatchUpsertProfilesRequest, context: Any
    ) -> BatchUpsertProfilesResponse:
        await self._unary(request, context)
        created = ProfileResult(outcome=ProfileResult.OUTCOME_CREATED, version=1)
        return BatchUpsertProfilesResponse(results=[created] * len(request.profiles))

    async def GetProfile(  # noqa: N802
        self, request: GetProfileRequest, context: Any
    ) -> GetProfileResponse:
        await self._unary(request, context)
        return GetProfileResponse(profile=Profile(ext_id=request.ext_id))

    async def SetConsent(  # noqa: N802
        self, request: SetConsentRequest, context: Any
    ) -> SetConsentResponse:
        await self._unary(request, context)
        return SetConsentResponse(consent=request.consent)

    async def CreateTenant(  # noqa: N802
        self, request: CreateTenantRequest, context: Any
    ) -> CreateTenantResponse:
        await self._unary(request, context)
        return CreateTenantResponse(tenant=request.tenant)

    async def GetTenant(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unary(request, context)
        return GetTenantResponse()

    async def ListTenants(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unary(request, context)
        return ListTenantsResponse()

    async def SetTenantState(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unary(request, context)
        return SetTenantStateResponse()

    async def RemoveTenant(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._unary(request, context)
        return RemoveTenantResponse()

    async def StreamEvents(  # noqa: N802
        self, requests: AsyncIterator[StreamEventsRequest], context: Any
    ) -> AsyncIterator[StreamEventsResponse]:
        metadata = _metadata(context)
        self.calls.append((None, metadata))
        if metadata["authorization"] == self.refused_authorization:
            status = failure(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
            await context.abort_with_status(rpc_status.to_status(status))
        script = self.streams.popleft() if self.streams else StreamScript()
        position = 0
        async for request in requests:
            results: list[EventResult] = []
            for event in request.events:
                if script.break_after_count == position + len(results):
                    break
                results.append(self._store(event.source_event_id))
            await self.held.wait()
            breaks = script.break_after_count == position + len(results)
            if breaks:
                results = results[: len(results) - script.unacknowledged_count]
            if results:
                yield StreamEventsResponse(
                    first_position=position + 1,
                    durable_position=position + len(results),
                    results=results,
                )
            position += len(results)
            if breaks and script.hang:
                await asyncio.Event().wait()
            if breaks and script.status.code == grpc.StatusCode.OK.value[0]:
                return
            if breaks:
                await context.abort_with_status(rpc_status.to_status(script.status))

    def _store(self, source_event_id: str) -> EventResult:
        self.received_count += 1
        duplicate = source_event_id in self.stored
        self.stored[source_event_id] = None
        return EventResult(outcome=DUPLICATE if duplicate else ACCEPTED, event_id=source_event_id)


class ScriptedServer:
    """ScriptedIngest behind a real port of the loopback interface."""

    def __init__(self) -> None:
        self.ingest = ScriptedIngest()
        self.address = ""
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start("127.0.0.1:0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, address: str) -> None:
        """Listen; the same address again after a stop."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_IngestServiceServicer_to_server(self.ingest, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut every call and connection at once."""
        assert self._server is not None
        await self._server.stop(grace=None)

    def client(self, tokens: TokenSource | None = None, **options: Any) -> LeoClient:
        """A client of this server."""
        options.setdefault("retry_policy", QUICK)
        return LeoClient(self.address, tokens or StaticToken("a-token"), **options)


def _metadata(context: Any) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
