"""`python -m services.ingest serve` and `… work`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from libs.postgres.batcher import Batcher
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.process import run_command, serve_until_stopped
from libs.relay import ACTIVATE, activation, ringing, sweep_until_stopped
from libs.rpc.errors import StartError
from libs.rpc.server import Registration
from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.store import IngestStore


async def serve() -> None:
    """Serve IngestService until SIGTERM."""
    settings = IngestSettings()
    descriptor = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-ingest")
        stack.push_async_callback(database.close)
        ring = await stack.enter_async_context(ringing(settings.decision_address, activation))
        store = IngestStore(database, ring)
        batcher = Batcher(store.insert_events, count_max=EVENT_BATCH_COUNT_MAX)
        servicer = IngestServicer(store, batcher)
        add = partial(add_IngestServiceServicer_to_server, servicer)
        await serve_until_stopped(Registration(descriptor, add), database, settings.address)


async def work() -> None:
    """Hand events to decision that nobody handed over, until SIGTERM."""
    address = IngestSettings().decision_address
    if not address:
        raise StartError("LEO_INGEST_DECISION_ADDRESS is empty: say where decision listens")
    await sweep_until_stopped(ACTIVATE, activation, address, application_name="leo-ingest-work")


if __name__ == "__main__":
    sys.exit(run_command("ingest", {"serve": serve, "work": work}))
