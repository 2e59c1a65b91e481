"""A restore suspends who is active, and who looks later can tell by whom a tenant was suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from libs.backup.held import read_held
from libs.postgres import roles
from libs.rpc.requests import Origin
from services.ingest import usecases
from services.ingest.domain.tenant import NewTenant
from services.ingest.store import IngestStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from libs.postgres.database import Database
    from services.ingest.domain.tenant import State
    from tests.conftest import DsnOf

RESTORE = Origin(actor="restore", call_id="", request=None)
PERSON = Origin(actor="operator", call_id="call-1", request=None)


@pytest.fixture
async def auditor(dsn_of: DsnOf) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn_of(roles.AUDITOR))
    yield connection
    await connection.close()


@pytest.fixture
def store(database: Database) -> IngestStore:
    return IngestStore(database)


async def make(store: IngestStore, name: str, state: State = "active") -> UUID:
    tenant_id: UUID = uuid7()
    tenant = NewTenant(name=name, display_name="", time_zone="Asia/Ho_Chi_Minh")
    await store.create_tenant(tenant_id, tenant, PERSON)
    if state == "removing":
        await store.remove_tenant(tenant_id, PERSON)
    elif state != "active":
        await store.set_tenant_state(tenant_id, state, PERSON)
    return tenant_id


async def held(auditor: asyncpg.Connection) -> set[str]:
    return {tenant.name for tenant in await read_held(auditor) if tenant.is_held}


async def test_who_is_active_is_suspended_and_every_tenant_is_told(
    store: IngestStore, auditor: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usecases, "PAGE_SIZE_MAX", 2)
    for name in ("hoa-mai", "hoa-sen", "hoa-lan"):
        await make(store, name)
    await make(store, "sen-da", "suspended")
    await make(store, "sen-do", "removing")
    assert await held(auditor) == set()
    for times in (1, 2):
        await usecases.hold_after_restore(store, RESTORE)
        assert await held(auditor) == {"hoa-mai", "hoa-sen", "hoa-lan"}
        told = await auditor.fetch(
            "SELECT tenant_id, count(*) FROM audit_entry"
            " WHERE kind = 'database_restored' AND actor = 'restore' GROUP BY 1"
        )
        assert [row["count"] for row in told] == [times] * 5
    states = await auditor.fetch("SELECT name, state FROM tenant WHERE name LIKE 'sen%'")
    assert dict(row.values() for row in states) == {"sen-da": "suspended", "sen-do": "removing"}


async def test_who_was_resumed_and_is_suspended_by_a_person_is_not_on_hold(
    store: IngestStore, auditor: asyncpg.Connection
) -> None:
    tenant_id = await make(store, "hoa-sen")
    await usecases.hold_after_restore(store, RESTORE)
    await store.set_tenant_state(tenant_id, "active", PERSON)
    assert await held(auditor) == set()
    await store.set_tenant_state(tenant_id, "suspended", PERSON)
    assert await held(auditor) == set()
    # A backup of a tenant on hold is restored: it still is.
    await store.set_tenant_state(tenant_id, "active", PERSON)
    await usecases.hold_after_restore(store, RESTORE)
    await usecases.hold_after_restore(store, RESTORE)
    assert await held(auditor) == {"hoa-sen"}
