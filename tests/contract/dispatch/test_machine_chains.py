"""The choices of a decision, one after the other, each made by the end of the one before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leo.dispatch.v1.dispatch_service_pb2 import GetDeliveryRequest, ListDeliveriesRequest
from services.dispatch.channels.contract import SendResult
from services.dispatch.channels.zalo_template import ZaloTemplate
from services.dispatch.machine import moves
from tests.contract.dispatch.machines import AT_ONCE
from tests.contract.dispatch.world import choice

if TYPE_CHECKING:
    from uuid import UUID

    from services.dispatch.machine.claim import Claimed
    from tests.contract.dispatch.conftest import Client
    from tests.contract.dispatch.machines import Site
    from tests.contract.simulator.simulators import Receiver

# For good, and without suppressing the one address that all choices here go to.
REFUSED = -114
ACCEPTED = SendResult(kind="accepted", provider_class="OK", code="0", provider_message_id="m1")
REJECTED = SendResult(kind="rejected", provider_class="P", code="-118", reason="not reachable")
LATER = SendResult(kind="retry_at", provider_class="R", code="-100", reason="for now")
UNKNOWN = SendResult(kind="unknown", provider_class="AMB", code="http_500", reason="who knows")


async def told(site: Site, delivery_id: UUID) -> list[tuple[int, str]]:
    """Choice and state of all deliveries of the decision."""
    return [(row["choice"], row["state"]) for row in await site.chain_of(delivery_id)]


async def write(site: Site, *results: tuple[Claimed, SendResult], **changes: Any) -> None:
    waits = {"backoff_min": timedelta(hours=1), "backoff_max": timedelta(hours=1)}
    settings = {key: value for key, value in waits.items() if key not in changes}
    await site.results(**settings, **changes).write(site.world.tenant_id, results)


async def balanced(site: Site) -> bool:
    """Whether the books balance; no machine runs in most of these tests, so what is due waits."""
    return not [each for each in await site.breaches() if each["equation"] != "A3"]


async def test_what_the_provider_refuses_goes_out_by_the_next_choice(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": REFUSED, "count_max": 1})
    first = await site.chain(3)
    async with site.machine():
        await site.wait_for(failed=1, accepted=1)
    rows = await site.chain_of(first)
    assert [(row["choice"], row["state"]) for row in rows] == [(0, "failed"), (1, "accepted")]
    one, two = rows
    for name in ("decision_id", "step", "profile_id", "profile_version", "expires_at"):
        assert one[name] == two[name], name
    assert site.acceptances([one["delivery_id"], two["delivery_id"]]) == [0, 1]
    # Both in one transaction, by the one clock that a transaction has.
    assert one["updated_at"] == two["created_at"]
    assert await site.breaches() == []


async def test_refused_to_the_end_is_failed_to_the_end(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": REFUSED})
    first = await site.chain(3)
    async with site.machine():
        await site.wait_for(failed=3)
    assert await told(site, first) == [(0, "failed"), (1, "failed"), (2, "failed")]
    assert await site.breaches() == []


async def test_choices_that_the_decision_found_impossible_are_passed_over(site: Site) -> None:
    ways = [
        choice(choice=number, account_id=str(site.account_id), template_id=str(site.template_id))
        for number in (1, 4)
    ]
    first = await site.delivery(choices=ways)
    claimed = await site.claim()
    await write(site, (claimed[first], REJECTED))
    assert await told(site, first) == [(1, "failed"), (4, "pending")]
    assert await balanced(site)


async def withdraw(site: Site) -> None:
    await site.world.superuser.execute("UPDATE profile_consent SET state = 'withdrawn'")


async def change_address(site: Site) -> None:
    await site.world.superuser.execute(
        "INSERT INTO cdp_profile_version (tenant_id, profile_id, version, document,"
        " document_digest) SELECT tenant_id, profile_id, 2, document - 'phones', document_digest"
        " FROM cdp_profile_version"
    )
    await site.world.superuser.execute("UPDATE cdp_profiles SET version = 2")


@pytest.mark.parametrize(
    ("change", "reason"), [(withdraw, "CONSENT"), (change_address, "ADDRESS_CHANGED")]
)
async def test_a_choice_that_is_not_allowed_any_more_is_suppressed_and_the_chain_goes_on(
    site: Site, change: Any, reason: str
) -> None:
    first = await site.chain(3)
    claimed = await site.claim()
    await change(site)
    await write(site, (claimed[first], REJECTED))
    assert await told(site, first) == [(0, "failed"), (1, "pending")]
    for _ in range(3):
        assert await site.claim() == {}
    rows = await site.chain_of(first)
    assert [(row["choice"], row["state"]) for row in rows] == [
        (0, "failed"),
        (1, "suppressed"),
        (2, "suppressed"),
    ]
    assert all(row["reason"].startswith(reason) for row in rows[1:])
    assert await balanced(site)


async def test_consent_is_asked_of_each_channel_by_itself(site: Site) -> None:
    """The first choice is not allowed any more, the second one is."""
    ways = [
        choice(choice=0, account_id=str(site.account_id), template_id=str(site.template_id)),
        choice(choice=1, channel="email", recipient_ref="email:0"),
    ]
    person = await site.person(emails=["an@example.com"])
    first = await site.delivery(person, choices=ways)
    await withdraw(site)
    assert await site.claim() == {}
    assert await told(site, first) == [(0, "suppressed"), (1, "pending")]
    assert (await site.chain_of(first))[1]["channel"] == "email"


async def test_nothing_follows_what_was_taken(site: Site) -> None:
    first = await site.chain(2)
    claimed = await site.claim()
    await write(site, (claimed[first], ACCEPTED))
    assert await told(site, first) == [(0, "accepted")]
    assert await balanced(site)


@pytest.mark.parametrize("result", [LATER, UNKNOWN], ids=lambda result: result.kind)
async def test_nothing_follows_what_waits_or_is_in_doubt(site: Site, result: SendResult) -> None:
    first = await site.chain(2)
    claimed = await site.claim()
    await write(site, (claimed[first], result))
    assert len(await site.chain_of(first)) == 1
    assert await balanced(site)


async def test_nothing_follows_what_is_in_doubt_though_it_is_not_sent_again(site: Site) -> None:
    first = await site.chain(2)
    await site.world.set_state(first, "retry_wait", in_doubt=True)
    await withdraw(site)
    assert await site.claim() == {}
    assert await told(site, first) == [(0, "outcome_unknown")]


async def test_nothing_follows_what_a_person_must_look_at(site: Site) -> None:
    first = await site.chain(2)
    claims = site.claims(failure_count_max=1)
    assert not await claims.count_failure(site.world.tenant_id, first, "a reason")
    assert await told(site, first) == [(0, "dead_letter")]
    assert await balanced(site)


async def test_nothing_follows_to_somebody_who_was_erased(site: Site) -> None:
    first = await site.chain(2)
    await site.world.superuser.execute("ALTER TABLE cdp_profile_version DISABLE TRIGGER USER")
    await site.world.superuser.execute("UPDATE cdp_profile_version SET document = NULL")
    assert await site.claim() == {}
    assert await told(site, first) == [(0, "cancelled")]


async def test_nothing_follows_when_the_decision_is_worth_nothing_any_more(site: Site) -> None:
    first = await site.chain(2)
    claimed = await site.claim()
    past = datetime.now(UTC) - timedelta(seconds=1)
    late = await site.chain(2, worth=timedelta(seconds=-1))
    assert await site.claim() == {}
    assert await told(site, late) == [(0, "expired")]
    # Neither where the provider says no only then.
    await site.world.superuser.execute("ALTER TABLE decision DISABLE TRIGGER USER")
    await site.world.superuser.execute("UPDATE decision SET expires_at = $1", past)
    await write(site, (claimed[first], REJECTED))
    assert await told(site, first) == [(0, "failed")]
    assert await balanced(site)


async def test_a_provider_that_is_too_late_leaves_time_for_the_next_choice(site: Site) -> None:
    """Its night ends after the message is worth anything; the other channel has no night."""
    first = await site.chain(2)
    claimed = await site.claim()
    night = replace(LATER, provider_class="D", retry_at=datetime.now(UTC) + timedelta(hours=8))
    await write(site, (claimed[first], night))
    assert await told(site, first) == [(0, "failed"), (1, "pending")]
    assert await balanced(site)


async def test_a_doubt_that_a_late_no_resolves_is_followed_then(site: Site) -> None:
    first = await site.chain(2)
    claimed = await site.claim(lease=AT_ONCE)
    await site.let_leases_run_out()
    assert await told(site, first) == [(0, "outcome_unknown")]
    for _ in range(2):
        # Once more, as after a commit that said nothing.
        await write(site, (claimed[first], REJECTED))
        assert await told(site, first) == [(0, "failed"), (1, "pending")]
    assert await balanced(site)


async def test_a_doubt_that_a_receipt_resolves_is_not_followed(
    site: Site, receiver: Receiver
) -> None:
    await site.simulator.add_faults({"kind": "reply_lost"})
    first = await site.chain(2)
    async with site.machine():
        await site.wait_for(outcome_unknown=1)
        await site.receive(await receiver.next())
        assert await told(site, first) == [(0, "accepted")]
    assert await balanced(site)


async def test_a_late_no_to_one_of_two_doubts_is_not_followed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = replace(ZaloTemplate.capabilities, idempotency=timedelta(hours=1))
    monkeypatch.setattr(ZaloTemplate, "capabilities", keyed)
    first = await site.chain(2)
    claims = []
    for _ in range(2):
        claims.append((await site.claim(lease=AT_ONCE))[first])
        await site.let_leases_run_out(
            backoff_min=timedelta(0), backoff_max=timedelta(0), attempt_count_max=2
        )
    assert await told(site, first) == [(0, "outcome_unknown")]
    await write(site, (claims[0], REJECTED), attempt_count_max=2)
    assert await told(site, first) == [(0, "outcome_unknown")]
    await write(site, (claims[1], REJECTED), attempt_count_max=2)
    assert await told(site, first) == [(0, "failed"), (1, "pending")]
    assert await balanced(site)


@pytest.mark.parametrize("statement", ["move_deliveries", "insert_reached"])
async def test_a_crash_leaves_both_or_neither(
    site: Site, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    first = await site.chain(2)
    claimed = await site.claim()
    # Right after the statement, within the transaction.
    owner = moves._QUERIES if statement == "move_deliveries" else moves
    real = getattr(owner, statement)

    async def crash(*args: Any, **values: Any) -> None:
        await real(*args, **values)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(owner, statement, crash)
        with pytest.raises(KeyboardInterrupt):
            await write(site, (claimed[first], REJECTED))
    assert await told(site, first) == [(0, "sending")]
    await write(site, (claimed[first], REJECTED))
    assert await told(site, first) == [(0, "failed"), (1, "pending")]
    assert await balanced(site)


async def test_two_that_end_one_delivery_make_one_next_choice(site: Site) -> None:
    """The same result twice at once, as after a commit in doubt."""
    deliveries = [await site.chain(2) for _ in range(20)]
    claimed = await site.claim()
    results = [(claimed[delivery_id], REJECTED) for delivery_id in deliveries]
    await asyncio.gather(write(site, *results), write(site, *reversed(results)))
    for delivery_id in deliveries:
        assert await told(site, delivery_id) == [(0, "failed"), (1, "pending")]
    assert await balanced(site)


async def test_what_is_accepted_costs_no_statement_of_the_chain(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await site.chain(2)
    claimed = await site.claim()

    async def refuse(*_: Any) -> None:
        raise AssertionError("nothing ended without reaching anybody")

    monkeypatch.setattr(moves, "_hand_over", refuse)
    await write(site, (claimed[first], ACCEPTED))
    assert await told(site, first) == [(0, "accepted")]


async def test_a_delivery_says_which_one_it_follows(client: Client, site: Site) -> None:
    first = await site.chain(3)
    for _ in range(2):
        claimed = await site.claim()
        await write(site, *((each, REJECTED) for each in claimed.values()))
    ids = [str(row["delivery_id"]) for row in await site.chain_of(first)]
    answer = await client.ListDeliveries(ListDeliveriesRequest())
    listed = {delivery.delivery_id: delivery for delivery in answer.deliveries}
    assert [
        (listed[each].step, listed[each].choice, listed[each].follows_delivery_id) for each in ids
    ] == [(0, 0, ""), (0, 1, ids[0]), (0, 2, ids[1])]
    one = await client.GetDelivery(GetDeliveryRequest(delivery_id=ids[2]))
    assert one.delivery.follows_delivery_id == ids[1]


async def test_the_journey_tells_why_the_next_choice_came(site: Site) -> None:
    event_person = await site.person()
    event_id = await site.world.event(event_person)
    first = await site.chain(2, event_person, event_id=event_id)
    claimed = await site.claim()
    await write(site, (claimed[first], REJECTED))
    rows = await site.world.superuser.fetch(
        "SELECT outcome, reason, details ->> 'choice' AS choice, details ->> 'follows' AS follows"
        " FROM v_journey WHERE tenant_id = $1 AND event_id = $2 AND step = 'delivery'"
        " ORDER BY at, rank",
        site.world.tenant_id,
        event_id,
    )
    assert [tuple(row) for row in rows] == [
        ("created", "", "0", None),
        ("failed", "not reachable", None, None),
        ("created", f"{first} by zalo-template ended failed: not reachable", "1", str(first)),
        ("pending", "", None, None),
    ]
