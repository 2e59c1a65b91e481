"""What a restored backup means for deliveries: what was under way then may have reached its person.

The backup does not say what was sent after it was made. So nothing that a provider may have taken
is tried again by itself: its outcome is unknown, until a receipt or a person says more.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from libs.postgres.database import Database
from libs.postgres.queries import load_queries
from libs.postgres.settings import FinderSettings, PostgresSettings
from libs.rpc.errors import StartError, UnavailableError
from services.dispatch.machine.claim import end
from services.dispatch.machine.moves import Move
from services.dispatch.machine.results import EXPIRED_COUNT_MAX, RESTORED, Results
from services.dispatch.machine.settings import MachineSettings

if TYPE_CHECKING:
    from uuid import UUID

_QUERIES = load_queries(__file__)


async def after_restore() -> None:
    """End all that is in doubt, once, in a restored database that no service uses yet.

    Raises:
        StartError: the database is away; done again, it goes on.
    """
    async with AsyncExitStack() as stack:
        database = await Database.open(PostgresSettings(), application_name="leo-after-restore")
        stack.push_async_callback(database.close)
        finder = await Database.open(FinderSettings(), application_name="leo-after-restore")
        stack.push_async_callback(finder.close)
        try:
            await end_doubts(database, finder)
        except UnavailableError as error:
            raise StartError(str(error)) from error


async def end_doubts(database: Database, finder: Database) -> None:
    """Let the outcome of everything be unknown that a provider may have taken.

    In batches, each a transaction with its audit entry; done again, it finds nothing.

    Raises:
        LeoError: the database is away.
    """
    results = Results(database, MachineSettings())
    async with finder.across_tenants() as connection:
        tenant_ids = [row["tenant_id"] async for row in _QUERIES.find_unanswered(connection)]
    for tenant_id in tenant_ids:
        while await results.end_restored(tenant_id) == EXPIRED_COUNT_MAX:
            pass
        while await _end_doubted(database, tenant_id) == EXPIRED_COUNT_MAX:
            pass


async def _end_doubted(database: Database, tenant_id: UUID) -> int:
    """End what was to be tried again under the key of an attempt that went unanswered."""
    async with database.tenant(tenant_id, must_exist=False) as connection:
        doubted = [
            Move(
                delivery_id=row["delivery_id"],
                epoch=row["epoch"],
                state="outcome_unknown",
                reason=RESTORED.reason,
                in_doubt=True,
            )
            async for row in _QUERIES.select_doubted(
                connection, tenant_id=tenant_id, count_max=EXPIRED_COUNT_MAX
            )
        ]
        if doubted:
            await end(connection, tenant_id, doubted)
    return len(doubted)
