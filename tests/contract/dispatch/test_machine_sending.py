"""The machine with a real database and a real provider process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from services.dispatch.channels import zalo_template
from services.dispatch.channels.zalo_template import ZaloTemplate
from services.dispatch.doorbell import Doorbell
from services.dispatch.envelope import KeyRing
from services.dispatch.machine import transitions
from services.dispatch.machine.claim import Claims
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import batch_dispatch
from tests.contract.auth.processes import free_address
from tests.contract.dispatch.machines import until
from tests.contract.dispatch.world import choice

if TYPE_CHECKING:
    from services.dispatch.channels.contract import SendResult
    from services.dispatch.machine.claim import Claim
    from tests.contract.dispatch.machines import Site
    from tests.contract.simulator.simulators import Receiver

VIETNAM = timezone(timedelta(hours=7))
# Half of it is what a call may take.
SHORT_LEASE = timedelta(seconds=1)


async def balanced(site: Site) -> bool:
    return not await site.breaches()


async def test_what_is_due_is_accepted_once(site: Site) -> None:
    deliveries = await site.deliveries(120)
    async with site.machine():
        await site.wait_for(accepted=120)
    assert site.acceptances(deliveries) == [1] * 120
    for delivery_id in deliveries:
        assert await site.attempts(delivery_id) == [
            (1, "intent", None, ""),
            (1, "result", "accepted", "0"),
        ]
    assert await site.breaches() == []


async def test_an_intent_says_what_went_out_and_nothing_of_the_person(site: Site) -> None:
    delivery_id = await site.delivery(await site.person(phones=["+84903000111"]))
    async with site.machine():
        await site.wait_for(accepted=1)
    row = await site.row(delivery_id)
    witness = {each["reference"]: each for each in site.simulator.witness()}[str(delivery_id)]
    assert row["provider_message_id"] == witness["message_id"]
    assert (row["epoch"], row["attempt_count"], row["lease_until"]) == (1, 1, None)
    assert (len(row["recipient_hash"]), row["recipient_key_id"]) == (32, "k2")
    intent = await site.world.superuser.fetchrow(
        "SELECT provider_key, length(request_hash) AS hash_bytes, template_version, epoch"
        " FROM delivery_attempt WHERE phase = 'intent'"
    )
    assert tuple(intent) == (str(delivery_id), 32, 3, 1)
    everything = await site.world.superuser.fetchval(
        "SELECT string_agg(t::text, '') FROM ("
        " SELECT a::text FROM delivery_attempt AS a UNION ALL SELECT l::text FROM delivery_log AS l"
        " UNION ALL SELECT e::text FROM audit_entry AS e) AS t"
    )
    assert "903000111" not in everything


@pytest.mark.parametrize(
    ("fault", "code", "accepted_count"),
    [
        ({"kind": "reply_lost"}, "no_answer_lost", 1),
        ({"kind": "reply_truncated"}, "no_answer_lost", 1),
        ({"kind": "reply_slow", "delay_seconds": 60}, "no_answer_timeout", 1),
        ({"kind": "server_error_after"}, "http_503", 1),
        ({"kind": "server_error_before"}, "http_503", 0),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
async def test_a_doubt_is_shown_and_never_sent_again(
    site: Site, fault: dict[str, Any], code: str, accepted_count: int
) -> None:
    await site.simulator.add_faults(fault, {"kind": "receipt_dropped"})
    delivery_id = await site.delivery()
    async with site.machine(lease=SHORT_LEASE):
        await site.wait_for(outcome_unknown=1)
        # Whoever would send it again would do so before the next one.
        await site.simulator.admin("DELETE", "faults")
        await site.delivery()
        await site.wait_for(outcome_unknown=1, accepted=1)
    attempts = await site.attempts(delivery_id)
    assert [attempt[:3] for attempt in attempts] == [(1, "intent", None), (1, "result", "unknown")]
    if fault["kind"] != "reply_truncated":
        assert attempts[1][3] == code
    assert site.acceptances([delivery_id]) == [accepted_count]
    assert await site.breaches() == []


async def test_a_receipt_settles_a_doubt(site: Site, receiver: Receiver) -> None:
    await site.simulator.add_faults({"kind": "reply_lost"})
    delivery_id = await site.delivery()
    async with site.machine():
        await site.wait_for(outcome_unknown=1)
        await site.receive(await receiver.next())
    assert await site.outcome(delivery_id) == (
        "accepted",
        "a receipt proves that the provider took it",
    )
    # The attempt keeps its doubt: the delivery was settled, not the past.
    assert (await site.attempts(delivery_id))[1][2] == "unknown"
    assert await site.breaches() == []


async def test_a_receipt_may_overtake_the_answer(site: Site, receiver: Receiver) -> None:
    await site.simulator.add_faults({"kind": "reply_slow", "delay_seconds": 60})
    delivery_id = await site.delivery()
    async with site.machine(lease=SHORT_LEASE):
        await site.receive(await receiver.next())
        assert (await site.outcome(delivery_id))[0] == "sending"
        await site.wait_for(accepted=1)
    assert await site.breaches() == []


async def test_what_the_person_cannot_get_has_failed(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -108})
    delivery_id = await site.delivery()
    async with site.machine():
        await site.wait_for(failed=1)
    assert (await site.attempts(delivery_id))[1] == (1, "result", "rejected", "-108")
    assert await site.breaches() == []


async def test_throttling_passes_however_often_it_comes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not the next minute.
    monkeypatch.setattr(zalo_template, "retry_time", lambda _class, now: now)
    monkeypatch.setattr(transitions, "SPREADS", {})
    await site.simulator.add_faults({"kind": "throttled", "count_max": 3})
    delivery_id = await site.delivery()
    async with site.machine(attempt_count_max=1):
        await site.wait_for(accepted=1)
    results = [attempt for attempt in await site.attempts(delivery_id) if attempt[1] == "result"]
    assert [attempt[2:] for attempt in results] == [*[("retry_at", "-32")] * 3, ("accepted", "0")]
    assert await site.breaches() == []


async def test_the_night_of_the_provider_ends_in_the_morning(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -133})
    first, second = await site.deliveries(2, worth=timedelta(days=2))
    async with site.machine():
        await site.wait_for(retry_wait=2)
    due = [(await site.row(delivery_id))["due_at"] for delivery_id in (first, second)]
    assert min(due) > datetime.now(UTC)
    # From six o'clock on, and not all at once.
    assert due[0] != due[1]
    for due_at in due:
        local = due_at.astimezone(VIETNAM)
        assert local.hour == 6
        assert local.minute < 30
    assert await site.breaches() == []


async def test_a_night_that_is_longer_than_the_message_is_worth_ends_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr(zalo_template, "retry_time", lambda _class, _now: tomorrow)
    await site.simulator.add_faults({"kind": "error_code", "code": -133})
    delivery_id = await site.delivery()
    async with site.machine():
        await site.wait_for(failed=1)
    assert (await site.outcome(delivery_id))[1].endswith(transitions.TOO_LATE)
    assert await site.breaches() == []


async def test_a_provider_that_is_away_is_tried_again(site: Site) -> None:
    url = f"{site.simulator.url}/zalo"
    await site.point_to(f"http://{free_address()}")
    delivery_id = await site.delivery()
    async with site.machine():
        await until(lambda: site.attempts(delivery_id))
        await site.point_to(url)
        await site.wait_for(accepted=1)
    *refused, last_intent, last_result = await site.attempts(delivery_id)
    assert {attempt[3] for attempt in refused} == {"", "not_sent_connect"}
    assert (last_intent[1], last_result[2]) == ("intent", "accepted")
    assert site.acceptances([delivery_id]) == [1]
    assert await site.breaches() == []


async def test_a_transient_failure_is_final_in_the_end(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -100})
    delivery_id = await site.delivery()
    async with site.machine(attempt_count_max=3):
        await site.wait_for(failed=1)
    assert len(await site.attempts(delivery_id)) == 6
    assert await site.breaches() == []


async def test_a_bad_token_pauses_the_account_until_somebody_acts(site: Site) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -124})
    deliveries = await site.deliveries(3)
    async with site.machine(attempt_count_max=1):
        # A token never counts against the recipient: it is no failure after one attempt.
        await until(site.paused_reason)
        assert "access_token" in await site.paused_reason()
        # Waiting for a person is being at rest.
        await until(lambda: balanced(site))
        await site.simulator.admin("DELETE", "faults")
        await site.world.superuser.execute("UPDATE channel_account SET paused_reason = ''")
        await site.wait_for(accepted=3)
    assert site.acceptances(deliveries) == [1, 1, 1]


async def repair(site: Site) -> None:
    """Touch the account, beside whatever the test's own connection does."""
    async with site.database.tenant(site.world.tenant_id) as connection:
        await connection.execute("UPDATE channel_account SET settings = settings")


async def test_an_account_is_not_paused_by_answers_from_before_it_was_repaired(
    site: Site,
) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -124, "count_max": 1})
    await site.delivery()
    repaired = asyncio.Event()

    class Repairing(Claims):
        """Somebody sets the account while the call is under way."""

        async def claim(self, *args: Any, **options: Any) -> Claim:
            claim = await super().claim(*args, **options)
            if claim.claimed and not repaired.is_set():
                await repair(site)
                repaired.set()
            return claim

    claims = Repairing(site.database, site.key_ring, site.settings())
    async with site.machine(claims=claims):
        await site.wait_for(accepted=1)
    assert repaired.is_set()
    assert await site.paused_reason() == ""


async def test_no_more_calls_are_under_way_than_the_account_allows(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.world.superuser.execute("UPDATE channel_account SET concurrent_send_count_max = 3")
    await site.simulator.add_faults({"kind": "reply_slow", "delay_seconds": 0.1})
    deliveries = await site.deliveries(9)
    counts = [0]
    send = ZaloTemplate.send

    async def counting(*args: Any, **options: Any) -> SendResult:
        counts.append(counts[-1] + 1)
        try:
            return await send(*args, **options)
        finally:
            counts.append(counts[-1] - 1)

    monkeypatch.setattr(ZaloTemplate, "send", counting)
    async with site.machine():
        await site.wait_for(accepted=9)
    assert 1 < max(counts) <= 3
    assert site.acceptances(deliveries) == [1] * 9


async def test_two_workers_send_nothing_twice(site: Site) -> None:
    deliveries = await site.deliveries(100)
    async with site.machine(claim_count_max=7), site.machine(claim_count_max=7):
        await site.wait_for(accepted=100)
    assert site.acceptances(deliveries) == [1] * 100
    assert await site.breaches() == []


async def test_whoever_stops_finishes_what_is_under_way(site: Site) -> None:
    await site.world.superuser.execute("UPDATE channel_account SET concurrent_send_count_max = 1")
    await site.simulator.add_faults({"kind": "reply_slow", "delay_seconds": 0.3})
    deliveries = await site.deliveries(3)
    async with site.machine():
        await until(lambda: site.count("sending"))
    states = await site.states()
    assert states["accepted"] + states["pending"] == 3
    assert states["accepted"] == sum(site.acceptances(deliveries)) >= 1
    assert await site.attempts(deliveries[-1]) == []


async def test_whoever_slept_gives_the_row_up_and_says_so(site: Site) -> None:
    delivery_id = await site.delivery()
    slept = False

    class Sleeping(Claims):
        """The first claim takes half a lease and more, by the worker's own clock."""

        async def claim(self, *args: Any, **options: Any) -> Claim:
            nonlocal slept
            claim = await super().claim(*args, **options)
            if slept:
                return claim
            slept = bool(claim.claimed)
            early = [
                replace(claimed, claimed_seconds=claimed.claimed_seconds - 5.1)
                for claimed in claim.claimed
            ]
            return replace(claim, claimed=early)

    async with site.machine(claims=Sleeping(site.database, site.key_ring, site.settings())):
        await site.wait_for(accepted=1)
    assert await site.attempts(delivery_id) == [
        (1, "intent", None, ""),
        (1, "result", "retry_at", "not_started"),
        (2, "intent", None, ""),
        (2, "result", "accepted", "0"),
    ]
    assert site.acceptances([delivery_id]) == [1]
    assert await site.breaches() == []


async def revoke_consent(site: Site, person: Any) -> None:
    await site.world.superuser.execute(
        "UPDATE profile_consent SET state = 'withdrawn' WHERE profile_id = $1", person.profile_id
    )


async def never_consented(site: Site, person: Any) -> None:
    await site.world.superuser.execute(
        "DELETE FROM profile_consent WHERE profile_id = $1", person.profile_id
    )


async def change_phone(site: Site, person: Any) -> None:
    await new_version(site, person, '{"given_name": "An", "phones": ["+84903999888"]}')


async def change_name(site: Site, person: Any) -> None:
    await new_version(site, person, '{"given_name": "Bình", "phones": ["+84903111222"]}')


async def new_version(site: Site, person: Any, document: str) -> None:
    await site.world.superuser.execute(
        "INSERT INTO cdp_profile_version SELECT tenant_id, profile_id, 2, $2, sha256('y')"
        " FROM cdp_profiles WHERE profile_id = $1",
        person.profile_id,
        document,
    )
    await site.world.superuser.execute(
        "UPDATE cdp_profiles SET version = 2 WHERE profile_id = $1", person.profile_id
    )


async def deactivate(site: Site, person: Any) -> None:
    await site.world.superuser.execute(
        "UPDATE cdp_profiles SET state = 'inactive' WHERE profile_id = $1", person.profile_id
    )


async def make_test(site: Site, person: Any) -> None:
    await site.world.superuser.execute(
        "UPDATE cdp_profiles SET context = 'test' WHERE profile_id = $1", person.profile_id
    )


async def expire(site: Site, _person: Any) -> None:
    await site.world.superuser.execute("UPDATE delivery_log SET expires_at = now()")


async def garble_template(site: Site, _person: Any) -> None:
    await site.world.superuser.execute(
        """UPDATE message_template SET data = '{"amount": "{{ profile.given_name | vnd }}"}'"""
    )


async def ask_for_more(site: Site, _person: Any) -> None:
    await site.world.superuser.execute(
        """UPDATE message_template SET data = '{"customer": "{{ profile.city }}"}'"""
    )


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        (revoke_consent, "suppressed", "CONSENT: zalo-template, marketing: withdrawn"),
        (never_consented, "suppressed", "CONSENT: zalo-template, marketing: none recorded"),
        (change_phone, "suppressed", "ADDRESS_CHANGED: it is another one since the decision"),
        (deactivate, "suppressed", "PROFILE: it is inactive, production data"),
        (make_test, "suppressed", "PROFILE: it is active, test data"),
        (ask_for_more, "suppressed", "MISSING_VALUE: profile.city"),
        (expire, "expired", "it was no longer worth sending"),
        (garble_template, "dead_letter", "RENDER: data.amount: vnd needs an amount in đồng"),
        (change_name, "accepted", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
async def test_everything_is_asked_once_more_before_the_intent(
    site: Site, change: Any, state: str, reason: str
) -> None:
    person = await site.person()
    delivery_id = await site.delivery(person)
    await change(site, person)
    async with site.machine():
        await site.wait_for(**{state: 1})
    assert await site.outcome(delivery_id) == (state, reason)
    sent = state == "accepted"
    assert site.acceptances([delivery_id]) == [int(sent)]
    assert bool(await site.attempts(delivery_id)) == sent
    assert await site.breaches() == []


async def test_one_row_that_cannot_be_sent_holds_nobody_up(site: Site) -> None:
    silent = await site.delivery(await site.person(given_name=""))
    others = await site.deliveries(5)
    async with site.machine():
        await site.wait_for(suppressed=1, accepted=5)
    assert await site.outcome(silent) == ("suppressed", "MISSING_VALUE: profile.given_name")
    assert site.acceptances(others) == [1] * 5


async def test_what_has_its_time_later_waits(site: Site) -> None:
    person = await site.person()
    decision_id = await site.world.decision(
        person,
        account_id=site.account_id,
        template_id=site.template_id,
        not_before=datetime.now(UTC) + timedelta(hours=1),
    )
    await batch_dispatch(
        DispatchStore(site.database), Doorbell(""), site.world.tenant_id, [decision_id]
    )
    async with site.machine():
        await site.delivery()
        await site.wait_for(accepted=1, pending=1)
    assert await site.breaches() == []


async def test_secrets_that_do_not_open_are_no_fault_of_the_deliveries(
    site: Site,
) -> None:
    deliveries = await site.deliveries(2)
    stranger = replace(site, key_ring=KeyRing({"other": b"9" * 32}, "other"))
    claims = stranger.claims()
    for _ in range(6):
        claim = await claims.claim(site.world.tenant_id, site.account_id, 10)
        assert (claim.claimed, claim.broken) == ([], {})
    assert await site.states() == {"pending": 2}
    async with site.machine():
        await site.wait_for(accepted=2)
    assert site.acceptances(deliveries) == [1, 1]


async def test_a_message_that_comes_up_in_quiet_hours_waits_for_their_end(site: Site) -> None:
    """A retry, or the next choice, may come up in a night that the decision did not know of."""
    here = datetime.now(VIETNAM)
    end = (here + timedelta(hours=2)).replace(second=0, microsecond=0)
    quiet = [f"{here - timedelta(hours=1):%H:%M}", f"{end:%H:%M}"]
    choices = [
        choice(
            account_id=str(site.account_id),
            template_id=str(site.template_id),
            quiet_hours=quiet,
        )
    ]
    waits = await site.delivery(choices=choices, worth=timedelta(hours=8))
    ends = await site.delivery(choices=choices, worth=timedelta(hours=1))
    other = await site.delivery()
    async with site.machine():
        await site.wait_for(pending=1, expired=1, accepted=1)
    rows = await site.world.superuser.fetch(
        "SELECT delivery_id, state, reason, due_at, attempt_count FROM delivery_log"
    )
    by_id = {row["delivery_id"]: row for row in rows}
    assert by_id[waits]["due_at"] == end
    assert by_id[waits]["reason"] == "waits for quiet hours to end"
    assert by_id[ends]["reason"] == "quiet hours last longer than it is worth"
    assert (by_id[waits]["attempt_count"], by_id[ends]["attempt_count"]) == (0, 0)
    assert by_id[other]["state"] == "accepted"
