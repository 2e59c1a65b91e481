"""DispatchService in this process, on a real database, behind tokens of a real issuer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest
from pydantic import SecretStr

from leo.dispatch.v1 import dispatch_service_pb2
from leo.dispatch.v1.dispatch_service_pb2_grpc import (
    DispatchServiceStub,
    add_DispatchServiceServicer_to_server,
)
from leo_sdk import ClientCredentials
from leo_sdk.errors import error_of_call
from libs.auth.interceptor import TENANT_KEY, AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from services.dispatch.doorbell import Doorbell
from services.dispatch.envelope import KeyRing
from services.dispatch.servicer import DispatchServicer
from services.dispatch.store import DispatchStore
from tests.contract.dispatch.machines import Site
from tests.contract.dispatch.world import World
from tests.contract.issuers import SECRET, client_of, issuing, jwks_url_of, token_url_of
from tests.contract.simulator.simulators import (
    OfficialAccount,
    running_receiver,
    running_simulator,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import Connect, CreateTenant, DsnOf
    from tests.contract.simulator.simulators import Receiver, Simulator

SCOPES = ("leo.dispatch.read", "leo.dispatch.write", "leo.channels.admin")


@pytest.fixture(scope="session")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An issuer that knows a user's client and one of our own services."""
    clients = [
        client_of("test", *SCOPES, any_tenant=True),
        client_of("leo-edge", "leo.internal"),
    ]
    async with issuing(tmp_path_factory.mktemp("issuer"), clients) as url:
        yield url


@pytest.fixture
def key_ring() -> KeyRing:
    """The keys of credentials, of which k2 is active."""
    return KeyRing({"k1": b"1" * 32, "k2": b"2" * 32}, "k2")


@pytest.fixture
async def dispatch_database(dsn_of: DsnOf) -> AsyncIterator[Database]:
    """The test's database as dispatch has it."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.DISPATCH))), application_name="test"
    )
    yield opened
    await opened.close()


@pytest.fixture
def doorbell() -> Doorbell:
    """A bell with nobody behind the door: whatever is tested here holds without Valkey."""
    return Doorbell("redis://127.0.0.1:1")


@pytest.fixture
async def address(
    dispatch_database: Database, realm: str, key_ring: KeyRing, doorbell: Doorbell
) -> AsyncIterator[str]:
    """Where DispatchService listens, on this test's own database."""
    servicer = DispatchServicer(DispatchStore(dispatch_database), key_ring, doorbell)
    descriptor = dispatch_service_pb2.DESCRIPTOR.services_by_name["DispatchService"]
    registration = Registration(
        descriptor, partial(add_DispatchServiceServicer_to_server, servicer)
    )
    settings = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
    async with TokenVerifier(settings) as verifier:
        server = build_server(
            [registration],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )
        async with serving(server, "127.0.0.1:0", ready=dispatch_database.ping) as bound:
            yield bound


class Client:
    """Calls RPCs by their names, with a token; a failed call raises an error of the SDK."""

    def __init__(self, stub: Any, tokens: ClientCredentials, tenant_id: UUID | None) -> None:
        self._stub = stub
        self._tokens = tokens
        self._named = [(TENANT_KEY, str(tenant_id))] if tenant_id else []

    def __getattr__(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        async def call(request: Any) -> Any:
            token = await self._tokens.token()
            try:
                return await getattr(self._stub, name)(
                    request,
                    timeout=20,
                    metadata=[("authorization", f"Bearer {token}"), *self._named],
                )
            except grpc.aio.AioRpcError as failure:
                raise error_of_call(failure, call_id="") from failure

        return call


@pytest.fixture
async def client_as(address: str, realm: str) -> AsyncIterator[Callable[..., Client]]:
    """`client_as(tenant, *scopes)`: a user's client; `internal=True`: one of our services."""
    async with AsyncExitStack() as opened:
        channel = await opened.enter_async_context(grpc.aio.insecure_channel(address))
        pending: list[ClientCredentials] = []

        def make(tenant_id: UUID, *scopes: str, internal: bool = False) -> Client:
            tokens = ClientCredentials(
                token_url_of(realm),
                "leo-edge" if internal else "test",
                SECRET,
                scope="leo.internal" if internal else " ".join(scopes or SCOPES),
                tenant_id=None if internal else str(tenant_id),
            )
            pending.append(tokens)
            # Not by its annotation: that one names the synchronous stub.
            stub: Any = DispatchServiceStub(channel)
            return Client(stub, tokens, tenant_id if internal else None)

        yield make
        for tokens in pending:
            opened.push_async_exit(tokens)


@pytest.fixture
def client(client_as: Callable[..., Client], tenant_id: UUID) -> Client:
    """A client of the test's tenant with all scopes."""
    return client_as(tenant_id)


@pytest.fixture
def edge(client_as: Callable[..., Client], tenant_id: UUID) -> Client:
    """The edge, which calls for the test's tenant."""
    return client_as(tenant_id, internal=True)


@pytest.fixture
async def other_tenant_id(create_tenant: CreateTenant) -> UUID:
    """A second tenant without any rows."""
    return await create_tenant()


@pytest.fixture
async def superuser(postgres: EmbeddedPostgres, database_name: str) -> AsyncIterator[Any]:
    """A connection that nothing is hidden from or refused to."""
    connection = await asyncpg.connect(postgres.superuser_dsn(database_name))
    yield connection
    await connection.close()


@pytest.fixture
def world(superuser: Any, tenant_id: UUID) -> World:
    """What other services wrote of the test's tenant."""
    return World(superuser, tenant_id)


@pytest.fixture
async def auditor(connect: Connect) -> AsyncIterator[Any]:
    """A connection that sees every tenant's rows and writes none."""
    async with connect(roles.AUDITOR) as connection:
        yield connection


@pytest.fixture(scope="session")
async def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    async with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Takes the simulator's webhooks."""
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def simulator(simulator_process: Simulator) -> Simulator:
    """The simulator as it is at its start, but for what the witness log holds."""
    (await simulator_process.admin("POST", "reset")).raise_for_status()
    return simulator_process


@pytest.fixture
async def oa(simulator: Simulator, receiver: Receiver) -> OfficialAccount:
    """An account at the simulator."""
    return await simulator.set_account(OfficialAccount(webhook_url=receiver.url))


@pytest.fixture
async def finder_database(dsn_of: DsnOf) -> AsyncIterator[Database]:
    """The test's database as the workers' eyes have it."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.FINDER))), application_name="test"
    )
    yield opened
    await opened.close()


@pytest.fixture
def parts(
    dispatch_database: Database, finder_database: Database, key_ring: KeyRing, world: World
) -> dict[str, Any]:
    """What a machine is made of."""
    return {
        "database": dispatch_database,
        "finder": finder_database,
        "key_ring": key_ring,
        "world": world,
    }


@pytest.fixture
async def site(parts: dict[str, Any], simulator: Simulator, oa: OfficialAccount) -> Site:
    """The machine's parts, and an account of the tenant at the simulator."""
    site = Site(**parts, simulator=simulator, oa=oa)
    await site.set_up()
    return site
