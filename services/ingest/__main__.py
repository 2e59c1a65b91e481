"""`python -m services.ingest serve` and `… work`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.database import Database
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.relay import (
    ACTIVATE,
    InternalChannel,
    InternalSettings,
    Ringer,
    Sweeper,
    activation,
    until_stopped,
)
from libs.rpc.errors import StartError
from libs.rpc.server import Registration, build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging
from services.ingest.batcher import EventBatcher
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.store import IngestStore

USAGE = "usage: python -m services.ingest serve | work"


async def serve() -> None:
    """Serve IngestService until SIGTERM."""
    settings = IngestSettings()
    descriptor = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-ingest")
        stack.push_async_callback(database.close)
        ring = None
        if settings.decision_address:
            channel = InternalChannel(settings.decision_address, InternalSettings())
            await stack.enter_async_context(channel)
            ring = (await stack.enter_async_context(Ringer(activation(channel)))).ring
        store = IngestStore(database, ring)
        verifier = await stack.enter_async_context(TokenVerifier(AuthSettings()))
        server = build_server(
            [
                Registration(
                    descriptor,
                    partial(
                        add_IngestServiceServicer_to_server,
                        IngestServicer(store, EventBatcher(store)),
                    ),
                )
            ],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )

        async def ready() -> None:
            await database.ping()
            await verifier.ready()

        await run(server, settings.address, ready=ready)


async def work() -> None:
    """Hand events to decision that nobody handed over, until SIGTERM."""
    settings = IngestSettings()
    if not settings.decision_address:
        raise StartError("LEO_INGEST_DECISION_ADDRESS is empty: say where decision listens")
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-ingest-work")
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name="leo-ingest-work")
        stack.push_async_callback(finder.close)
        channel = InternalChannel(settings.decision_address, InternalSettings())
        await stack.enter_async_context(channel)
        await until_stopped(Sweeper(database, finder, ACTIVATE, activation(channel)).run())


COMMANDS = {"serve": serve, "work": work}


def main() -> int:
    """Run the command of the command line; the exit status."""
    command = COMMANDS.get(" ".join(sys.argv[1:]))
    if command is None:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging("ingest" if command is serve else "ingest-work")
    try:
        uvloop.run(command())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
