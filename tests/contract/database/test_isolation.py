"""What a transaction sees without a tenant, as the platform, and after another one's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.database.rows import as_role, fill
from tests.contract.database.walls.expected import TABLE_GRANTS
from tests.contract.database.walls.wall import tables_of_tenants

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect


@pytest.mark.parametrize("context", [None, ""])
async def test_without_a_tenant_there_are_no_rows_and_no_error(
    superuser: Any, two_tenants: tuple[UUID, UUID], context: str | None
) -> None:
    for table in await tables_of_tenants(superuser):
        (count,) = await as_role(
            superuser, roles.OWNER, f"SELECT count(*) FROM {table}", context=context
        )
        assert count == 0, table


async def test_platform_sees_every_tenant_and_nothing_of_any(
    superuser: Any, two_tenants: tuple[UUID, UUID], connect: Connect
) -> None:
    async with connect(roles.INGEST) as ingest:
        async with ingest.transaction():
            await ingest.fetchval("SELECT enter_platform_v1()")
            found = {row["tenant_id"] for row in await ingest.fetch("SELECT * FROM tenant")}
            assert found >= set(two_tenants)
            assert await ingest.execute("UPDATE tenant SET state = 'suspended'") == "UPDATE 0"
            read = {table for table, granted in TABLE_GRANTS.items() if roles.INGEST in granted}
            for table in read - {"tenant"}:
                assert await ingest.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        assert await ingest.fetchval("SELECT count(*) FROM tenant") == 0


async def test_sessions_of_the_auditor_are_read_only(connect: Connect) -> None:
    async with connect(roles.AUDITOR) as auditor:
        assert await auditor.fetchval("SHOW default_transaction_read_only") == "on"


async def test_setting_stays_empty_after_the_transaction_that_set_it(
    connect: Connect, superuser: Any
) -> None:
    tenant_id = await fill(superuser)
    async with connect(roles.INGEST) as service:
        async with service.transaction():
            assert await service.fetchval("SELECT enter_tenant_v1($1, 1000)", tenant_id) == "active"
            assert await service.fetchval("SELECT count(*) FROM tenant") == 1
            assert await service.fetchval("SHOW statement_timeout") == "1s"
        assert await service.fetchval("SELECT current_setting('leo.tenant_id', true)") == ""
        assert await service.fetchval("SHOW statement_timeout") == "0"
        assert await service.fetchval("SELECT count(*) FROM tenant") == 0
