"""`python -m services.segment serve`: read settings, wire, run."""

from __future__ import annotations

import sys
from functools import partial

import uvloop

from leo.segment.v1 import segment_service_pb2
from leo.segment.v1.segment_service_pb2_grpc import add_SegmentServiceServicer_to_server
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.errors import StartError
from libs.rpc.server import Registration, build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging
from services.segment.servicer import SegmentServicer
from services.segment.settings import SegmentSettings
from services.segment.store import SegmentStore

USAGE = "usage: python -m services.segment serve"


async def serve() -> None:
    """Serve SegmentService until SIGTERM."""
    settings = SegmentSettings()
    database = await Database.open(PostgresSettings(), application_name="leo-segment")
    store = SegmentStore(database)
    descriptor = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
    async with TokenVerifier(AuthSettings()) as verifier:
        server = build_server(
            [
                Registration(
                    descriptor,
                    partial(add_SegmentServiceServicer_to_server, SegmentServicer(store)),
                )
            ],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )

        async def ready() -> None:
            await database.ping()
            await verifier.ready()

        try:
            await run(server, settings.address, ready=ready)
        finally:
            await database.close()


def main() -> int:
    """Run the command of the command line; the exit status."""
    if sys.argv[1:] != ["serve"]:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging("segment")
    try:
        uvloop.run(serve())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
