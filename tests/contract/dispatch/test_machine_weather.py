"""Commits of which nobody knows, doubts that outlive their delivery, and a worker that sleeps."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.errors import StorageUnavailableError
from libs.postgres.settings import PostgresSettings
from services.dispatch.domain.delivery import ReceiptRequest
from services.dispatch.machine.claim import Claims
from services.dispatch.machine.results import Results
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import record_receipts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import DsnOf
    from tests.contract.dispatch.machines import Site
    from tests.contract.simulator.simulators import Receiver

SHORT_LEASE = timedelta(milliseconds=300)


@dataclass
class Cable:
    """The way to the real server; it may be cut right after a commit, before its answer.

    Attributes:
        database: by this way.
        cuts_left: how many of the next commits nobody hears of.
        cut_count: how many those were.
    """

    port: int
    cuts_left: int = 0
    cut_count: int = 0
    database: Database = field(init=False)

    async def connected(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        server, questions = await asyncio.open_connection("127.0.0.1", self.port)
        cut = False

        async def ask() -> None:
            nonlocal cut
            while question := await client.read(65536):
                if self.cuts_left and b"COMMIT;" in question:
                    self.cuts_left -= 1
                    cut = True
                questions.write(question)

        asking = asyncio.create_task(ask())
        try:
            while (answer := await server.read(65536)) and not cut:
                answers.write(answer)
            self.cut_count += cut
        finally:
            asking.cancel()
            await asyncio.wait({asking})
            questions.close()
            answers.close()


@asynccontextmanager
async def cable_to(dsn: str) -> AsyncIterator[Cable]:
    cable = Cable(urlsplit(dsn).port or 0)
    server = await asyncio.start_server(cable.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    by_cable = dsn.replace(f":{cable.port}/", f":{port}/")
    cable.database = await Database.open(
        PostgresSettings(dsn=SecretStr(by_cable)), application_name="test"
    )
    yield cable
    await cable.database.close()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def cable(dsn_of: DsnOf) -> AsyncIterator[Cable]:
    async with cable_to(dsn_of(roles.DISPATCH)) as cable:
        yield cable


async def test_nothing_is_sent_whose_intent_may_not_be_committed(site: Site, cable: Cable) -> None:
    delivery_id = await site.delivery()
    claims = Claims(cable.database, site.key_ring, site.settings(lease=SHORT_LEASE))
    cable.cuts_left = 1
    async with site.machine(claims=claims, lease=SHORT_LEASE):
        await site.wait_for(outcome_unknown=1)
    assert cable.cut_count == 1
    # It was committed, as it happens: the lease ran out, and nobody had called.
    assert await site.attempts(delivery_id) == [
        (1, "intent", None, ""),
        (1, "result", "unknown", "lease"),
    ]
    assert site.acceptances([delivery_id]) == [0]
    assert await site.breaches() == []


async def test_results_whose_commit_is_in_doubt_are_written_once(site: Site, cable: Cable) -> None:
    deliveries = await site.deliveries(20)
    cable.cuts_left = 2
    async with site.machine(results=Results(cable.database, site.settings())):
        await site.wait_for(accepted=20)
    assert cable.cut_count >= 1
    for delivery_id in deliveries:
        assert await site.attempts(delivery_id) == [
            (1, "intent", None, ""),
            (1, "result", "accepted", "0"),
        ]
    assert site.acceptances(deliveries) == [1] * 20
    assert await site.breaches() == []


async def test_a_receipt_whose_commit_is_in_doubt_is_refused_and_known_when_it_comes_again(
    site: Site, cable: Cable, receiver: Receiver
) -> None:
    await site.simulator.add_faults({"kind": "reply_lost"})
    await site.delivery()
    async with site.machine():
        await site.wait_for(outcome_unknown=1)
    received = await receiver.next()
    request = ReceiptRequest(
        account_id=site.account_id,
        body=received.body,
        headers={name.lower(): value for name, value in received.headers.items()},
    )
    store, whose = DispatchStore(cable.database), (site.key_ring, site.world.tenant_id)
    cable.cuts_left = 1
    with pytest.raises(StorageUnavailableError):
        await record_receipts(store, *whose, [request])
    assert cable.cut_count == 1
    assert await record_receipts(store, *whose, [request]) == [True]
    assert await site.states() == {"accepted": 1}
    assert await site.breaches() == []


@pytest.mark.parametrize("due", ["expired", "suppressed"])
async def test_what_ends_without_being_sent_again_keeps_its_doubt(site: Site, due: str) -> None:
    person = await site.person()
    delivery_id = await site.delivery(person)
    await site.world.attempt(delivery_id, 1, "intent")
    await site.world.attempt(delivery_id, 1, "result", "unknown")
    await site.world.set_state(delivery_id, "retry_wait", in_doubt=True, attempt_count=1, epoch=1)
    if due == "expired":
        await site.world.superuser.execute("UPDATE delivery_log SET expires_at = now()")
        reason = "not sent again: it was no longer worth sending"
    else:
        await site.world.superuser.execute("DELETE FROM profile_consent")
        reason = "not sent again: CONSENT: zalo-template, marketing: none recorded"
    async with site.machine():
        await site.wait_for(outcome_unknown=1)
    assert await site.outcome(delivery_id) == ("outcome_unknown", reason)
    assert site.acceptances([delivery_id]) == [0]
    assert await site.breaches() == []


async def test_nothing_is_sent_to_a_person_who_was_erased(site: Site) -> None:
    person = await site.person()
    delivery_id = await site.delivery(person)
    superuser = site.world.superuser
    async with superuser.transaction():
        await superuser.execute(f"SET LOCAL ROLE {roles.ERASER}")
        await superuser.execute(
            "SELECT set_config('leo.tenant_id', $1, true)", str(site.world.tenant_id)
        )
        await superuser.execute(
            "UPDATE cdp_profile_version SET document = NULL WHERE profile_id = $1",
            person.profile_id,
        )
    async with site.machine():
        await site.wait_for(cancelled=1)
    assert await site.outcome(delivery_id) == ("cancelled", "the person was erased")
    assert site.acceptances([delivery_id]) == [0]
    assert await site.breaches() == []
