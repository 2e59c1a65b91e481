"""A gRPC server of ours: limits, health, reflection, and an orderly start and stop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from libs.rpc.address import check_plaintext
from libs.rpc.errors import LeoError, StartError
from libs.rpc.interceptors import ErrorInterceptor
from libs.rpc.readable import refuse_unreadable
from libs.rpc.settings import KIB, ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import timedelta

    from google.protobuf.descriptor import ServiceDescriptor

READY_INTERVAL_SECONDS = 1.0
READY_TIMEOUT_SECONDS = 5.0
# A token of 8 KiB, twice; between gRPC's soft and hard limit calls would fail by chance.
METADATA_BYTES_MAX = 16 * KIB
# Room for health checks and reflection beside the calls that are counted.
OPEN_CALL_COUNT_MAX = 100

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """One service of a server.

    Attributes:
        descriptor: such as `ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]`.
        add: registers the servicer, such as
            `partial(add_IngestServiceServicer_to_server, servicer)`.
    """

    descriptor: ServiceDescriptor
    add: Callable[[Any], None]


class Server:
    """A gRPC server with its health; `run` or `serving` start and stop it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        health: health_aio.HealthServicer,
        names: Sequence[str],
        settings: ServerSettings,
    ) -> None:
        self._server = server
        self._health = health
        self._names = ("", *names)
        self._settings = settings
        self._serving: bool | None = None

    async def start(self, address: str) -> str:
        """Listen on `address` ("host:port", port 0 = any) and return the address with its port.

        Raises:
            StartError: plaintext may not listen there, or the port is taken.
        """
        check_plaintext(
            address,
            behind_tls_proxy=self._settings.behind_tls_proxy,
            setting="LEO_RPC_BEHIND_TLS_PROXY",
        )
        await self.set_serving(serving=False)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if not port:
            raise StartError(f"cannot listen on {address}: the port is taken or not ours to take")
        await self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Refuse new calls, let those in progress end within the grace, then cut them off."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.shutdown_grace.total_seconds())

    async def set_serving(self, *, serving: bool) -> None:
        """Tell the health service's watchers, if it is news."""
        if serving == self._serving:
            return
        self._serving = serving
        for name in self._names:
            await self._health.set(name, SERVING if serving else NOT_SERVING)


class _Collector:
    """Stands in for the server in the generated `add_…_to_server`, to get hold of the handlers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Not needed: the same handlers come by name."""

    def add_registered_method_handlers(self, _service: str, handlers: dict[str, Any]) -> None:
        self.handlers.update(handlers)


def build_server(
    services: Sequence[Registration],
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    settings: ServerSettings,
) -> Server:
    """Make a server of `services`; our ErrorInterceptor stands outside of `interceptors`."""
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor(settings), *interceptors],
        # A backstop: the ErrorInterceptor refuses earlier and says when to come again.
        maximum_concurrent_rpcs=settings.concurrent_call_count_max + OPEN_CALL_COUNT_MAX,
        options=_channel_options(settings),
    )
    names = [service.descriptor.full_name for service in services]
    for service in services:
        collector = _Collector()
        service.add(collector)
        handlers = {
            method.name: refuse_unreadable(collector.handlers[method.name], method)
            for method in service.descriptor.methods
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service.descriptor.full_name, handlers),)
        )
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        reflection.enable_server_reflection(
            [*names, "grpc.health.v1.Health", reflection.SERVICE_NAME], server
        )
    return Server(server, health, names, settings)


@asynccontextmanager
async def serving(
    server: Server, address: str, *, ready: Callable[[], Awaitable[None]]
) -> AsyncIterator[str]:
    """Serve while the block runs; gives the address with its real port.

    Health says SERVING only while `ready()` returns: it is asked every second and raises if
    something that the service cannot do without is away.
    """
    bound = await server.start(address)
    log.info("listening", address=bound)
    probe = asyncio.create_task(_probe(server, ready))
    try:
        yield bound
    finally:
        probe.cancel()
        await server.stop()
        log.info("stopped", address=bound)


async def run(server: Server, address: str, *, ready: Callable[[], Awaitable[None]]) -> None:
    """Serve until SIGTERM or SIGINT, then stop within the grace. Call it under `uvloop.run`.

    Raises:
        StartError: the server may not or cannot listen on `address`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(server, address, ready=ready):
        await stop.wait()


async def _probe(server: Server, ready: Callable[[], Awaitable[None]]) -> None:
    reported: str | None = None
    while True:
        problem = await _problem(ready)
        if problem != reported:
            reported = problem
            if problem:
                log.warning("not ready", problem=problem)
            else:
                log.info("ready")
        await server.set_serving(serving=not problem)
        await asyncio.sleep(READY_INTERVAL_SECONDS)


async def _problem(ready: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            await ready()
    except LeoError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        return type(error).__name__
    return ""


def _channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    def milliseconds(span: timedelta) -> int:
        return int(span.total_seconds() * 1000)

    return [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES_MAX),
        ("grpc.keepalive_time_ms", milliseconds(settings.keepalive)),
        ("grpc.keepalive_timeout_ms", milliseconds(settings.keepalive_timeout)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_age_ms", milliseconds(settings.connection_age_max)),
        ("grpc.max_connection_age_grace_ms", milliseconds(settings.connection_age_grace)),
        # Two servers on one port would share its calls in silence; the second one must fail.
        ("grpc.so_reuseport", 0),
    ]
