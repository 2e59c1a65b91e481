"""What a restored backup means for deliveries: a doubt stays one, whatever was to be tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.dispatch.channels.contract import SendResult
from services.dispatch.machine import restored, results, transitions
from tests.contract.dispatch.test_machine_results import assert_audited

if TYPE_CHECKING:
    import pytest

    from tests.contract.dispatch.machines import Site

ACCEPTED = SendResult(kind="accepted", provider_class="OK", code="0", provider_message_id="m-1")


async def test_what_was_being_sent_is_in_doubt_whatever_its_lease(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = await site.deliveries(3)
    assert set(await site.claim()) == set(sending)
    waiting = await site.deliveries(2)
    # Also where the provider knows the key: how long, the backup cannot tell.
    monkeypatch.setattr(transitions, "knows_key", lambda _: True)
    monkeypatch.setattr(results, "EXPIRED_COUNT_MAX", 2)
    monkeypatch.setattr(restored, "EXPIRED_COUNT_MAX", 2)
    for _ in range(2):  # the second time there is nothing to do
        await restored.end_doubts(site.database, site.finder)
        assert await site.states() == {"outcome_unknown": 3, "pending": 2}
    for delivery_id in sending:
        state, reason = await site.outcome(delivery_id)
        assert (state, "backup" in reason) == ("outcome_unknown", True)
        assert await site.attempts(delivery_id) == [
            (1, "intent", None, ""),
            (1, "result", "unknown", "lease"),
        ]
    await assert_audited(site)
    # As the ledger sees a stack in which these two are held back.
    await site.world.superuser.execute("UPDATE tenant SET state = 'suspended'")
    assert await site.breaches() == []
    await site.world.superuser.execute("UPDATE tenant SET state = 'active'")
    async with site.machine():
        await site.wait_for(outcome_unknown=3, accepted=2)
    assert site.acceptances(sending + waiting) == [0, 0, 0, 1, 1]


async def test_a_worker_of_then_that_is_heard_of_after_all_still_counts(site: Site) -> None:
    (delivery_id,) = await site.deliveries(1)
    claimed = await site.claim()
    await restored.end_doubts(site.database, site.finder)
    await site.results().write(site.world.tenant_id, [(claimed[delivery_id], ACCEPTED)])
    assert (await site.outcome(delivery_id))[0] == "accepted"
    assert await site.breaches() == []


async def test_what_was_to_be_tried_again_waits_only_without_a_doubt(site: Site) -> None:
    sure, doubted = await site.deliveries(2)
    claimed = await site.claim()
    later = SendResult(kind="retry_at", provider_class="R", code="-100", reason="for now")
    await site.results().write(site.world.tenant_id, [(claimed[sure], later)])
    # As a channel whose provider knows the key leaves it.
    unknown = SendResult(kind="unknown", provider_class="AMB", code="http_500", reason="who knows")
    await site.results().write(site.world.tenant_id, [(claimed[doubted], unknown)])
    await site.world.superuser.execute(
        "UPDATE delivery_log SET state = 'retry_wait' WHERE delivery_id = $1 AND in_doubt", doubted
    )
    await restored.end_doubts(site.database, site.finder)
    assert (await site.outcome(sure))[0] == "retry_wait"
    state, reason = await site.outcome(doubted)
    assert (state, "backup" in reason) == ("outcome_unknown", True)
    named = await site.world.superuser.fetchval(
        "SELECT details -> 'deliveries' -> 0 ->> 0 FROM audit_entry WHERE kind = 'deliveries_ended'"
    )
    assert named == str(doubted)
