"""Ingest hands new events to decision: at once by its doorbell, or else by its sweeper."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from leo.ingest.v1.ingest_service_pb2 import EventResult
from leo_sdk import ClientCredentials, LeoClient, event
from libs.fields import Fields
from libs.postgres import roles
from libs.postgres.errors import TenantMissingError
from services.ingest.domain.event import read_event
from services.ingest.store import IngestStore
from tests.contract.auth.processes import free_address
from tests.contract.issuers import SECRET, jwks_url_of, token_url_of
from tests.contract.relay.receivers import Receiver, receiving
from tests.contract.relay.rows import insert_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from leo.ingest.v1.ingest_service_pb2 import Event as EventMessage
    from libs.postgres.database import Database
    from services.ingest.domain.event import Event
    from tests.conftest import DsnOf

NOW = datetime.now(UTC).replace(microsecond=0)


def purchase(tenant_id: UUID, number: int, amount: int = 1) -> Event:
    read = read_event(
        Fields("event"),
        tenant_id,
        source="shop",
        source_event_id=f"order-{number}",
        event_type="purchase",
        profile_ext_id="p-1",
        occurred_at=NOW,
        event_time=NOW.isoformat(),
        properties={"amount": amount},
        now=NOW,
    )
    assert read is not None
    return read


def sent(number: int) -> EventMessage:
    return event(
        source="shop",
        source_event_id=f"order-{number}",
        event_type="purchase",
        profile_ext_id="p-1",
        event_time=NOW,
    )


async def test_only_events_that_are_new_and_stored_ring_in_their_order(
    database: Database, tenant_id: UUID
) -> None:
    rung: list[tuple[UUID, list[UUID]]] = []

    def ring(tenant_id: UUID, ids: Sequence[UUID]) -> None:
        rung.append((tenant_id, list(ids)))

    store = IngestStore(database, ring)
    first, second, third = (purchase(tenant_id, number) for number in range(3))
    await store.insert_events(tenant_id, [second, first, second])
    await store.insert_events(tenant_id, [first, purchase(tenant_id, 1, amount=2), third])
    assert rung == [
        (tenant_id, [second.event_id, first.event_id]),
        (tenant_id, [third.event_id]),
    ]
    with pytest.raises(TenantMissingError):
        await store.insert_events(uuid4(), [first])
    assert len(rung) == 2


async def start(
    command: str, log: Path, dsn_of: DsnOf, realm: str, **environment: str
) -> asyncio.subprocess.Process:
    """Start `python -m services.ingest …`."""
    settings = {
        "LEO_POSTGRES_DSN": dsn_of(roles.INGEST),
        "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
        "LEO_AUTH_ISSUER": realm,
        "LEO_AUTH_JWKS_URL": jwks_url_of(realm),
        "LEO_INTERNAL_CLIENT_ID": "leo-ingest",
        "LEO_INTERNAL_CLIENT_SECRET": SECRET,
        "LEO_INTERNAL_TOKEN_URL": token_url_of(realm),
    }
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.ingest", command),
            env=os.environ | settings | environment,
            stdout=output,
            stderr=output,
        )


@asynccontextmanager
async def running(
    command: str, log: Path, dsn_of: DsnOf, realm: str, **environment: str
) -> AsyncIterator[None]:
    """A process that ends well when it is told to."""
    process = await start(command, log, dsn_of, realm, **environment)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, f"its log is {log}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_new_event_rings_decision_and_the_answer_does_not_wait(
    receiver: Receiver, realm: str, dsn_of: DsnOf, tenant_id: UUID, tmp_path: Path
) -> None:
    address = free_address()
    tokens = ClientCredentials(
        token_url_of(realm), "test", SECRET, scope="leo.events.write", tenant_id=str(tenant_id)
    )
    receiver.gate.clear()
    async with (
        receiving(receiver, realm) as decision_address,
        running(
            "serve",
            tmp_path / "log",
            dsn_of,
            realm,
            LEO_INGEST_ADDRESS=address,
            LEO_INGEST_DECISION_ADDRESS=decision_address,
        ),
        tokens,
        LeoClient(address, tokens) as client,
    ):
        first = await client.ingest.ingest_event(sent(1))
        await receiver.called.wait()
        assert receiver.received == [UUID(first.event_id)]
        receiver.called.clear()
        again, second = await client.ingest.batch_ingest_events([sent(1), sent(2)])
        assert again.outcome == EventResult.OUTCOME_DUPLICATE
        await receiver.called.wait()
        assert receiver.received == [UUID(first.event_id), UUID(second.event_id)]
        receiver.gate.set()


async def test_without_an_address_nobody_is_rung(
    realm: str, dsn_of: DsnOf, tenant_id: UUID, tmp_path: Path
) -> None:
    address = free_address()
    tokens = ClientCredentials(
        token_url_of(realm), "test", SECRET, scope="leo.events.write", tenant_id=str(tenant_id)
    )
    log = tmp_path / "log"
    async with (
        running("serve", log, dsn_of, realm, LEO_INGEST_ADDRESS=address),
        tokens,
        LeoClient(address, tokens) as client,
    ):
        result = await client.ingest.ingest_event(sent(1))
        assert result.outcome == EventResult.OUTCOME_ACCEPTED
    assert "fails" not in log.read_text()


@pytest.fixture
async def left_behind(database: Database, tenant_id: UUID) -> list[UUID]:
    """Events for which nobody rang."""
    async with database.tenant(tenant_id) as connection:
        return await insert_events(connection, tenant_id, 3)


async def test_the_working_process_hands_over_what_was_left_behind(
    receiver: Receiver, realm: str, dsn_of: DsnOf, left_behind: list[UUID], tmp_path: Path
) -> None:
    async with (
        receiving(receiver, realm) as decision_address,
        running(
            "work",
            tmp_path / "log",
            dsn_of,
            realm,
            LEO_INGEST_DECISION_ADDRESS=decision_address,
        ),
    ):
        await receiver.called.wait()
    assert sorted(receiver.received) == sorted(left_behind)


async def test_working_without_an_address_says_what_to_set(
    realm: str, dsn_of: DsnOf, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    started = await start("work", log, dsn_of, realm)
    assert await started.wait() == 1
    assert "LEO_INGEST_DECISION_ADDRESS" in log.read_text()
