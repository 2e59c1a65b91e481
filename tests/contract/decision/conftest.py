"""DecisionService in this process, on a real database, behind tokens of a real issuer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from pydantic import SecretStr

from leo.decision.v1 import decision_service_pb2
from leo.decision.v1.decision_service_pb2_grpc import (
    DecisionServiceStub,
    add_DecisionServiceServicer_to_server,
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
from services.decision.launcher import Launcher
from services.decision.servicer import DecisionServicer
from services.decision.store import DecisionStore, LaunchFinder
from services.decision.usecases import Activator
from tests.contract.decision.client import Client
from tests.contract.decision.world import World
from tests.contract.issuers import SECRET, client_of, issuing, jwks_url_of, token_url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from typing import TypeAlias
    from uuid import UUID

    from tests.conftest import Connect, CreateTenant, DsnOf

    ClientOf: TypeAlias = Callable[..., Awaitable[Client]]
    Ring: TypeAlias = Callable[[UUID, list[UUID]], None]
    NewLauncher: TypeAlias = Callable[[], Awaitable[Launcher]]
    Serve: TypeAlias = Callable[..., Awaitable[Any]]

SCOPES = ("leo.decisions.read", "leo.decisions.write", "leo.audit.read")


@pytest.fixture(scope="session")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("issuer")
    async with issuing(folder, [client_of("test", *SCOPES, any_tenant=True)]) as realm:
        yield realm


@pytest.fixture
async def serve(dsn_of: DsnOf, realm: str) -> AsyncIterator[Serve]:
    """`serve(ring=…)`: one more server on the test's database, as another process has it."""
    descriptor = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"]
    async with AsyncExitStack() as stack:
        auth = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
        verifier = await stack.enter_async_context(TokenVerifier(auth))

        async def start(ring: Ring | None = None) -> Any:
            database = await Database.open(
                PostgresSettings(dsn=SecretStr(dsn_of(roles.DECISION))), application_name="test"
            )
            stack.push_async_callback(database.close)
            store = DecisionStore(database)
            servicer = DecisionServicer(store, Activator(store, ring))
            server = build_server(
                [
                    Registration(
                        descriptor, partial(add_DecisionServiceServicer_to_server, servicer)
                    )
                ],
                interceptors=[AuthInterceptor(verifier, [descriptor])],
                settings=ServerSettings(),
            )
            address = await stack.enter_async_context(
                serving(server, "127.0.0.1:0", ready=database.ping)
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return DecisionServiceStub(channel)

        yield start


class Bell:
    """Remembers whom it was rung for."""

    def __init__(self) -> None:
        self.rung: list[tuple[UUID, list[UUID]]] = []

    def __call__(self, tenant_id: UUID, decision_ids: Sequence[UUID]) -> None:
        self.rung.append((tenant_id, list(decision_ids)))

    @property
    def decision_ids(self) -> list[UUID]:
        return [decision_id for _, ids in self.rung for decision_id in ids]


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def stub(serve: Serve, bell: Bell) -> Any:
    """The server that a test talks to unless it needs another one."""
    return await serve(bell)


@pytest.fixture
def client_for(stub: Any, realm: str) -> ClientOf:
    """`client_for(tenant, *scopes)`: with all scopes or those that are named; at=another server."""

    async def make(tenant_id: UUID, *scopes: str, at: Any = stub) -> Client:
        tokens = ClientCredentials(
            token_url_of(realm),
            "test",
            SECRET,
            scope=" ".join(scopes or SCOPES),
            tenant_id=str(tenant_id),
        )
        async with tokens:
            return Client(at, await tokens.token())

    return make


@pytest.fixture
async def client(client_for: ClientOf, tenant_id: UUID) -> Client:
    return await client_for(tenant_id)


@pytest.fixture
async def campaign_id(client: Client) -> str:
    """Of an active campaign."""
    return await client.active_campaign()


@pytest.fixture
async def new_launcher(dsn_of: DsnOf, bell: Bell) -> AsyncIterator[NewLauncher]:
    """Makes one more worker of launches, as another process has it."""
    async with AsyncExitStack() as stack:

        async def opened(role: str) -> Database:
            database = await Database.open(
                PostgresSettings(dsn=SecretStr(dsn_of(role))), application_name="test"
            )
            stack.push_async_callback(database.close)
            return database

        async def make() -> Launcher:
            store = DecisionStore(await opened(roles.DECISION))
            return Launcher(store, LaunchFinder(await opened(roles.FINDER)), bell)

        yield make


@pytest.fixture
async def launcher(new_launcher: NewLauncher) -> Launcher:
    return await new_launcher()


@pytest.fixture
async def world(connect: Connect, tenant_id: UUID) -> AsyncIterator[World]:
    async with connect(roles.MIGRATE) as connection:
        yield await World(connection, tenant_id).open()


@pytest.fixture
async def other_world(connect: Connect, create_tenant: CreateTenant) -> AsyncIterator[World]:
    """Of a second tenant."""
    async with connect(roles.MIGRATE) as connection:
        yield await World(connection, await create_tenant()).open()


@pytest.fixture
async def other_client(client_for: ClientOf, other_world: World) -> Client:
    return await client_for(other_world.tenant_id)


@pytest.fixture
async def auditor(connect: Connect) -> AsyncIterator[Any]:
    """A connection that sees every tenant's rows and writes none."""
    async with connect(roles.AUDITOR) as connection:
        yield connection
