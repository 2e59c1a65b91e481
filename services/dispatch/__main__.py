"""`python -m services.dispatch serve` and `… work`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from leo.dispatch.v1 import dispatch_service_pb2
from leo.dispatch.v1.dispatch_service_pb2_grpc import add_DispatchServiceServicer_to_server
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.errors import StartError
from libs.rpc.server import Registration, build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging
from services.dispatch.doorbell import Doorbell
from services.dispatch.machine.settings import RedisSettings
from services.dispatch.machine.worker import work
from services.dispatch.servicer import DispatchServicer
from services.dispatch.settings import DispatchSettings
from services.dispatch.store import DispatchStore

USAGE = "usage: python -m services.dispatch serve | work"


async def serve() -> None:
    """Serve DispatchService until SIGTERM."""
    settings = DispatchSettings()
    descriptor = dispatch_service_pb2.DESCRIPTOR.services_by_name["DispatchService"]
    key_ring = settings.key_ring()
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-dispatch")
        stack.push_async_callback(database.close)
        doorbell = await stack.enter_async_context(Doorbell(RedisSettings().url))
        servicer = DispatchServicer(DispatchStore(database), key_ring, doorbell)
        verifier = await stack.enter_async_context(TokenVerifier(AuthSettings()))
        server = build_server(
            [Registration(descriptor, partial(add_DispatchServiceServicer_to_server, servicer))],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )

        async def ready() -> None:
            await database.ping()
            await verifier.ready()

        await run(server, settings.address, ready=ready)


COMMANDS = {"serve": serve, "work": work}


def main() -> int:
    """Run the command of the command line; the exit status."""
    command = COMMANDS.get(" ".join(sys.argv[1:]))
    if command is None:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging("dispatch" if command is serve else "dispatch-work")
    try:
        uvloop.run(command())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
