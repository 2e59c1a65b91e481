"""For a suspended tenant nothing is handed to a provider, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.dispatch.channels.contract import SendResult

if TYPE_CHECKING:
    from tests.contract.dispatch.machines import Site

DELIVERY_COUNT = 30
BEGAN_BEFORE = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = 'leo_dispatch' AND xact_start < $1"
)
ACCEPTED = SendResult(kind="accepted", provider_class="OK", code="0", provider_message_id="m-1")


async def set_state(site: Site, state: str) -> None:
    await site.world.superuser.execute("UPDATE tenant SET state = $1", state)


@pytest.mark.parametrize("state", ["suspended", "removing", "removed"])
async def test_nothing_is_claimed_for_a_tenant_that_is_not_active(site: Site, state: str) -> None:
    await site.deliveries(3)
    await set_state(site, state)
    assert await site.claim() == {}
    assert await site.states() == {"pending": 3}


async def test_what_waits_is_no_breach(site: Site) -> None:
    await site.deliveries(2)
    assert len(await site.breaches()) == 2
    await set_state(site, "suspended")
    assert await site.breaches() == []
    await set_state(site, "active")
    assert len(await site.breaches()) == 2


async def test_a_backlog_waits_while_its_tenant_is_suspended_and_goes_out_once(
    site: Site,
) -> None:
    await site.world.superuser.execute("UPDATE channel_account SET concurrent_send_count_max = 1")
    delivery_ids = await site.deliveries(DELIVERY_COUNT)
    async with site.machine(claim_count_max=1):
        while await site.count("accepted") < 3:
            pass
        await set_state(site, "suspended")
        # A claim that had begun ends as ever.
        now = await site.world.superuser.fetchval("SELECT clock_timestamp()")
        while await site.world.superuser.fetchval(BEGAN_BEFORE, now) or await site.count("sending"):
            pass
        waiting = await site.count("pending")
        assert waiting > 0
        accepted = await site.count("accepted")
        assert accepted + waiting == DELIVERY_COUNT
        assert sum(site.acceptances(delivery_ids)) == accepted
        assert await site.claim() == {}
        assert await site.count("pending") == waiting
        await set_state(site, "active")
        await site.wait_for(accepted=DELIVERY_COUNT)
    assert site.acceptances(delivery_ids) == [1] * DELIVERY_COUNT
    assert await site.breaches() == []


async def test_time_goes_on_for_what_waits(site: Site) -> None:
    early, late = await site.deliveries(2)
    await set_state(site, "suspended")
    assert await site.claim() == {}
    await site.world.superuser.execute(
        "UPDATE delivery_log SET expires_at = leo_now() WHERE delivery_id = $1", early
    )
    await set_state(site, "active")
    async with site.machine():
        await site.wait_for(expired=1, accepted=1)
    assert (await site.outcome(late))[0] == "accepted"
    assert site.acceptances([early, late]) == [0, 1]


@pytest.mark.parametrize("state", ["suspended", "removing"])
async def test_a_call_that_was_made_is_written_down_all_the_same(site: Site, state: str) -> None:
    answered, unheard = await site.deliveries(2)
    claimed = await site.claim(lease=timedelta(milliseconds=1))
    await set_state(site, state)
    await site.results().write(site.world.tenant_id, [(claimed[answered], ACCEPTED)])
    await site.let_leases_run_out()
    assert (await site.outcome(answered))[0] == "accepted"
    assert (await site.outcome(unheard))[0] == "outcome_unknown"
