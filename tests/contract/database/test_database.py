"""libs.postgres against a real server: contexts, errors as kinds, time limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.errors import (
    DeadlinePassedError,
    StorageConflictError,
    StorageUnavailableError,
    TenantMissingError,
)
from libs.postgres.settings import PostgresSettings

if TYPE_CHECKING:
    from libs.rpc.errors import LeoError
    from tests.conftest import CreateTenant, DsnOf

INSERT_EVENT = (
    "INSERT INTO marketing_event (tenant_id, event_id, source, event_type, profile_ext_id,"
    " occurred_at, properties, body_digest)"
    " VALUES ($1, $2, 'test', 'page-view', 'one', leo_now(), $3, sha256('body'))"
)
SECRET = "0912 345 678"


async def insert_and_fail(connection: Any, tenant_id: UUID) -> None:
    await connection.execute(INSERT_EVENT, tenant_id, uuid7(), "{}")
    raise LookupError


async def lose(connection: Any, superuser: Any) -> None:
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await superuser.execute("SELECT pg_terminate_backend($1, 10000)", pid)


async def lose_and_use(connection: Any, superuser: Any) -> None:
    await lose(connection, superuser)
    await connection.execute("SELECT 1")


async def test_block_without_an_error_is_stored(database: Database, tenant_id: UUID) -> None:
    event_id = uuid7()
    async with database.tenant(tenant_id) as connection:
        await connection.execute(INSERT_EVENT, tenant_id, event_id, '{"a": 1}')
    async with database.tenant(tenant_id) as connection:
        row = await connection.fetchrow("SELECT * FROM marketing_event")
    assert isinstance(row["event_id"], UUID)
    assert row["event_id"] == event_id
    assert row["properties"] == '{"a": 1}'


async def test_block_with_an_error_leaves_nothing(database: Database, tenant_id: UUID) -> None:
    with pytest.raises(LookupError):
        async with database.tenant(tenant_id) as connection:
            await insert_and_fail(connection, tenant_id)
    async with database.tenant(tenant_id) as connection:
        assert await connection.fetchval("SELECT count(*) FROM marketing_event") == 0


async def test_other_tenant_sees_nothing_of_it(
    database: Database, tenant_id: UUID, create_tenant: CreateTenant
) -> None:
    async with database.tenant(tenant_id) as connection:
        await connection.execute(INSERT_EVENT, tenant_id, uuid7(), "{}")
    async with database.tenant(await create_tenant()) as connection:
        assert await connection.fetchval("SELECT count(*) FROM marketing_event") == 0
        assert await connection.fetchval("SELECT count(*) FROM tenant") == 1


async def test_missing_tenant_is_refused_unless_the_caller_creates_it(database: Database) -> None:
    tenant_id = uuid7()
    with pytest.raises(TenantMissingError) as raised:
        async with database.tenant(tenant_id):
            pytest.fail("the block must not run")
    assert raised.value.reason == "TENANT_MISSING"
    assert raised.value.metadata == {"tenant_id": str(tenant_id)}
    async with database.tenant(tenant_id, must_exist=False) as connection:
        assert await connection.fetchval("SHOW leo.tenant_id") == str(tenant_id)


async def test_statement_over_time_is_a_deadline_passed(
    database: Database, tenant_id: UUID
) -> None:
    with pytest.raises(DeadlinePassedError) as raised:
        async with database.tenant(tenant_id, timeout=timedelta(milliseconds=20)) as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert isinstance(raised.value.__cause__, asyncpg.QueryCanceledError)


async def test_block_over_time_is_a_deadline_passed_where_the_server_says_nothing(
    database: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.database.UNANSWERED_GRACE", timedelta(0))
    with pytest.raises(DeadlinePassedError):
        async with database.tenant(tenant_id, timeout=timedelta(milliseconds=100)):
            await asyncio.Event().wait()
    async with database.tenant(tenant_id) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_time_out_of_the_block_itself_stays_what_it_is(
    database: Database, tenant_id: UUID
) -> None:
    with pytest.raises(TimeoutError):
        async with database.tenant(tenant_id), asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_no_time_left_asks_nothing(database: Database, tenant_id: UUID) -> None:
    with pytest.raises(DeadlinePassedError):
        async with database.tenant(tenant_id, timeout=timedelta(0)):
            pytest.fail("the block must not run")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", StorageConflictError),
        ("40P01", StorageConflictError),
        ("53100", StorageUnavailableError),
        ("53300", StorageUnavailableError),
        ("57P01", StorageUnavailableError),
        ("57P02", StorageUnavailableError),
        ("57P03", StorageUnavailableError),
        ("08006", StorageUnavailableError),
    ],
)
async def test_failure_of_the_server_becomes_a_kind_without_its_text(
    database: Database, tenant_id: UUID, sqlstate: str, kind: type[LeoError]
) -> None:
    with pytest.raises(kind) as raised:
        async with database.tenant(tenant_id) as connection:
            await connection.execute(
                f"DO $$ BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = '{sqlstate}'; END $$"
            )
    assert SECRET in str(raised.value.__cause__)
    assert SECRET not in str(raised.value)
    assert SECRET not in str(raised.value.metadata)


async def test_named_constraint_reaches_the_store(database: Database, tenant_id: UUID) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.tenant(tenant_id) as connection:
            await connection.executemany(INSERT_EVENT, [(tenant_id, uuid7(), "{}")] * 2)


async def test_lost_connection_is_unavailable_and_the_next_call_has_another(
    database: Database, tenant_id: UUID, superuser: Any
) -> None:
    with pytest.raises(StorageUnavailableError):
        async with database.tenant(tenant_id) as connection:
            await lose_and_use(connection, superuser)
    await database.ping()


async def test_connection_lost_before_the_commit_is_unavailable(
    database: Database, tenant_id: UUID, superuser: Any
) -> None:
    with pytest.raises(StorageUnavailableError):
        async with database.tenant(tenant_id) as connection:
            await lose(connection, superuser)
    await database.ping()


async def test_no_free_connection_in_time_is_unavailable(dsn_of: DsnOf, tenant_id: UUID) -> None:
    settings = PostgresSettings(
        dsn=SecretStr(dsn_of(roles.INGEST)), pool_count_min=1, pool_count_max=1
    )
    database = await Database.open(settings, application_name="test")
    async with database.tenant(tenant_id):
        with pytest.raises(StorageUnavailableError):
            async with database.tenant(tenant_id, timeout=timedelta(milliseconds=20)):
                pytest.fail("the block must not run")
    await database.close()


async def test_wrong_password_is_unavailable(dsn_of: DsnOf, tenant_id: UUID) -> None:
    dsn = dsn_of(roles.INGEST).replace("@", "-wrong@")
    database = await Database.open(PostgresSettings(dsn=SecretStr(dsn)), application_name="test")
    with pytest.raises(StorageUnavailableError):
        async with database.tenant(tenant_id):
            pytest.fail("the block must not run")
    await database.close()


async def test_closed_database_is_unavailable(dsn_of: DsnOf, tenant_id: UUID) -> None:
    settings = PostgresSettings(dsn=SecretStr(dsn_of(roles.INGEST)))
    database = await Database.open(settings, application_name="test")
    await database.close()
    with pytest.raises(StorageUnavailableError):
        await database.ping()


async def test_unreadable_dsn_stops_the_start() -> None:
    settings = PostgresSettings(dsn=SecretStr("mysql://somewhere"))
    with pytest.raises(ValueError, match="DSN"):
        await Database.open(settings, application_name="test")
