"""`python -m services.ingest serve`, `… work`, `… retain`, `… after-restore`: wire and run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial

import orjson

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from libs.postgres.batcher import Batcher
from libs.postgres.database import Database
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.process import run_command, serve_until_stopped
from libs.relay import ACTIVATE, activation, ringing, sweep_until_stopped
from libs.rpc.errors import StartError, UnavailableError
from libs.rpc.requests import Origin
from libs.rpc.server import Registration
from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX
from services.ingest.removal import Retention, removers_of
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings, RemovalSettings, RetentionSettings
from services.ingest.store import IngestStore
from services.ingest.usecases import hold_after_restore


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
    """Hand over events that nobody handed over, and remove what is to go, until SIGTERM."""
    address = IngestSettings().decision_address
    if not address:
        raise StartError("LEO_INGEST_DECISION_ADDRESS is empty: say where decision listens")
    retention, removal = RetentionSettings(), RemovalSettings()
    await sweep_until_stopped(
        ACTIVATE,
        activation,
        address,
        application_name="leo-ingest-work",
        beside=lambda database, finder: removers_of(database, finder, retention, removal),
    )


async def retain() -> None:
    """Remove what is older than its time, once, and tell on standard output what went, as JSON."""
    await _retain(dry_run=False)


async def try_retain() -> None:
    """Tell what `retain` would remove."""
    await _retain(dry_run=True)


async def _retain(*, dry_run: bool) -> None:
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-ingest-retain")
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name="leo-ingest-retain")
        stack.push_async_callback(finder.close)
        retention = Retention(database, finder, RetentionSettings(), RemovalSettings())
        try:
            reports = await retention.remove(dry_run=dry_run)
        except UnavailableError as error:
            raise StartError(str(error)) from error
    sys.stdout.write(orjson.dumps([asdict(report) for report in reports], default=str).decode())


async def after_restore() -> None:
    """Suspend every tenant, once, in a database that was restored and that no service uses yet."""
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-after-restore")
        stack.push_async_callback(database.close)
        origin = Origin(actor="restore", call_id="", request=None)
        try:
            await hold_after_restore(IngestStore(database), origin)
        except UnavailableError as error:
            raise StartError(str(error)) from error


if __name__ == "__main__":
    commands = {
        "serve": serve,
        "work": work,
        "retain": retain,
        "retain --dry-run": try_retain,
        "after-restore": after_restore,
    }
    sys.exit(run_command("ingest", commands))
