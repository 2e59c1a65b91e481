"""A tenant that is removed goes to the last row, and nobody else loses one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.requests import Origin
from services.decision.sealer import Sealer
from services.ingest.removal import TenantRemoval
from services.ingest.settings import RemovalSettings
from services.ingest.store import IngestStore
from tests.contract.database.rows import EVENT_COUNT, KEPT, TABLES, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from tests.conftest import Connect, DsnOf

ORIGIN = Origin(actor="operator", call_id="call", request=None)


async def counts(superuser: Any, tenant_id: UUID) -> dict[str, int]:
    """How many rows a tenant has in each table."""
    return {
        table: await superuser.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant_id
        )
        for table in TABLES
    }


async def state(superuser: Any, tenant_id: UUID) -> str:
    found: str = await superuser.fetchval(
        "SELECT state FROM tenant WHERE tenant_id = $1", tenant_id
    )
    return found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process does."""
    while not await holds():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


@pytest.fixture
async def own(superuser: Any) -> UUID:
    """A tenant with rows in every table, which is to go."""
    return await fill(superuser)


@pytest.fixture
async def other(superuser: Any) -> UUID:
    """A second one, which is to stay."""
    return await fill(superuser)


@pytest.fixture
def removal(database: Database, finder: Database) -> TenantRemoval:
    """With batches so small that every table takes one of its own, and events many."""
    return TenantRemoval(database, finder, RemovalSettings(batch_count=40))


async def begin(database: Database, tenant_id: UUID) -> None:
    await IngestStore(database).remove_tenant(tenant_id, ORIGIN)


async def test_nothing_is_left_but_the_tenants_row_and_its_audit(
    database: Database, superuser: Any, removal: TenantRemoval, own: UUID, other: UUID
) -> None:
    before = await counts(superuser, own)
    assert all(before.values())
    others = await counts(superuser, other)
    await begin(database, own)
    while await removal.look():
        pass
    after = await counts(superuser, own)
    assert {table for table, count in after.items() if count} == set(KEPT)
    assert after["audit_seal"] == before["audit_seal"]
    assert await state(superuser, own) == "removed"
    assert await counts(superuser, other) == others
    assert await state(superuser, other) == "active"


async def test_every_batch_is_in_the_audit_with_its_count(
    database: Database, superuser: Any, removal: TenantRemoval, own: UUID
) -> None:
    before = await counts(superuser, own)
    await begin(database, own)
    while await removal.look():
        pass
    entries = await superuser.fetch(
        "SELECT kind, actor, details FROM audit_entry"
        " WHERE tenant_id = $1 AND kind <> 'tenant_created' ORDER BY entry_id",
        own,
    )
    first, *batches, last = [
        (row["kind"], row["actor"], json.loads(row["details"])) for row in entries
    ]
    assert first[:2] == ("tenant_state_changed", "operator")
    assert last == ("tenant_state_changed", "ingest", {"from": "removing", "to": "removed"})
    removed: dict[str, int] = {}
    for kind, _, details in batches:
        assert (kind, details["cause"]) == ("rows_removed", "tenant")
        ((table, told),) = details["tables"].items()
        removed[table] = removed.get(table, 0) + told["row_count"]
    assert removed == {table: count for table, count in before.items() if table not in KEPT}
    assert removed == first[2]["row_counts"]
    assert len(batches) > EVENT_COUNT // 40


@pytest.mark.parametrize("state", ["active", "suspended", "removed"])
async def test_the_door_is_closed_for_a_tenant_that_is_not_being_removed(
    superuser: Any, connect: Connect, own: UUID, state: str
) -> None:
    await superuser.execute("UPDATE tenant SET state = $1 WHERE tenant_id = $2", state, own)
    async with connect(roles.INGEST) as ingest, ingest.transaction():
        await ingest.fetchval("SELECT enter_tenant_v1($1, 1000)", own)
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
            await ingest.fetchval("SELECT remove_tenant_rows_v1($1, 1000)", uuid7())


async def test_who_began_before_is_waited_for(
    database: Database, superuser: Any, removal: TenantRemoval, connect: Connect, own: UUID
) -> None:
    async with connect(roles.DECISION) as decision:
        transaction = decision.transaction()
        await transaction.start()
        # It has not written yet, so no snapshot and no transaction id tells of it.
        assert await decision.fetchval("SELECT enter_tenant_v1($1, 1000)", own) == "active"
        await begin(database, own)
        assert not await removal.look()
        assert (await counts(superuser, own))["marketing_event"] == EVENT_COUNT
        await decision.execute("UPDATE rule_set SET version = version + 1")
        assert not await removal.look()
        await transaction.commit()
    while await removal.look():
        pass
    assert await state(superuser, own) == "removed"
    assert (await counts(superuser, own))["rule_set"] == 0


async def test_who_only_reads_is_not_waited_for(
    database: Database, superuser: Any, removal: TenantRemoval, connect: Connect, own: UUID
) -> None:
    async with connect(roles.AUDITOR) as auditor, auditor.transaction():
        await auditor.fetch("SELECT * FROM tenant")
        await begin(database, own)
        while await removal.look():
            pass
        assert await state(superuser, own) == "removed"


async def test_a_message_on_its_way_is_left_its_lease(
    database: Database, superuser: Any, removal: TenantRemoval, own: UUID
) -> None:
    lease = (
        "UPDATE delivery_log SET state = 'sending', lease_until = leo_now() + $2::interval"
        " WHERE tenant_id = $1"
    )
    await superuser.execute(lease, own, timedelta(hours=1))
    await begin(database, own)
    assert not await removal.look()
    assert not await removal.look()
    await superuser.execute(lease, own, timedelta(seconds=-1))
    assert await removal.look()


async def test_the_books_of_half_a_tenant_are_not_read(
    database: Database, superuser: Any, removal: TenantRemoval, own: UUID
) -> None:
    ask = "SELECT count(*) FROM ledger_breach(interval '0') WHERE tenant_id = $1"
    assert await superuser.fetchval(ask, own) > 0
    await begin(database, own)
    while await removal.look():
        assert await superuser.fetchval(ask, own) == 0
    assert await superuser.fetchval(ask, own) == 0


async def test_the_chain_is_sealed_to_the_last_entry(
    database: Database, superuser: Any, removal: TenantRemoval, sealer: Sealer, own: UUID
) -> None:
    await begin(database, own)
    while await removal.look():
        await sealer.look()
    while await sealer.look():
        pass
    assert await state(superuser, own) == "removed"
    entries, seals = await superuser.fetchrow(
        "SELECT (SELECT count(*) FROM audit_entry WHERE tenant_id = $1),"
        " (SELECT count(*) FROM audit_seal WHERE tenant_id = $1)",
        own,
    )
    assert entries == seals > EVENT_COUNT // 40


@pytest.fixture
async def sealer(dsn_of: DsnOf, finder: Database) -> AsyncIterator[Sealer]:
    """What seals the audit beside everything else."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.DECISION))), application_name="test"
    )
    yield Sealer(opened, finder)
    await opened.close()


@asynccontextmanager
async def working(dsn_of: DsnOf) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services.ingest work` as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ingest", "work"),
        env=os.environ
        | {
            "LEO_POSTGRES_DSN": dsn_of(roles.INGEST),
            "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
            "LEO_INGEST_DECISION_ADDRESS": "127.0.0.1:1",
            "LEO_INTERNAL_CLIENT_ID": "leo-ingest",
            "LEO_INTERNAL_CLIENT_SECRET": "secret",
            "LEO_INTERNAL_TOKEN_URL": "http://127.0.0.1:1/token",
            "LEO_REMOVAL_BATCH_COUNT": "5",
            "LEO_REMOVAL_BATCH_PAUSE": "PT0.02S",
        },
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def test_a_removal_that_is_killed_goes_on_where_it_was(
    database: Database, superuser: Any, dsn_of: DsnOf, own: UUID, other: UUID
) -> None:
    others = await counts(superuser, other)
    await begin(database, own)

    async def left() -> int:
        return sum((await counts(superuser, own)).values()) - len(KEPT)

    for share in (0.75, 0.4):
        goal = int(share * EVENT_COUNT)

        async def is_so_far(goal: int = goal) -> bool:
            events = await superuser.fetchval(
                "SELECT count(*) FROM marketing_event WHERE tenant_id = $1", own
            )
            return bool(events <= goal)

        async with working(dsn_of) as process:
            await until(is_so_far)
            process.kill()
            await process.wait()
        assert await state(superuser, own) == "removing"

    async def is_removed() -> bool:
        return await state(superuser, own) == "removed"

    async with working(dsn_of):
        await until(is_removed)
    after = await counts(superuser, own)
    assert {table for table, count in after.items() if count} == set(KEPT)
    removed = await superuser.fetchval(
        "SELECT sum((t.value ->> 'row_count')::int) FROM audit_entry AS e,"
        " jsonb_each(e.details -> 'tables') AS t"
        " WHERE e.tenant_id = $1 AND e.kind = 'rows_removed' AND t.key = 'marketing_event'",
        own,
    )
    assert removed == EVENT_COUNT
    assert await counts(superuser, other) == others
