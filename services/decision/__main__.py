"""`python -m services.decision serve` and `… work`: read settings, wire, run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from leo.decision.v1 import decision_service_pb2
from leo.decision.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.process import run_command, serve_until_stopped
from libs.relay import DISPATCH, dispatching, ringing, sweep_until_stopped
from libs.rpc.errors import StartError
from libs.rpc.server import Registration
from services.decision.launcher import Launcher
from services.decision.sealer import sealers_of
from services.decision.servicer import DecisionServicer
from services.decision.settings import AuditSettings, DecisionSettings
from services.decision.store import DecisionStore, LaunchFinder
from services.decision.usecases import Activator

if TYPE_CHECKING:
    from libs.relay.work import Worker


async def serve() -> None:
    """Serve DecisionService until SIGTERM."""
    settings = DecisionSettings()
    descriptor = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"]
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-decision")
        stack.push_async_callback(database.close)
        ring = await stack.enter_async_context(ringing(settings.dispatch_address, dispatching))
        store = DecisionStore(database)
        servicer = DecisionServicer(store, Activator(store, ring))
        add = partial(add_DecisionServiceServicer_to_server, servicer)
        await serve_until_stopped(Registration(descriptor, add), database, settings.address)


async def work() -> None:
    """Decide about launches, hand decisions over that nobody handed over, and seal the audit.

    Until SIGTERM.
    """
    address = DecisionSettings().dispatch_address
    if not address:
        raise StartError("LEO_DECISION_DISPATCH_ADDRESS is empty: say where dispatch listens")
    async with ringing(address, dispatching) as ring:

        def beside(database: Database, finder: Database) -> list[Worker]:
            launcher = Launcher(DecisionStore(database), LaunchFinder(finder), ring)
            return [launcher, *sealers_of(database, finder, AuditSettings())]

        await sweep_until_stopped(
            DISPATCH, dispatching, address, application_name="leo-decision-work", beside=beside
        )


if __name__ == "__main__":
    sys.exit(run_command("decision", {"serve": serve, "work": work}))
