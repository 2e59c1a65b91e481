"""A server that stops at once and comes back, and what a bootstrap does to one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.errors import StorageUnavailableError
from libs.postgres.migrations import bootstrap, migrate_up
from libs.postgres.settings import PostgresSettings
from tests.conftest import passwords_of
from tests.contract.database.test_database import INSERT_EVENT

if TYPE_CHECKING:
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres

NAME = "leo"


async def create_tenant(database: Database) -> UUID:
    tenant_id: UUID = uuid7()
    async with database.tenant(tenant_id, must_exist=False) as connection:
        await connection.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, state)"
            " VALUES ($1, 'one', 'Asia/Ho_Chi_Minh', 'active')",
            tenant_id,
        )
    return tenant_id


async def test_database_recovers_from_a_stop_at_once_and_keeps_what_was_stored(
    lone_postgres: EmbeddedPostgres,
) -> None:
    await bootstrap(lone_postgres.superuser_dsn("postgres"), passwords_of(lone_postgres), NAME)
    await migrate_up(lone_postgres.dsn(roles.MIGRATE, NAME))
    settings = PostgresSettings(dsn=SecretStr(lone_postgres.dsn(roles.INGEST, NAME)))
    database = await Database.open(settings, application_name="test")
    tenant_id = await create_tenant(database)
    stored: list[UUID] = []
    failed: list[UUID] = []
    two_stored, two_failed = asyncio.Event(), asyncio.Event()

    async def write(*, until: asyncio.Event) -> None:
        while not until.is_set():
            event_id = uuid7()
            try:
                async with database.tenant(tenant_id) as connection:
                    await connection.execute(INSERT_EVENT, tenant_id, event_id, "{}")
            except StorageUnavailableError:
                failed.append(event_id)
            else:
                stored.append(event_id)
            if len(stored) >= 2:
                two_stored.set()
            if len(failed) >= 2:
                two_failed.set()

    back = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(write(until=back))
        await two_stored.wait()
        # In the middle of statements and commits.
        await lone_postgres.kill()
        await two_failed.wait()
        with pytest.raises(StorageUnavailableError):
            await database.ping()
        await lone_postgres.start()
        await database.ping()
        back.set()

    async with database.tenant(tenant_id) as connection:
        rows = await connection.fetch("SELECT event_id FROM marketing_event")
    found = [row["event_id"] for row in rows]
    assert len(found) == len(set(found))
    assert set(stored) <= set(found) <= {*stored, *failed}
    await database.close()


async def test_a_session_that_ends_after_its_commit_takes_nothing_back(
    database: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the driver reports it where the server is killed between the commit and the reset."""
    release = asyncpg.Pool.release

    async def ended(pool: Any, connection: Any) -> None:
        await release(pool, connection)
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation is running")

    event_id = uuid7()
    with monkeypatch.context() as broken:
        broken.setattr(asyncpg.Pool, "release", ended)
        async with database.tenant(tenant_id) as connection:
            await connection.execute(INSERT_EVENT, tenant_id, event_id, "{}")
        # What failed within the transaction is still what is raised.
        with pytest.raises(ZeroDivisionError):
            async with database.tenant(tenant_id):
                raise ZeroDivisionError
    async with database.tenant(tenant_id) as connection:
        assert await connection.fetchval("SELECT event_id FROM marketing_event") == event_id


async def test_database_opens_while_the_server_is_away(lone_postgres: EmbeddedPostgres) -> None:
    await bootstrap(lone_postgres.superuser_dsn("postgres"), passwords_of(lone_postgres), NAME)
    await migrate_up(lone_postgres.dsn(roles.MIGRATE, NAME))
    await lone_postgres.stop()
    settings = PostgresSettings(dsn=SecretStr(lone_postgres.dsn(roles.INGEST, NAME)))
    database = await Database.open(settings, application_name="test")
    with pytest.raises(StorageUnavailableError):
        async with database.tenant(uuid7(), timeout=timedelta(seconds=1)):
            pytest.fail("the block must not run")
    await lone_postgres.start()
    await create_tenant(database)
    await database.close()


async def signs_in(postgres: EmbeddedPostgres, role: str, password: str) -> bool:
    try:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=postgres.port, user=role, password=password, database=NAME
        )
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True


async def test_bootstrap_replaces_passwords_keeps_data_and_may_run_several_times_at_once(
    lone_postgres: EmbeddedPostgres,
) -> None:
    superuser_dsn = lone_postgres.superuser_dsn("postgres")
    first = {role: f"first-{role}" for role in roles.LOGIN_ROLES}
    odd = {role: f'o\'dd \\ "%L" $$ {role}' for role in roles.LOGIN_ROLES}
    await asyncio.gather(*(bootstrap(superuser_dsn, first, NAME) for _ in range(3)))
    async with _superuser(lone_postgres) as superuser:
        await superuser.execute("ALTER SYSTEM SET log_statement = 'all'")
        await superuser.execute("SELECT pg_reload_conf()")
        await superuser.execute("CREATE TABLE kept AS SELECT 1")
        # As if somebody had been generous by hand.
        await superuser.execute(f"ALTER ROLE {roles.INGEST} BYPASSRLS CREATEDB")
        await superuser.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        await bootstrap(superuser_dsn, odd, NAME)
        assert await superuser.fetchval("SELECT count(*) FROM kept") == 1
        given = await superuser.fetchrow(
            "SELECT rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = $1", roles.INGEST
        )
        assert tuple(given) == (False, False)
        assert not await superuser.fetchval(
            "SELECT has_schema_privilege('public', 'public', 'CREATE')"
        )
        for row in await superuser.fetch(
            "SELECT rolpassword FROM pg_authid WHERE rolname = ANY($1)", list(roles.LOGIN_ROLES)
        ):
            assert row["rolpassword"].startswith("SCRAM-SHA-256$")
    said = lone_postgres.log.read_text()
    assert "CREATE EXTENSION IF NOT EXISTS vector" in said
    assert "$$ leo_" not in said  # the end of each password, however it is quoted
    assert "SCRAM" not in said
    for role in roles.LOGIN_ROLES:
        assert await signs_in(lone_postgres, role, odd[role])
        assert not await signs_in(lone_postgres, role, first[role])


def _superuser(postgres: EmbeddedPostgres) -> Any:
    return asyncpg.create_pool(postgres.superuser_dsn(NAME), min_size=1, max_size=1)
