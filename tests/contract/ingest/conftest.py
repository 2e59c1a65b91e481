"""IngestService in this process, on a real database, behind tokens of a real issuer."""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pydantic import SecretStr

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from leo_sdk import ClientCredentials, LeoClient
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres import roles
from libs.postgres.batcher import Batcher
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX
from services.ingest.servicer import IngestServicer
from services.ingest.store import IngestStore
from tests.contract.auth.processes import free_address, running
from tests.contract.database.rows import fill
from tests.contract.ingest.shop import Shop, retention_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres
    from services.ingest.removal import Retention
    from tests.conftest import Connect, CreateTenant, DsnOf

SCOPES = ("leo.events.write", "leo.profiles.write", "leo.profiles.read", "leo.tenants.admin")
SECRET = "a secret of this test run"


@pytest.fixture(scope="session")
async def issuer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The base URL of a development issuer, a process of its own."""
    folder = tmp_path_factory.mktemp("issuer")
    client = {"client_id": "test", "client_secret": SECRET, "any_tenant": True, "scopes": SCOPES}
    (folder / "clients.json").write_text(json.dumps([client]))
    address = free_address()
    base = f"http://{address}/realms/leo"
    async with running(
        "libs.issuer",
        folder / "log",
        f"{base}/protocol/openid-connect/certs",
        LEO_ISSUER_ADDRESS=address,
        LEO_ISSUER_CLIENTS_FILE=str(folder / "clients.json"),
        LEO_ISSUER_KEY_FILE=str(folder / "keys.json"),
    ):
        yield base


class Clock:
    """The time as the token check sees it, which a test may move."""

    ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture
def clock() -> Clock:
    """The right time."""
    return Clock()


@pytest.fixture
async def address(database: Database, issuer: str, clock: Clock) -> AsyncIterator[str]:
    """Where IngestService listens, on this test's own database."""
    store = IngestStore(database)
    servicer = IngestServicer(store, Batcher(store.insert_events, count_max=EVENT_BATCH_COUNT_MAX))
    descriptor = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]
    registration = Registration(descriptor, partial(add_IngestServiceServicer_to_server, servicer))
    settings = AuthSettings(issuer=issuer, jwks_url=f"{issuer}/protocol/openid-connect/certs")
    async with TokenVerifier(settings, clock=clock) as verifier:
        server = build_server(
            [registration],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )
        async with serving(server, "127.0.0.1:0", ready=database.ping) as bound:
            yield bound


@pytest.fixture
async def client_of(address: str, issuer: str) -> AsyncIterator[Callable[..., LeoClient]]:
    """`client_of(tenant, *scopes)`: a client with all scopes, or those that are named."""
    async with AsyncExitStack() as opened:
        pending: list[Any] = []

        def make(tenant: UUID | None, *scopes: str) -> LeoClient:
            tokens = tokens_of(issuer, tenant, *scopes)
            client = LeoClient(address, tokens)
            pending.extend((tokens, client))
            return client

        yield make
        for resource in pending:
            opened.push_async_exit(resource)


def tokens_of(issuer: str, tenant: UUID | None, *scopes: str) -> ClientCredentials:
    """Tokens of a tenant, or of the platform."""
    return ClientCredentials(
        f"{issuer}/protocol/openid-connect/token",
        "test",
        SECRET,
        scope=" ".join(scopes or SCOPES),
        tenant_id=str(tenant) if tenant else None,
    )


@pytest.fixture
def client(client_of: Callable[..., LeoClient], tenant_id: UUID) -> LeoClient:
    """A client of the test's tenant with all scopes."""
    return client_of(tenant_id)


@pytest.fixture
async def other_tenant_id(create_tenant: CreateTenant) -> UUID:
    """A second tenant without any rows."""
    return await create_tenant()


@pytest.fixture
async def finder(dsn_of: DsnOf) -> AsyncIterator[Database]:
    """The test's database as the workers' eyes have it."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.FINDER))), application_name="test"
    )
    yield opened
    await opened.close()


@pytest.fixture
async def superuser(postgres: EmbeddedPostgres, database_name: str) -> AsyncIterator[Any]:
    """A connection that nothing is hidden from or refused to."""
    connection = await asyncpg.connect(postgres.superuser_dsn(database_name))
    yield connection
    await connection.close()


@pytest.fixture
async def auditor(connect: Connect) -> AsyncIterator[Any]:
    """A connection that sees every tenant's rows and writes none."""
    async with connect(roles.AUDITOR) as connection:
        yield connection


@pytest.fixture
async def shop(superuser: Any) -> Shop:
    """A tenant with a row in every table, to which a test adds rows of any age."""
    return Shop(superuser, await fill(superuser))


@pytest.fixture
def retention(database: Database, finder: Database) -> Retention:
    """What removes the old ones."""
    return retention_of(database, finder)
