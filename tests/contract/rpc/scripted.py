"""A real server over the IngestService descriptor whose servicer does what a test tells it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import (
    IngestServiceServicer,
    add_IngestServiceServicer_to_server,
)
from libs.rpc.server import Registration, Server, build_server, serving
from libs.rpc.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

SERVICE = pb.DESCRIPTOR.services_by_name["IngestService"]

DETAIL_TYPES = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.ResourceInfo,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.QuotaFailure,
    error_details_pb2.RetryInfo,
)


async def nothing() -> None:
    """Do nothing, at once."""


class ScriptedServicer(IngestServiceServicer):
    """Awaits `act` once for each request, then answers."""

    def __init__(self, act: Callable[[], Awaitable[None]] = nothing) -> None:
        self.act = act

    async def IngestEvent(self, request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        event_id = request.event.source_event_id
        return pb.IngestEventResponse(result=pb.EventResult(event_id=event_id))

    async def BatchIngestEvents(self, request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.BatchIngestEventsResponse(results=[pb.EventResult() for _ in request.events])

    async def StreamEvents(self, request_iterator: Any, _context: Any) -> Any:  # noqa: N802
        position = 0
        async for request in request_iterator:
            await self.act()
            position += len(request.events)
            yield pb.StreamEventsResponse(durable_position=position)

    async def BatchUpsertProfiles(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.BatchUpsertProfilesResponse()

    async def GetProfile(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.GetProfileResponse()

    async def SetConsent(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.SetConsentResponse()

    async def CreateTenant(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.CreateTenantResponse()

    async def GetTenant(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.GetTenantResponse()

    async def ListTenants(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.ListTenantsResponse()

    async def SetTenantState(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.SetTenantStateResponse()

    async def RemoveTenant(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await self.act()
        return pb.RemoveTenantResponse()


def raising(error: Exception) -> ScriptedServicer:
    """Make a servicer that raises `error` at every request."""

    async def act() -> None:
        raise error

    return ScriptedServicer(act)


def make_server(
    servicer: IngestServiceServicer,
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    settings: ServerSettings | None = None,
) -> Server:
    """Make the server of a servicer; it is not started."""
    return build_server(
        [Registration(SERVICE, partial(add_IngestServiceServicer_to_server, servicer))],
        interceptors=interceptors,
        settings=settings or ServerSettings(),
    )


@asynccontextmanager
async def ingest_server(
    servicer: IngestServiceServicer,
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    settings: ServerSettings | None = None,
    ready: Callable[[], Awaitable[None]] = nothing,
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve on a free port and connect to it."""
    server = make_server(servicer, interceptors=interceptors, settings=settings)
    async with (
        serving(server, "127.0.0.1:0", ready=ready) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel


def call_raw(channel: grpc.aio.Channel, method: str, data: bytes) -> Any:
    """Call a unary RPC with bytes of the test's own making."""
    multicallable: Any = channel.unary_unary(f"/{SERVICE.full_name}/{method}")
    return multicallable(data)


async def refusal(call: Any) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """Await a call that must fail and return its code and its google.rpc.Status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    # The types of grpcio-status know only the synchronous call; it reads the same methods.
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None, f"no google.rpc.Status in {caught.value}"
    return caught.value.code(), status


def details_of(status: status_pb2.Status) -> list[Any]:
    """Unpack the details of a status, each as its own type."""
    unpacked = []
    for packed in status.details:
        for detail_type in DETAIL_TYPES:
            detail = detail_type()
            if packed.Unpack(detail):
                unpacked.append(detail)
                break
        else:
            raise AssertionError(f"unknown detail {packed.type_url}")
    return unpacked


def error_info(status: status_pb2.Status) -> Any:
    """Return the one ErrorInfo of a status."""
    (info,) = (
        detail for detail in details_of(status) if isinstance(detail, error_details_pb2.ErrorInfo)
    )
    return info
