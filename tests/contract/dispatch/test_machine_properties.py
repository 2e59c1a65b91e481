"""The machine against a small model: choices, answers, losses and late answers by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from uuid_utils.compat import uuid7

from libs.rpc.requests import Origin
from services.dispatch.channels.contract import SendResult
from services.dispatch.channels.zalo_template import ZaloTemplate
from services.dispatch.domain.suppression import Recipient
from services.dispatch.machine import settle
from services.dispatch.store import DispatchStore
from tests.contract.dispatch.chain_model import HANDS_OVER, OPEN, Attempt, Chain, Delivery
from tests.contract.dispatch.world import CHANNEL, choice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from services.dispatch.machine.claim import Claimed
    from tests.contract.dispatch.chain_model import Answer
    from tests.contract.dispatch.machines import Site

SEEDS: Final = range(10)
CHAIN_COUNT: Final = 6
STEP_COUNT: Final = 80
UNDER_WAY: Final = ("pending", "sending", "retry_wait")
ATTEMPT_COUNT_MAX: Final = 3
SETTINGS: Final = {
    "attempt_count_max": ATTEMPT_COUNT_MAX,
    "failure_count_max": 1,
    "backoff_min": timedelta(0),
    "backoff_max": timedelta(0),
}
ORIGIN: Final = Origin(actor="test", call_id="call", request=None)
CLASSES: Final = {"accepted": "OK", "rejected": "P", "retry_at": "R", "unknown": "AMB"}
TOOK: Final[list[Answer]] = ["accepted", "accepted", "unknown"]
DID_NOT: Final[list[Answer]] = ["rejected", "rejected", "retry_at", "retry_at", "unknown"]


@dataclass(slots=True)
class Call:
    """One attempt in the hands of a worker, which may write its result never, once or twice."""

    chain: Chain
    delivery: Delivery
    attempt: Attempt
    claimed: Claimed


class Run:
    """Does the same to the machine and to the model, and compares."""

    def __init__(self, site: Site, seed: int, *, knows_key: bool) -> None:
        self.site = site
        self.chance = random.Random(f"{seed}:{knows_key}")
        self.knows_key = knows_key
        self.chains: dict[UUID, Chain] = {}
        self.people: dict[UUID, UUID] = {}
        self.phones: dict[UUID, str] = {}
        self.calls: list[Call] = []
        self.done: list[str] = []

    async def begin(self) -> None:
        # What time takes away, a test has to take away itself.
        await self.site.world.superuser.execute("ALTER TABLE decision DISABLE TRIGGER USER")
        for place in range(CHAIN_COUNT):
            numbers = sorted(self.chance.sample(range(6), self.chance.randint(1, 4)))
            ways = [
                choice(
                    choice=number,
                    account_id=str(self.site.account_id),
                    template_id=str(self.site.template_id),
                )
                for number in numbers
            ]
            phone = f"+8490311122{place}"
            person = await self.site.person(phones=[phone])
            first = await self.site.delivery(person, choices=ways)
            decision_id = (await self.site.row(first))["decision_id"]
            self.people[decision_id] = person.profile_id
            self.phones[decision_id] = phone
            self.chains[decision_id] = Chain(numbers, self.knows_key, ATTEMPT_COUNT_MAX)

    async def rows(self, decision_id: UUID) -> list[Any]:
        rows: list[Any] = await self.site.world.superuser.fetch(
            "SELECT delivery_id, choice, state, in_doubt, attempt_count FROM delivery_log"
            " WHERE decision_id = $1 ORDER BY choice",
            decision_id,
        )
        return rows

    async def claim(self) -> None:
        waiting = [each for each in self.chains.items() if each[1].last.waits]
        if not waiting:
            return
        decision_id, chain = self.chance.choice(waiting)
        delivery_id = (await self.rows(decision_id))[-1]["delivery_id"]
        claim = await self.site.claims(**SETTINGS).claim(
            self.site.world.tenant_id, self.site.account_id, 1, only=delivery_id
        )
        delivery = chain.claim()
        assert len(claim.claimed) == (delivery is not None)
        if delivery is None:
            return
        # Whoever knows the key and has the message says so; and nobody says no to what it took.
        took = self.knows_key and delivery.took
        took = took or self.chance.random() < 0.4
        attempt = Attempt(
            took, self.chance.choice(TOOK if took else DID_NOT), self.chance.random() < 0.3
        )
        delivery.attempts.append(attempt)
        self.calls.append(Call(chain, delivery, attempt, claim.claimed[0]))

    async def answer(self) -> None:
        """Some workers write what they heard: in time, late, or once more."""
        count = min(len(self.calls), self.chance.randint(1, 3))
        if not count:
            return
        calls = self.chance.sample(self.calls, count)
        await self.site.results(**SETTINGS).write(
            self.site.world.tenant_id, [(call.claimed, result_of(call)) for call in calls]
        )
        for call in calls:
            call.chain.hear(call.delivery, call.attempt, call.attempt.said)

    async def lose(self) -> None:
        """A lease runs out; its worker may be heard of later."""
        sending = [call for call in self.calls if call.attempt.known is None]
        if not sending:
            return
        call = self.chance.choice(sending)
        await self.site.world.superuser.execute(
            "UPDATE delivery_log SET lease_until = now() - interval '1 second'"
            " WHERE delivery_id = $1",
            call.claimed.delivery_id,
        )
        assert await self.site.results(**SETTINGS).reconcile(self.site.world.tenant_id) == 1
        call.chain.hear(call.delivery, call.attempt, "unknown")

    async def forget(self) -> None:
        """A worker is gone for good, with what it had heard."""
        lost = [call for call in self.calls if call.attempt.known == "unknown"]
        if lost:
            self.calls.remove(self.chance.choice(lost))

    async def receive(self) -> None:
        """The provider says of a message that it took that it delivered it."""
        taken = [call for call in self.calls if call.attempt.took]
        if not taken:
            return
        call = self.chance.choice(taken)
        tenant_id, delivery_id = self.site.world.tenant_id, call.claimed.delivery_id
        async with self.site.database.tenant(tenant_id) as connection:
            await connection.execute(
                "INSERT INTO delivery_receipt (tenant_id, receipt_id, account_id, receipt_digest,"
                " delivery_id, kind) VALUES ($1, $2, $3, sha256($4), $5, 'delivered')",
                tenant_id,
                uuid7(),
                self.site.account_id,
                uuid7().bytes,
                delivery_id,
            )
            await settle(connection, tenant_id, [delivery_id])
        call.chain.receive(call.delivery)

    async def withdraw(self) -> None:
        """A person changes their mind, in either direction."""
        decision_id, chain = self.chance.choice(list(self.chains.items()))
        chain.allowed = not chain.allowed
        await self.site.world.superuser.execute(
            "UPDATE profile_consent SET state = $2 WHERE profile_id = $1",
            self.people[decision_id],
            "granted" if chain.allowed else "withdrawn",
        )

    async def suppress(self) -> None:
        """Somebody asks that nothing goes to an address, or that it may again."""
        decision_id, chain = self.chance.choice(list(self.chains.items()))
        chain.is_suppressed = not chain.is_suppressed
        store, key_ring = DispatchStore(self.site.database), self.site.key_ring
        recipient = Recipient(channel=CHANNEL, address=self.phones[decision_id])
        tenant_id = self.site.world.tenant_id
        if chain.is_suppressed:
            await store.suppress(tenant_id, recipient, key_ring, cause="requested", origin=ORIGIN)
        else:
            await store.unsuppress(tenant_id, recipient, key_ring, origin=ORIGIN)

    async def expire(self) -> None:
        decision_id, chain = self.chance.choice(list(self.chains.items()))
        chain.is_worth = False
        for table in ("decision", "delivery_log"):
            await self.site.world.superuser.execute(
                f"UPDATE {table} SET expires_at = now() - interval '1 second'"
                " WHERE decision_id = $1",
                decision_id,
            )

    async def fail(self) -> None:
        """A delivery cannot be prepared."""
        waiting = [each for each in self.chains.items() if each[1].last.waits]
        if not waiting:
            return
        decision_id, chain = self.chance.choice(waiting)
        delivery_id = (await self.rows(decision_id))[-1]["delivery_id"]
        claims = self.site.claims(**SETTINGS)
        assert not await claims.count_failure(self.site.world.tenant_id, delivery_id, "poison")
        chain.give_up()

    async def step(self) -> None:
        steps: dict[Callable[[], Awaitable[None]], int] = {
            self.claim: 30,
            self.answer: 30,
            self.lose: 10,
            self.forget: 3,
            self.receive: 4,
            self.withdraw: 4,
            self.suppress: 4,
            self.expire: 1,
            self.fail: 1,
        }
        (step,) = self.chance.choices(list(steps), list(steps.values()))
        self.done.append(step.__name__)
        await step()
        await self.compare()

    async def compare(self) -> None:
        for decision_id, chain in self.chains.items():
            rows = await self.rows(decision_id)
            assert [(row["choice"], row["state"], row["attempt_count"]) for row in rows] == [
                (each.choice, each.state, len(each.attempts)) for each in chain.deliveries
            ], self.done
            # Nothing is called suppressed that may have reached the person.
            for row in rows:
                assert not (row["state"] == "suppressed" and row["in_doubt"]), self.done
            # Of what is at its end nobody asks any more; what is under way is known at its end.
            if chain.last.state in {"pending", "retry_wait", "outcome_unknown"}:
                assert rows[-1]["in_doubt"] == chain.last.in_doubt, self.done
            self.check(chain)

    def check(self, chain: Chain) -> None:
        """What holds of every chain at every moment."""
        taken = [each for each in chain.deliveries if each.took]
        assert len(taken) <= 1, self.done
        if not self.knows_key:
            assert sum(attempt.took for each in taken for attempt in each.attempts) <= 1, self.done
        assert sum(each.state in OPEN for each in chain.deliveries) <= 1, self.done
        for before in chain.deliveries[:-1]:
            assert before.state in HANDS_OVER, self.done
            assert not before.in_doubt, self.done

    async def finish(self) -> None:
        """Let everything come to rest."""
        while any(
            chain.last.state in {"pending", "sending", "retry_wait"}
            for chain in self.chains.values()
        ):
            await self.claim()
            await self.answer()
            await self.compare()


def result_of(call: Call) -> SendResult:
    kind = call.attempt.said
    provider_class: Any = CLASSES[kind]
    return SendResult(
        kind=kind,
        provider_class=provider_class,
        code="x",
        provider_message_id="m" if kind == "accepted" else "",
        suppresses_recipient=kind == "rejected" and call.attempt.for_good,
    )


@pytest.mark.parametrize("knows_key", [False, True], ids=["no key", "key"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_machine_does_what_the_model_says(
    site: Site, monkeypatch: pytest.MonkeyPatch, seed: int, *, knows_key: bool
) -> None:
    if knows_key:
        keyed = replace(ZaloTemplate.capabilities, idempotency=timedelta(hours=1))
        monkeypatch.setattr(ZaloTemplate, "capabilities", keyed)
    run = Run(site, seed, knows_key=knows_key)
    await run.begin()
    for number in range(STEP_COUNT):
        await run.step()
        if number % 20 == 0:
            assert await imbalances(site) == [], run.done
    await run.finish()
    assert await imbalances(site) == [], run.done
    states = await site.states()
    assert states.total() == sum(len(chain.deliveries) for chain in run.chains.values())


async def imbalances(site: Site) -> list[Any]:
    """What does not balance; nothing but the test moves anything on here (A3)."""
    return [breach for breach in await site.breaches() if breach["equation"] != "A3"]
