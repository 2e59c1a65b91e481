"""An account of the test's tenant at the simulator, and the machine on the test's own database."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
from uuid_utils.compat import uuid7

from libs.http.client import HttpClient
from libs.smtp.client import SmtpClient
from services.dispatch.channels.contract import Clients
from services.dispatch.domain.delivery import ReceiptRequest
from services.dispatch.doorbell import Doorbell
from services.dispatch.envelope import seal
from services.dispatch.machine.claim import Claims
from services.dispatch.machine.machine import Machine
from services.dispatch.machine.results import Results
from services.dispatch.machine.settings import MachineSettings
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import Dispatched, batch_dispatch, record_receipts
from tests.contract.dispatch.world import CHANNEL, choice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from libs.postgres.database import Database
    from services.dispatch.envelope import KeyRing
    from services.dispatch.machine.claim import Claimed
    from tests.contract.dispatch.world import Person, World
    from tests.contract.simulator.simulators import OfficialAccount, Received, Simulator

# Long enough that no test meets its end by accident; those about leases shorten it.
LEASE = timedelta(seconds=10)
SETTINGS = {
    "lease": LEASE,
    "poll_interval": timedelta(milliseconds=50),
    "backoff_min": timedelta(milliseconds=50),
    "backoff_max": timedelta(milliseconds=100),
}
AT_ONCE = timedelta(milliseconds=1)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait for what other transactions or processes do."""
    while not await holds():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


@dataclass
class Site:
    """What a test of the machine works with."""

    database: Database
    finder: Database
    key_ring: KeyRing
    world: World
    simulator: Simulator
    oa: OfficialAccount
    account_id: UUID = field(default_factory=uuid7)
    template_id: UUID = field(default_factory=uuid7)

    async def set_up(self, *, concurrent_send_count_max: int = 50) -> None:
        """Store the account, and a template that names the person."""
        sealed = seal(
            {"access_token": self.oa.token, "oa_secret_key": self.oa.secret},
            tenant_id=self.world.tenant_id,
            channel=CHANNEL,
            version=1,
            key_ring=self.key_ring,
        )
        settings = {"base_url": f"{self.simulator.url}/zalo", "app_id": self.oa.app_id}
        await self.world.superuser.execute(
            "INSERT INTO channel_account (tenant_id, account_id, name, channel, settings,"
            " credential_names, credentials, data_key, key_id, credential_version,"
            " concurrent_send_count_max) VALUES ($1, $2, $10, $3, $4, $5, $6, $7, $8, 1, $9)",
            self.world.tenant_id,
            self.account_id,
            CHANNEL,
            orjson.dumps(settings).decode(),
            list(sealed.names),
            sealed.ciphertext,
            sealed.data_key,
            sealed.key_id,
            concurrent_send_count_max,
            self.account_id.hex,
        )
        await self.world.superuser.execute(
            "INSERT INTO message_template (tenant_id, template_id, version, name, channel,"
            " provider_template_id, data) VALUES ($1, $2, 3, $5, $3, '7895', $4)",
            self.world.tenant_id,
            self.template_id,
            CHANNEL,
            orjson.dumps({"customer": "{{ profile.given_name }}", "amount": "100000"}).decode(),
            self.template_id.hex,
        )

    async def point_to(self, base_url: str) -> None:
        """Let the account lead somewhere else."""
        await self.world.superuser.execute(
            "UPDATE channel_account"
            " SET settings = settings || jsonb_build_object('base_url', $1::text)",
            base_url,
        )

    async def paused_reason(self) -> str:
        reason: str = await self.world.superuser.fetchval(
            "SELECT paused_reason FROM channel_account"
        )
        return reason

    async def person(self, **document: Any) -> Person:
        """A real person who allows messages."""
        person = await self.world.person(**{"given_name": "An", **document})
        await self.world.superuser.execute(
            "UPDATE cdp_profiles SET context = 'production' WHERE profile_id = $1",
            person.profile_id,
        )
        await self.world.consent(person)
        return person

    async def delivery(self, person: Person | None = None, **decision: Any) -> UUID:
        """A pending delivery, to a new person unless one is given."""
        person = person or await self.person()
        decision_id = await self.world.decision(
            person,
            **{
                "event_id": await self.world.event(person),
                "account_id": self.account_id,
                "template_id": self.template_id,
            }
            | decision,
        )
        return await self.dispatch(decision_id)

    async def chain(self, count: int, person: Person | None = None, **decision: Any) -> UUID:
        """The first delivery of a decision with so many choices, all of them by CHANNEL."""
        choices = [
            choice(
                choice=number,
                account_id=str(self.account_id),
                template_id=str(self.template_id),
            )
            for number in range(count)
        ]
        return await self.delivery(person, **{"choices": choices} | decision)

    async def chain_of(self, delivery_id: UUID) -> list[Any]:
        """All deliveries of the decision that a delivery is of, in the order of their choices."""
        rows: list[Any] = await self.world.superuser.fetch(
            "SELECT l.* FROM delivery_log AS f JOIN delivery_log AS l USING (decision_id)"
            " WHERE f.delivery_id = $1 ORDER BY l.step, l.choice",
            delivery_id,
        )
        return rows

    async def dispatch(self, decision_id: UUID) -> UUID:
        """The first delivery of a decision."""
        (answer,) = await batch_dispatch(
            DispatchStore(self.database), Doorbell(""), self.world.tenant_id, [decision_id]
        )
        assert isinstance(answer, Dispatched)
        return answer.delivery_id

    async def deliveries(self, count: int, **decision: Any) -> list[UUID]:
        return [await self.delivery(**decision) for _ in range(count)]

    def settings(self, **changes: Any) -> MachineSettings:
        return MachineSettings(**(SETTINGS | changes))

    def claims(self, **changes: Any) -> Claims:
        return Claims(self.database, self.key_ring, self.settings(**changes))

    def results(self, **changes: Any) -> Results:
        return Results(self.database, self.settings(**changes))

    async def claim(self, count_max: int = 100, **changes: Any) -> dict[UUID, Claimed]:
        """Claim as a worker does that is never heard of again, unless the test sees to it."""
        claim = await self.claims(**changes).claim(self.world.tenant_id, self.account_id, count_max)
        return {claimed.delivery_id: claimed for claimed in claim.claimed}

    async def let_leases_run_out(self, **changes: Any) -> None:
        """Let the reconciler end everything that is sending; claim with lease=AT_ONCE before."""
        while (await self.states())["sending"]:
            await self.results(**changes).reconcile(self.world.tenant_id)

    @asynccontextmanager
    async def machine(
        self, *, claims: Claims | None = None, results: Results | None = None, **changes: Any
    ) -> AsyncIterator[Machine]:
        """Run a machine for the block; at its end it finishes what is in flight."""
        async with (
            HttpClient(private_addresses=True) as http,
            SmtpClient(private_addresses=True) as smtp,
        ):
            machine = Machine(
                finder=self.finder,
                claims=claims or self.claims(**changes),
                results=results or self.results(**changes),
                clients=Clients(http=http, smtp=smtp),
                settings=self.settings(**changes),
            )
            running = asyncio.create_task(machine.run())
            try:
                yield machine
            finally:
                running.cancel()
                await asyncio.wait({running})

    async def receive(
        self, received: Received, account_id: UUID | None = None, *, known: bool = False
    ) -> None:
        """Hand in a webhook as the edge does; `known` if it was handed in before."""
        request = ReceiptRequest(
            account_id=account_id or self.account_id,
            body=received.body,
            headers={name.lower(): value for name, value in received.headers.items()},
        )
        assert await record_receipts(
            DispatchStore(self.database), self.key_ring, self.world.tenant_id, [request]
        ) == [known]

    async def row(self, delivery_id: UUID) -> Any:
        return await self.world.superuser.fetchrow(
            "SELECT * FROM delivery_log WHERE delivery_id = $1", delivery_id
        )

    async def outcome(self, delivery_id: UUID) -> tuple[str, str]:
        """State and reason."""
        row = await self.row(delivery_id)
        return row["state"], row["reason"]

    async def states(self) -> Counter[str]:
        rows = await self.world.superuser.fetch("SELECT state FROM delivery_log")
        return Counter(row["state"] for row in rows)

    async def count(self, state: str) -> int:
        return (await self.states())[state]

    async def wait_for(self, **counts: int) -> None:
        """Wait until the deliveries are in these states."""
        while await self.states() != counts:  # noqa: ASYNC110 - in other transactions
            await asyncio.sleep(0.01)

    async def attempts(self, delivery_id: UUID) -> list[tuple[Any, ...]]:
        """Attempt, phase, kind and code, in order."""
        rows = await self.world.superuser.fetch(
            "SELECT attempt, phase, kind, provider_code FROM delivery_attempt"
            " WHERE delivery_id = $1"
            " ORDER BY attempt, array_position(ARRAY['intent', 'result', 'late'], phase)",
            delivery_id,
        )
        return [tuple(row) for row in rows]

    async def breaches(self) -> list[Any]:
        """What does not balance, of what the machine writes."""
        return list(
            await self.world.superuser.fetch(
                "SELECT equation, detail FROM ledger_breach(interval '0') WHERE equation <> 'A1'"
            )
        )

    def acceptances(self, delivery_ids: list[UUID]) -> list[int]:
        """How often the provider accepted each, by its own count."""
        counts = Counter(row["reference"] for row in self.simulator.witness())
        return [counts[str(delivery_id)] for delivery_id in delivery_ids]
