"""`python -m services.segment serve`: read settings, wire, run."""

from __future__ import annotations

import sys
from functools import partial

from leo.segment.v1 import segment_service_pb2
from leo.segment.v1.segment_service_pb2_grpc import add_SegmentServiceServicer_to_server
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.process import run_command, serve_until_stopped
from libs.rpc.server import Registration
from services.segment.servicer import SegmentServicer
from services.segment.settings import SegmentSettings
from services.segment.store import SegmentStore


async def serve() -> None:
    """Serve SegmentService until SIGTERM."""
    settings = SegmentSettings()
    descriptor = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
    database = await Database.open(PostgresSettings(), application_name="leo-segment")
    try:
        servicer = SegmentServicer(SegmentStore(database), settings)
        add = partial(add_SegmentServiceServicer_to_server, servicer)
        await serve_until_stopped(Registration(descriptor, add), database, settings.address)
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(run_command("segment", {"serve": serve}))
