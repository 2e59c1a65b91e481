"""The end of a tenant: everything of it goes, batch by batch, until nothing is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from uuid_utils.compat import uuid7

from libs import audit
from libs.postgres.queries import load_queries
from libs.relay.outage import Outage, problem_of
from services.ingest.removal.batches import BATCH_TIMEOUT, Batches

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Database
    from services.ingest.settings import RemovalSettings

_QUERIES = load_queries(__file__)
ACTOR: Final = "ingest"
INTERVAL_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class TenantRemoval:
    """Removes the tenants that are to be removed. Several may run at once."""

    def __init__(self, database: Database, finder: Database, settings: RemovalSettings) -> None:
        """Make the remover of a process.

        Args:
            database: as ingest.
            finder: the same database as leo_finder.
            settings: how large batches are.
        """
        self._database = database
        self._finder = finder
        self._settings = settings
        self._batches = Batches(settings.batch_count)
        # By tenant: the transactions that may have begun before its removal did.
        self._earlier: dict[UUID, set[str]] = {}
        self._outage = Outage("removing tenants")

    async def run(self) -> None:
        """Remove until cancelled."""
        while True:
            try:
                busy = await self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._outage.begin(problem_of(error))
                busy = False
            else:
                self._outage.end()
            pause = self._settings.batch_pause.total_seconds() if busy else INTERVAL_SECONDS
            await asyncio.sleep(pause)

    async def look(self) -> bool:
        """Remove one batch of each tenant that is to be removed; whether anything got further.

        Raises:
            LeoError: the database is away, or a batch does not come to its end.
        """
        async with self._finder.across_tenants() as connection:
            tenant_ids = [
                row["tenant_id"]
                async for row in _QUERIES.find_tenants(connection, states=["removing"])
            ]
        self._earlier = {
            tenant_id: earlier
            for tenant_id, earlier in self._earlier.items()
            if tenant_id in tenant_ids
        }
        further = False
        for tenant_id in tenant_ids:
            if await self._is_alone(tenant_id):
                further |= await self._batches.run(
                    lambda count, tenant_id=tenant_id: self._remove(tenant_id, count)  # type: ignore[misc]
                )
        return further

    async def _is_alone(self, tenant_id: UUID) -> bool:
        """Whether nobody writes for the tenant any more.

        Who entered it before its removal began may still write; who comes later is refused. A
        message that is on its way is left its lease, so that its result finds its row.
        """
        earlier = self._earlier.get(tenant_id)
        async with self._finder.across_tenants() as connection:
            if earlier is None or earlier:
                running = {
                    row["transaction"] async for row in _QUERIES.find_transactions(connection)
                }
                earlier = running if earlier is None else earlier & running
                self._earlier[tenant_id] = earlier
            return not earlier and not await _QUERIES.has_lease(connection, tenant_id=tenant_id)

    async def _remove(self, tenant_id: UUID, count_max: int) -> bool:
        """Remove one batch, or end the removal; whether that is done."""
        async with self._database.tenant(
            tenant_id, must_exist=False, timeout=BATCH_TIMEOUT
        ) as connection:
            if not await _QUERIES.try_lock(connection, tenant_id=tenant_id):
                return False
            tenant = await _QUERIES.select_tenant(connection, tenant_id=tenant_id)
            if tenant["state"] != "removing":
                return False
            count = await _QUERIES.remove_tenant_rows(
                connection, entry_id=uuid7(), count_max=count_max
            )
            if count:
                return True
            await _QUERIES.end_tenant(connection, tenant_id=tenant_id)
            await audit.append(
                connection,
                kind="tenant_state_changed",
                actor=ACTOR,
                call_id="",
                details={"from": "removing", "to": "removed"},
            )
        log.info("tenant removed", tenant_id=str(tenant_id))
        return True
