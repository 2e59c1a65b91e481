"""`python -m services.ingest serve`: read settings, wire, run."""

from __future__ import annotations

import sys
from functools import partial

import uvloop

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.errors import StartError
from libs.rpc.server import Registration, build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging
from services.ingest.batcher import EventBatcher
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.store import IngestStore

USAGE = "usage: python -m services.ingest serve"


async def serve() -> None:
    """Serve IngestService until SIGTERM."""
    settings = IngestSettings()
    database = await Database.open(PostgresSettings(), application_name="leo-ingest")
    store = IngestStore(database)
    descriptor = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]
    async with TokenVerifier(AuthSettings()) as verifier:
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

        try:
            await run(server, settings.address, ready=ready)
        finally:
            await database.close()


def main() -> int:
    """Run the command of the command line; the exit status."""
    if sys.argv[1:] != ["serve"]:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    configure_logging("ingest")
    try:
        uvloop.run(serve())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
