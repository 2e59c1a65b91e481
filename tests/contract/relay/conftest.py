"""A hop between a real database and a real server, behind tokens of a real issuer."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import SecretStr

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.relay import (
    ACTIVATE,
    DISPATCH,
    Hop,
    InternalChannel,
    InternalSettings,
    Sweeper,
    activation,
    dispatching,
)
from tests.contract.issuers import SECRET, client_of, issuing, token_url_of
from tests.contract.relay.receivers import Receiver, receiving
from tests.contract.relay.rows import insert_decisions, insert_deliveries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from uuid import UUID

    from tests.conftest import Connect, DsnOf


NO_GRACE = timedelta(0)


class Clock:
    """The time of setbacks, which a test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True, kw_only=True)
class Side:
    """One hop: its sweeper, and who receives."""

    sweeper: Sweeper
    receiver: Receiver
    address: str


NewSweeper: TypeAlias = "Callable[..., Sweeper]"


@pytest.fixture(scope="session")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    clients = [
        client_of("leo-ingest", "leo.internal"),
        client_of("test", "leo.events.write", any_tenant=True),
    ]
    async with issuing(tmp_path_factory.mktemp("issuer"), clients) as realm:
        yield realm


@pytest.fixture
def internal(realm: str) -> InternalSettings:
    return InternalSettings(
        client_id="leo-ingest", client_secret=SecretStr(SECRET), token_url=token_url_of(realm)
    )


@pytest.fixture
async def superuser(connect: Connect) -> AsyncIterator[Any]:
    async with connect("postgres") as connection:
        yield connection


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(PostgresSettings(dsn=SecretStr(dsn)), application_name="test")
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def finder(dsn_of: DsnOf) -> AsyncIterator[Database]:
    async with opened(dsn_of(roles.FINDER)) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def receiver(connect: Connect) -> AsyncIterator[Receiver]:
    """Decision, which decides."""
    async with connect("postgres") as connection:

        async def decide(tenant_id: UUID, ids: Sequence[UUID]) -> None:
            async with connection.transaction():
                await insert_decisions(connection, tenant_id, ids)

        yield Receiver(decide)


@pytest.fixture
async def dispatcher(connect: Connect) -> AsyncIterator[Receiver]:
    """Dispatch, which makes deliveries."""
    async with connect("postgres") as connection:

        async def deliver(tenant_id: UUID, ids: Sequence[UUID]) -> None:
            await insert_deliveries(connection, tenant_id, ids)

        yield Receiver(deliver)


@pytest.fixture
async def new_sweeper(
    database: Database, finder: Database, dsn_of: DsnOf, internal: InternalSettings, clock: Clock
) -> AsyncIterator[NewSweeper]:
    """`new_sweeper(hop, address)`: one that leaves no time to the doorbell unless told to."""
    async with AsyncExitStack() as stack:
        decision = await stack.enter_async_context(opened(dsn_of(roles.DECISION)))
        channels: list[InternalChannel] = []

        def make(hop: Hop, address: str, **options: Any) -> Sweeper:
            channel = InternalChannel(address, internal)
            channels.append(channel)
            return Sweeper(
                database if hop is ACTIVATE else decision,
                finder,
                hop,
                (activation if hop is ACTIVATE else dispatching)(channel),
                clock=clock,
                **options,
            )

        yield make
        for channel in channels:
            await stack.enter_async_context(channel)


@pytest.fixture
async def activate(receiver: Receiver, realm: str, new_sweeper: NewSweeper) -> AsyncIterator[Side]:
    async with receiving(receiver, realm) as address:
        yield Side(
            sweeper=new_sweeper(ACTIVATE, address, grace=NO_GRACE),
            receiver=receiver,
            address=address,
        )


@pytest.fixture
async def dispatch(
    dispatcher: Receiver, realm: str, new_sweeper: NewSweeper
) -> AsyncIterator[Side]:
    async with receiving(dispatcher, realm) as address:
        yield Side(
            sweeper=new_sweeper(DISPATCH, address, grace=NO_GRACE),
            receiver=dispatcher,
            address=address,
        )
