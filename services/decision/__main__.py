"""`python -m services.decision serve` and `… work`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from leo.decision.v1 import decision_service_pb2
from leo.decision.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.database import Database
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.relay import (
    DISPATCH,
    InternalChannel,
    InternalSettings,
    Ringer,
    Sweeper,
    dispatching,
    until_stopped,
)
from libs.rpc.errors import StartError
from libs.rpc.server import Registration, build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging
from services.decision.servicer import DecisionServicer
from services.decision.settings import DecisionSettings
from services.decision.store import DecisionStore
from services.decision.usecases import Activator

USAGE = "usage: python -m services.decision serve | work"


async def serve() -> None:
    """Serve DecisionService until SIGTERM."""
    settings = DecisionSettings()
    descriptor = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"]
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-decision")
        stack.push_async_callback(database.close)
        ring = None
        if settings.dispatch_address:
            channel = InternalChannel(settings.dispatch_address, InternalSettings())
            await stack.enter_async_context(channel)
            ring = (await stack.enter_async_context(Ringer(dispatching(channel)))).ring
        store = DecisionStore(database)
        servicer = DecisionServicer(store, Activator(store, ring))
        verifier = await stack.enter_async_context(TokenVerifier(AuthSettings()))
        server = build_server(
            [Registration(descriptor, partial(add_DecisionServiceServicer_to_server, servicer))],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )

        async def ready() -> None:
            await database.ping()
            await verifier.ready()

        await run(server, settings.address, ready=ready)


async def work() -> None:
    """Hand decisions to dispatch that nobody handed over, until SIGTERM."""
    settings = DecisionSettings()
    if not settings.dispatch_address:
        raise StartError("LEO_DECISION_DISPATCH_ADDRESS is empty: say where dispatch listens")
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-decision-work")
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name="leo-decision-work")
        stack.push_async_callback(finder.close)
        channel = InternalChannel(settings.dispatch_address, InternalSettings())
        await stack.enter_async_context(channel)
        await until_stopped(Sweeper(database, finder, DISPATCH, dispatching(channel)).run())


COMMANDS = {"serve": serve, "work": work}


def main() -> int:
    """Run the command of the command line; the exit status."""
    command = COMMANDS.get(" ".join(sys.argv[1:]))
    if command is None:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging("decision" if command is serve else "decision-work")
    try:
        uvloop.run(command())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
