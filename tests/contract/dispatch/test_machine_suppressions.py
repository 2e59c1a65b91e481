"""Addresses to which nothing goes any more: who puts them there, and what becomes of messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libs.rpc.requests import Origin
from services.dispatch.channels.contract import SendResult
from services.dispatch.channels.zalo_template import ZaloTemplate
from services.dispatch.domain.suppression import Recipient
from services.dispatch.envelope import KeyRing
from services.dispatch.store import DispatchStore
from tests.contract.dispatch.machines import AT_ONCE, Site
from tests.contract.dispatch.world import CHANNEL, World, choice

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.simulator.simulators import OfficialAccount, Simulator

PHONE = "+84903555666"
ORIGIN = Origin(actor="test", call_id="call", request=None)
REFUSED = SendResult(
    kind="rejected",
    provider_class="P",
    code="-118",
    reason="not reachable",
    suppresses_recipient=True,
)
UNKNOWN = SendResult(kind="unknown", provider_class="AMB", code="http_500", reason="who knows")
BY_ANSWER = ("suppressed", "SUPPRESSED: the provider refuses this address for good")
BY_CALL = ("suppressed", "SUPPRESSED: somebody asked that nothing be sent to this address")


async def suppressions(site: Site) -> list[Any]:
    rows: list[Any] = await site.world.superuser.fetch(
        "SELECT * FROM suppression ORDER BY suppression_id"
    )
    return rows


async def entries(site: Site) -> list[Any]:
    rows: list[Any] = await site.world.superuser.fetch(
        "SELECT actor, details, tenant_id FROM audit_entry WHERE kind = 'addresses_suppressed'"
        " ORDER BY entry_id"
    )
    return rows


async def suppress(site: Site, address: str = PHONE) -> None:
    recipient = Recipient(channel=CHANNEL, address=address)
    await DispatchStore(site.database).suppress(
        site.world.tenant_id, recipient, site.key_ring, cause="requested", origin=ORIGIN
    )


async def unsuppress(site: Site, address: str = PHONE) -> None:
    recipient = Recipient(channel=CHANNEL, address=address)
    await DispatchStore(site.database).unsuppress(
        site.world.tenant_id, recipient, site.key_ring, origin=ORIGIN
    )


async def test_whom_the_provider_refuses_for_good_gets_nothing_more(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -118, "count_max": 1})
    first = await site.delivery(await site.person(phones=[PHONE]))
    async with site.machine():
        await site.wait_for(failed=1)
        # The address counts, and not the person: another profile has it too.
        second = await site.delivery(await site.person(phones=[PHONE]))
        other = await site.delivery(await site.person(phones=["+84903777888"]))
        await site.wait_for(failed=1, suppressed=1, accepted=1)
    assert await site.outcome(second) == BY_ANSWER
    assert site.acceptances([first, second, other]) == [0, 0, 1]
    assert await site.attempts(second) == []
    (row,) = await suppressions(site)
    delivery = await site.row(first)
    for name in ("recipient_hash", "recipient_key_id", "channel", "delivery_id", "tenant_id"):
        assert row[name] == delivery[name]
    assert (row["cause"], row["source"], row["lifted_at"]) == ("rejected", "delivery", None)
    (entry,) = await entries(site)
    assert entry["actor"] == "dispatch"
    assert PHONE[3:] not in str(dict(row)) + entry["details"]
    assert await site.breaches() == []


@pytest.mark.parametrize("code", [-114, -139, -112, -144])
async def test_what_passes_or_is_about_the_message_suppresses_nobody(site: Site, code: int) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": code, "count_max": 1})
    await site.delivery(worth=timedelta(minutes=1))
    async with site.machine():
        await site.wait_for(failed=1)
        await site.delivery()
        await site.wait_for(failed=1, accepted=1)
    assert await suppressions(site) == []


async def test_a_number_that_cannot_be_is_no_answer_of_the_provider(site: Site) -> None:
    await site.delivery(await site.person(phones=["+8490"]))
    async with site.machine():
        await site.wait_for(failed=1)
    assert await suppressions(site) == []


async def test_a_suppressed_choice_hands_over_to_the_next(site: Site) -> None:
    await suppress(site)
    ways = [
        choice(
            choice=number,
            account_id=str(site.account_id),
            template_id=str(site.template_id),
            recipient_ref=f"phone:{number}",
        )
        for number in (0, 1)
    ]
    person = await site.person(phones=[PHONE, "+84903777888"])
    first = await site.delivery(person, choices=ways)
    async with site.machine():
        await site.wait_for(suppressed=1, accepted=1)
    rows = await site.chain_of(first)
    assert [(row["state"], row["reason"]) for row in rows] == [BY_CALL, ("accepted", "")]
    # Both in one transaction.
    assert rows[0]["updated_at"] == rows[1]["created_at"]
    (ended,) = await site.world.superuser.fetch(
        "SELECT details FROM audit_entry WHERE kind = 'deliveries_ended'"
    )
    assert str(first) in ended["details"]
    assert await site.breaches() == []


async def test_what_is_lifted_is_sent_again_and_may_come_back(site: Site) -> None:
    await suppress(site)
    await unsuppress(site)
    await site.simulator.add_faults({"kind": "error_code", "code": -118, "count_max": 1})
    async with site.machine():
        await site.delivery(await site.person(phones=[PHONE]))
        await site.wait_for(failed=1)
        await site.delivery(await site.person(phones=[PHONE]))
        await site.wait_for(failed=1, suppressed=1)
        await unsuppress(site)
        sent = await site.delivery(await site.person(phones=[PHONE]))
        await site.wait_for(failed=1, suppressed=1, accepted=1)
    assert site.acceptances([sent]) == [1]
    assert [(row["cause"], row["lifted_at"] is None) for row in await suppressions(site)] == [
        ("requested", False),
        ("rejected", False),
    ]


async def test_a_batch_of_answers_is_one_entry_and_an_address_is_suppressed_once(
    site: Site,
) -> None:
    phones = [PHONE, PHONE, "+84903777888"]
    people = [await site.person(phones=[phone]) for phone in phones]
    deliveries = [await site.delivery(person) for person in people]
    claimed = await site.claim()
    await site.results().write(
        site.world.tenant_id, [(claimed[delivery_id], REFUSED) for delivery_id in deliveries]
    )
    rows = await suppressions(site)
    assert len(rows) == 2
    (entry,) = await entries(site)
    for row in rows:
        assert str(row["suppression_id"]) in entry["details"]
        assert str(row["delivery_id"]) in entry["details"]


async def test_an_answer_that_comes_late_counts_and_the_same_one_again_does_not(
    site: Site,
) -> None:
    delivery_id = await site.delivery(await site.person(phones=[PHONE]))
    claimed = (await site.claim(lease=AT_ONCE))[delivery_id]
    await site.let_leases_run_out()
    await site.results().write(site.world.tenant_id, [(claimed, REFUSED)])
    assert (await site.outcome(delivery_id))[0] == "failed"
    assert len(await suppressions(site)) == 1
    await unsuppress(site)
    await site.results().write(site.world.tenant_id, [(claimed, REFUSED)])
    (row,) = await suppressions(site)
    assert row["lifted_at"] is not None


async def test_of_an_erased_person_nothing_is_kept(site: Site) -> None:
    delivery_id = await site.delivery()
    claimed = await site.claim()
    await site.world.superuser.execute("UPDATE delivery_log SET recipient_hash = NULL")
    await site.results().write(site.world.tenant_id, [(claimed[delivery_id], REFUSED)])
    assert (await site.outcome(delivery_id))[0] == "failed"
    assert await suppressions(site) == []


async def test_another_tenant_and_another_channel_are_not_affected(
    site: Site,
    parts: dict[str, Any],
    simulator: Simulator,
    oa: OfficialAccount,
    other_tenant_id: UUID,
) -> None:
    await DispatchStore(site.database).suppress(
        site.world.tenant_id,
        Recipient(channel="email", address=PHONE),
        site.key_ring,
        cause="requested",
        origin=ORIGIN,
    )
    world = World(site.world.superuser, other_tenant_id)
    other = Site(**(parts | {"world": world}), simulator=simulator, oa=oa)
    await other.set_up()
    await suppress(other)
    mine = await site.delivery(await site.person(phones=[PHONE]))
    theirs = await other.delivery(await other.person(phones=[PHONE]))
    async with site.machine():
        await site.wait_for(accepted=1, suppressed=1)
    assert (await site.outcome(mine))[0] == "accepted"
    assert await site.outcome(theirs) == BY_CALL


async def test_a_suppression_outlives_the_change_of_keys(site: Site) -> None:
    """Made under k1; then k2 is the active key, as in all other tests."""
    before = replace(site, key_ring=KeyRing({"k1": b"1" * 32}, "k1"))
    await suppress(before)
    await suppress(site, "+84903777888")
    # It is known under the older key, so nothing is added.
    await suppress(site)
    assert [row["recipient_key_id"] for row in await suppressions(site)] == ["k1", "k2"]
    old = await site.delivery(await site.person(phones=[PHONE]))
    new = await site.delivery(await site.person(phones=["+84903777888"]))
    other = await site.delivery(await site.person(phones=["+84903999000"]))
    async with site.machine():
        await site.wait_for(suppressed=2, accepted=1)
    assert await site.outcome(old) == await site.outcome(new) == BY_CALL
    assert (await site.row(other))["recipient_key_id"] == "k2"
    await unsuppress(site)
    assert [row["lifted_at"] is None for row in await suppressions(site)] == [False, True]


async def test_without_the_key_of_a_suppression_nothing_is_sent(site: Site) -> None:
    await suppress(replace(site, key_ring=KeyRing({"k1": b"1" * 32}, "k1")))
    await site.delivery(await site.person(phones=[PHONE]))
    await site.delivery()
    forgetful = replace(site, key_ring=KeyRing({"k2": b"2" * 32}, "k2"))
    for _ in range(2):
        assert await forgetful.claim() == {}
    assert await site.states() == {"pending": 2}
    async with site.machine():
        await site.wait_for(suppressed=1, accepted=1)


async def test_a_doubt_is_never_called_suppressed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that knows our key is asked again after a doubt, unless that is not allowed."""
    keyed = replace(ZaloTemplate.capabilities, idempotency=timedelta(hours=1))
    monkeypatch.setattr(ZaloTemplate, "capabilities", keyed)
    doubtful = await site.chain(2, await site.person(phones=[PHONE]))
    claimed = await site.claim()
    at_once = {"backoff_min": timedelta(0), "backoff_max": timedelta(0)}
    await site.results(**at_once).write(site.world.tenant_id, [(claimed[doubtful], UNKNOWN)])
    assert (await site.outcome(doubtful))[0] == "retry_wait"
    await suppress(site)
    assert await site.claim() == {}
    assert await site.outcome(doubtful) == ("outcome_unknown", f"not sent again: {BY_CALL[1]}")
    # And so nothing follows it.
    assert len(await site.chain_of(doubtful)) == 1
    assert [each for each in await site.breaches() if each["equation"] != "A3"] == []


async def test_what_is_under_way_is_left_alone(site: Site) -> None:
    delivery_id = await site.delivery(await site.person(phones=[PHONE]))
    claimed = await site.claim()
    await suppress(site)
    assert (await site.outcome(delivery_id))[0] == "sending"
    accepted = replace(REFUSED, kind="accepted", provider_class="OK", suppresses_recipient=False)
    await site.results().write(site.world.tenant_id, [(claimed[delivery_id], accepted)])
    assert (await site.outcome(delivery_id))[0] == "accepted"
