"""`python -m services.dispatch serve`, `… work` and `… after-restore`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

from leo.dispatch.v1 import dispatch_service_pb2
from leo.dispatch.v1.dispatch_service_pb2_grpc import add_DispatchServiceServicer_to_server
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.process import run_command, serve_until_stopped
from libs.rpc.server import Registration
from services.dispatch.doorbell import Doorbell
from services.dispatch.machine.restored import after_restore
from services.dispatch.machine.settings import RedisSettings
from services.dispatch.machine.worker import work
from services.dispatch.servicer import DispatchServicer
from services.dispatch.settings import DispatchSettings
from services.dispatch.store import DispatchStore


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
        add = partial(add_DispatchServiceServicer_to_server, servicer)
        await serve_until_stopped(Registration(descriptor, add), database, settings.address)


if __name__ == "__main__":
    sys.exit(
        run_command("dispatch", {"serve": serve, "work": work, "after-restore": after_restore})
    )
