"""Two pools used at once by two tenants, with cancelled calls in between, leak nothing."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from tests.contract.database.test_database import INSERT_EVENT

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import CreateTenant, DsnOf

OPERATION_COUNT = 600
POOL_COUNT = 3
# A few more than there are connections: some wait for one, most do not.
AT_ONCE_COUNT = 8
# Of the loop, in which an operation is cancelled: before it begins, in the middle, after its end.
TURN_COUNT_MAX = 80


async def store(database: Database, tenant_id: UUID, event_id: UUID, *, entered: set[UUID]) -> None:
    """Store one event, and see at each step that the context is the tenant's own."""
    async with database.tenant(tenant_id) as connection:
        entered.add(event_id)
        assert await connection.fetchval("SHOW leo.tenant_id") == str(tenant_id)
        await connection.execute(INSERT_EVENT, tenant_id, event_id, "{}")
        seen = await connection.fetch("SELECT DISTINCT tenant_id FROM marketing_event")
        assert [row["tenant_id"] for row in seen] == [tenant_id]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cancelled_calls_leak_no_tenant_no_row_and_no_connection(
    dsn_of: DsnOf, create_tenant: CreateTenant, superuser: Any, seed: int
) -> None:
    chance = random.Random(seed)
    tenants = [await create_tenant(), await create_tenant()]
    pools = [
        await Database.open(
            PostgresSettings(dsn=SecretStr(dsn_of(roles.INGEST)), pool_count_max=POOL_COUNT),
            application_name=f"leak-{number}",
        )
        for number in range(2)
    ]
    stored: dict[UUID, UUID] = {}
    cancelled: dict[UUID, UUID] = {}
    entered: set[UUID] = set()
    slots = asyncio.Semaphore(AT_ONCE_COUNT)

    async def operate(tenant_id: UUID, database: Database, cancel_after: int | None) -> None:
        event_id = uuid7()
        async with slots:
            task = asyncio.create_task(store(database, tenant_id, event_id, entered=entered))
            if cancel_after is not None:
                await turns(cancel_after)
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled[event_id] = tenant_id
            else:
                stored[event_id] = tenant_id

    await asyncio.gather(
        *(
            operate(
                chance.choice(tenants),
                chance.choice(pools),
                chance.randrange(TURN_COUNT_MAX) if chance.random() < 0.5 else None,
            )
            for _ in range(OPERATION_COUNT)
        )
    )

    assert len(stored) > OPERATION_COUNT / 4
    assert len(cancelled.keys() - entered) > 10
    assert len(cancelled.keys() & entered) > 10
    rows = {
        row["event_id"]: row["tenant_id"]
        for row in await superuser.fetch(
            "SELECT event_id, tenant_id FROM marketing_event WHERE tenant_id = ANY($1)", tenants
        )
    }
    assert rows.items() >= stored.items()
    assert rows.items() <= (stored | cancelled).items()
    for database in pools:
        await every_connection_is_free_and_clean(database, tenants[0])
        await database.close()


async def every_connection_is_free_and_clean(database: Database, tenant_id: UUID) -> None:
    """Hold all connections of the pool at once; each has the context that was asked for."""
    together = asyncio.Barrier(POOL_COUNT)

    async def hold() -> None:
        async with database.tenant(tenant_id) as connection:
            await together.wait()
            assert await connection.fetchval("SHOW leo.tenant_id") == str(tenant_id)

    await asyncio.gather(*(hold() for _ in range(POOL_COUNT)))
