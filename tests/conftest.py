"""One real PostgreSQL for the whole run, and a fresh copy of a migrated database for each test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.embedded import EmbeddedPostgres
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.migrations import bootstrap, migrate_up
from libs.postgres.settings import PostgresSettings

TEMPLATE = "leo_template"

DsnOf: TypeAlias = Callable[[str], str]
Connect: TypeAlias = Callable[[str], AbstractAsyncContextManager[Any]]
NewDatabase: TypeAlias = Callable[[], AbstractAsyncContextManager[str]]
CreateTenant: TypeAlias = Callable[[], Awaitable[UUID]]


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A server of this run's own, empty at its start."""
    async with _server() as server:
        yield server


@pytest.fixture
async def lone_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A server for one test, which may stop it or change its roles."""
    async with _server() as server:
        yield server


@contextmanager
def _reachable_folder() -> Iterator[Path]:
    # Not pytest's tmp_path: it is closed to the other user as whom the server runs under root.
    with tempfile.TemporaryDirectory(prefix="leo-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@asynccontextmanager
async def _server() -> AsyncIterator[EmbeddedPostgres]:
    with _reachable_folder() as folder:
        server = EmbeddedPostgres(folder)
        await server.start()
        try:
            yield server
        finally:
            # Nothing in it is worth writing down.
            await server.kill()


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated, empty database, which nobody writes to or stays connected to."""
    await bootstrap(postgres.superuser_dsn("postgres"), passwords_of(postgres), TEMPLATE)
    await migrate_up(postgres.dsn(roles.MIGRATE, TEMPLATE))
    return TEMPLATE


def passwords_of(postgres: EmbeddedPostgres) -> dict[str, str]:
    """The passwords that the server's own DSNs will use, for bootstrap."""
    return {
        role: urlsplit(postgres.dsn(role, "postgres")).password or "" for role in roles.LOGIN_ROLES
    }


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres, template: str) -> NewDatabase:
    """Makes a copy of the template, whose name it gives, and drops it at the end of the block."""

    @asynccontextmanager
    async def copy() -> AsyncIterator[str]:
        name = f"leo_{uuid7().hex}"
        server = await asyncpg.connect(postgres.superuser_dsn("postgres"))
        try:
            await server.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {roles.OWNER}")
            yield name
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await server.close()

    return copy


@pytest.fixture
async def database_name(new_database: NewDatabase) -> AsyncIterator[str]:
    """A fresh database for the test; a module whose tests may share one overrides the scope."""
    async with new_database() as name:
        yield name


@pytest.fixture
def dsn_of(postgres: EmbeddedPostgres, database_name: str) -> DsnOf:
    """The DSN of the test's database for one of roles.LOGIN_ROLES."""
    return lambda role: postgres.dsn(role, database_name)


@pytest.fixture
def connect(postgres: EmbeddedPostgres, database_name: str) -> Connect:
    """Connects to the test's database as any role, also one that nobody logs in as."""
    return lambda role: connected(postgres, database_name, role)


@asynccontextmanager
async def connected(
    postgres: EmbeddedPostgres, database_name: str, role: str, **options: Any
) -> AsyncIterator[Any]:
    """A connection to a database as any role; `options` are the driver's."""
    logs_in = role in roles.LOGIN_ROLES
    connection = await asyncpg.connect(
        postgres.dsn(role, database_name) if logs_in else postgres.superuser_dsn(database_name),
        **options,
    )
    try:
        if not logs_in:
            await connection.execute(f"SET ROLE {role}")
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def database(dsn_of: DsnOf) -> AsyncIterator[Database]:
    """The test's database as ingest has it."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.INGEST))), application_name="test"
    )
    yield opened
    await opened.close()


@pytest.fixture
def create_tenant(database: Database) -> CreateTenant:
    """Creates one more tenant and gives its id."""

    async def create() -> UUID:
        tenant_id: UUID = uuid7()
        async with database.tenant(tenant_id, must_exist=False) as connection:
            await connection.execute(
                "INSERT INTO tenant (tenant_id, name, time_zone, state)"
                " VALUES ($1, $2, 'Asia/Ho_Chi_Minh', 'active')",
                tenant_id,
                f"tenant-{tenant_id.hex}",
            )
        return tenant_id

    return create


@pytest.fixture
async def tenant_id(create_tenant: CreateTenant) -> UUID:
    """A tenant without any rows."""
    return await create_tenant()
