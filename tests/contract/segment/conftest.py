"""SegmentService in this process, on a real database, behind tokens of a real issuer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest
from pydantic import SecretStr

from leo.segment.v1 import segment_service_pb2
from leo.segment.v1.segment_service_pb2_grpc import (
    SegmentServiceStub,
    add_SegmentServiceServicer_to_server,
)
from leo_sdk import ClientCredentials
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from services.segment.servicer import SegmentServicer
from services.segment.settings import SegmentSettings
from services.segment.store import SegmentStore
from tests.contract.issuers import SECRET, client_of, issuing, jwks_url_of, token_url_of
from tests.contract.segment.client import Client
from tests.contract.segment.people import People

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias
    from uuid import UUID

    from tests.conftest import Connect, CreateTenant, DsnOf

    ClientOf: TypeAlias = Callable[..., Awaitable[Client]]

# More than a chunk, so that a snapshot may have two.
MEMBER_COUNT_MAX = 12_000
SCOPES = ("leo.segments.read", "leo.segments.write")


@pytest.fixture(scope="session")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("issuer")
    async with issuing(folder, [client_of("test", *SCOPES, any_tenant=True)]) as realm:
        yield realm


@pytest.fixture
async def segment_database(dsn_of: DsnOf) -> AsyncIterator[Database]:
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.SEGMENT))), application_name="test"
    )
    yield opened
    await opened.close()


@pytest.fixture
async def stub(segment_database: Database, realm: str) -> AsyncIterator[SegmentServiceStub]:
    """SegmentService on this test's own database."""
    descriptor = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
    servicer = SegmentServicer(
        SegmentStore(segment_database), SegmentSettings(snapshot_member_count_max=MEMBER_COUNT_MAX)
    )
    registration = Registration(descriptor, partial(add_SegmentServiceServicer_to_server, servicer))
    settings = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
    async with TokenVerifier(settings) as verifier:
        server = build_server(
            [registration],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )
        async with (
            serving(server, "127.0.0.1:0", ready=segment_database.ping) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            yield SegmentServiceStub(channel)


@pytest.fixture
def client_for(stub: SegmentServiceStub, realm: str) -> ClientOf:
    """Makes a client of a tenant, with all scopes or those that are named."""

    async def make(tenant_id: UUID, *scopes: str) -> Client:
        tokens = ClientCredentials(
            token_url_of(realm),
            "test",
            SECRET,
            scope=" ".join(scopes or SCOPES),
            tenant_id=str(tenant_id),
        )
        async with tokens:
            return Client(stub, await tokens.token())

    return make


@pytest.fixture
async def client(client_for: ClientOf, tenant_id: UUID) -> Client:
    return await client_for(tenant_id)


@pytest.fixture
async def other_client(client_for: ClientOf, create_tenant: CreateTenant) -> Client:
    """Of a second tenant."""
    return await client_for(await create_tenant())


@pytest.fixture
async def people(connect: Connect, tenant_id: UUID) -> AsyncIterator[People]:
    """Of the first client's tenant."""
    async with connect(roles.MIGRATE) as connection:
        yield await People(connection, tenant_id).open()
