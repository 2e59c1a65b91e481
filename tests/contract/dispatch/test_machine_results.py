"""Results under the fence, leases that run out, and answers that come late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libs import audit
from libs.postgres.errors import StorageUnavailableError
from services.dispatch.channels.contract import SendResult
from services.dispatch.channels.zalo_template import ZaloTemplate
from services.dispatch.machine.results import Results, leaf_of
from tests.contract.dispatch.machines import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.dispatch.machine.claim import Claimed
    from tests.contract.dispatch.machines import Site

ACCEPTED = SendResult(kind="accepted", provider_class="OK", code="0", provider_message_id="m1")
REJECTED = SendResult(kind="rejected", provider_class="P", code="-118", reason="not reachable")
LATER = SendResult(kind="retry_at", provider_class="R", code="-100", reason="for now")
UNKNOWN = SendResult(kind="unknown", provider_class="AMB", code="http_500", reason="who knows")
BY_KIND = {result.kind: result for result in (ACCEPTED, REJECTED, LATER, UNKNOWN)}
NO_WAIT = {"backoff_min": timedelta(0), "backoff_max": timedelta(0)}
LONG_WAIT = {"backoff_min": timedelta(hours=1), "backoff_max": timedelta(hours=1)}


async def write(site: Site, *results: tuple[Claimed, SendResult], **changes: Any) -> None:
    await site.results(**(LONG_WAIT | changes)).write(site.world.tenant_id, results)


async def assert_audited(site: Site) -> None:
    """Each end of an attempt is a leaf of its entry, and each entry has exactly its leaves."""
    entries = await site.world.superuser.fetch(
        "SELECT entry_id, member_count, root FROM audit_entry"
        " WHERE recorded_table = 'delivery_attempt'"
    )
    for entry in entries:
        rows = await site.world.superuser.fetch(
            "SELECT tenant_id, delivery_id, attempt, phase, epoch, kind, provider_class,"
            " provider_code, provider_message_id, reason, created_at, leaf_no, salt"
            " FROM delivery_attempt WHERE audit_entry_id = $1 ORDER BY leaf_no",
            entry["entry_id"],
        )
        assert [row["leaf_no"] for row in rows] == list(range(entry["member_count"]))
        recorded = [dict(row) for row in rows]
        leaves = []
        for row in recorded:
            tenant_id, salt, _ = row.pop("tenant_id"), row.pop("salt"), row.pop("leaf_no")
            leaves.append(leaf_of(tenant_id, row, salt))
        assert audit.root(leaves) == entry["root"]
    unaudited = await site.world.superuser.fetchval(
        "SELECT count(*) FROM delivery_attempt WHERE phase <> 'intent' AND audit_entry_id IS NULL"
    )
    assert unaudited == 0


async def test_a_worker_that_does_not_come_back_leaves_a_doubt(site: Site) -> None:
    delivery_id = await site.delivery()
    await site.claim(lease=AT_ONCE)
    async with site.machine():
        await site.wait_for(outcome_unknown=1)
    assert await site.attempts(delivery_id) == [
        (1, "intent", None, ""),
        (1, "result", "unknown", "lease"),
    ]
    assert site.acceptances([delivery_id]) == [0]
    assert await imbalances(site) == []
    await assert_audited(site)


async def test_a_lease_that_runs_is_left_alone(site: Site) -> None:
    await site.delivery()
    await site.claim()
    await site.results().reconcile(site.world.tenant_id)
    assert await site.states() == {"sending": 1}


async def imbalances(site: Site) -> list[Any]:
    """What does not balance; no machine runs here, so what is due again waits (A3)."""
    return [breach for breach in await site.breaches() if breach["equation"] != "A3"]


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (ACCEPTED, "accepted"),
        (REJECTED, "failed"),
        (LATER, "retry_wait"),
        (UNKNOWN, "outcome_unknown"),
    ],
    ids=lambda value: value.kind if isinstance(value, SendResult) else None,
)
async def test_a_late_answer_speaks_for_its_attempt(
    site: Site, result: SendResult, state: str
) -> None:
    delivery_id, other_id = await site.deliveries(2)
    claimed = await site.claim(lease=AT_ONCE)
    await site.let_leases_run_out()
    await write(site, (claimed[delivery_id], result), (claimed[other_id], UNKNOWN))
    assert (await site.outcome(delivery_id))[0] == state
    assert [attempt[:3] for attempt in await site.attempts(delivery_id)] == [
        (1, "intent", None),
        (1, "result", "unknown"),
        (1, "late", result.kind),
    ]
    assert (await site.outcome(other_id))[0] == "outcome_unknown"
    assert await imbalances(site) == []
    await assert_audited(site)


@pytest.mark.parametrize("result", BY_KIND.values(), ids=BY_KIND)
async def test_a_result_that_is_written_again_after_a_commit_in_doubt_changes_nothing(
    site: Site, result: SendResult
) -> None:
    delivery_id, other_id = await site.deliveries(2)
    claimed = await site.claim()
    done = (claimed[delivery_id], result)
    await write(site, done)
    before = await site.row(delivery_id)
    await write(site, done, (claimed[other_id], ACCEPTED))
    assert await site.row(delivery_id) == before
    assert [attempt[1] for attempt in await site.attempts(delivery_id)] == ["intent", "result"]
    assert (await site.outcome(other_id))[0] == "accepted"
    assert await imbalances(site) == []
    await assert_audited(site)


async def test_a_late_answer_that_is_written_again_changes_nothing(site: Site) -> None:
    delivery_id = await site.delivery()
    claimed = await site.claim(lease=AT_ONCE)
    await site.let_leases_run_out()
    for _ in range(2):
        await write(site, (claimed[delivery_id], REJECTED))
    assert [attempt[1] for attempt in await site.attempts(delivery_id)] == [
        "intent",
        "result",
        "late",
    ]
    assert await imbalances(site) == []
    await assert_audited(site)


async def test_only_the_epoch_of_the_claim_may_write(site: Site) -> None:
    delivery_id = await site.delivery()
    first = await site.claim()
    await write(site, (first[delivery_id], LATER), **NO_WAIT)
    second = await site.claim()
    await write(site, (first[delivery_id], REJECTED))
    assert (await site.outcome(delivery_id))[0] == "sending"
    await write(site, (second[delivery_id], ACCEPTED))
    assert (await site.outcome(delivery_id))[0] == "accepted"
    assert await imbalances(site) == []


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zalo, if it took a key."""
    capabilities = replace(ZaloTemplate.capabilities, idempotency=timedelta(hours=1))
    monkeypatch.setattr(ZaloTemplate, "capabilities", capabilities)


@pytest.mark.usefixtures("keyed")
@pytest.mark.parametrize("late_comes", ["before the second claim", "in between", "after"])
@pytest.mark.parametrize(
    ("late", "second", "end"),
    [
        (ACCEPTED, REJECTED, "accepted"),
        (ACCEPTED, UNKNOWN, "accepted"),
        (REJECTED, REJECTED, "failed"),
        (REJECTED, ACCEPTED, "accepted"),
        (UNKNOWN, REJECTED, "outcome_unknown"),
    ],
    ids=lambda value: value.kind if isinstance(value, SendResult) else None,
)
async def test_with_a_key_a_doubt_is_sent_again_and_late_answers_still_count(
    site: Site, late_comes: str, late: SendResult, second: SendResult, end: str
) -> None:
    delivery_id = await site.delivery()
    first = await site.claim(lease=AT_ONCE)
    await site.let_leases_run_out(**NO_WAIT)
    assert (await site.outcome(delivery_id))[0] == "retry_wait"
    if late_comes == "before the second claim":
        await write(site, (first[delivery_id], late), **NO_WAIT)
    again = await site.claim()
    if late_comes == "in between":
        await write(site, (first[delivery_id], late))
    if again:
        assert again[delivery_id].message.reference == str(delivery_id)
        await write(site, (again[delivery_id], second), attempt_count_max=2)
    if late_comes == "after":
        await write(site, (first[delivery_id], late))
    if not again:
        # The late answer was the last word.
        end = {"accepted": "accepted", "rejected": "failed"}[late.kind]
    assert (await site.outcome(delivery_id))[0] == end
    assert await imbalances(site) == []


async def test_results_are_kept_for_as_long_as_the_database_is_away(site: Site) -> None:
    delivery_id = await site.delivery()

    class Away(Results):
        """Away until the lease ran out and the reconciler said so."""

        async def write(self, tenant_id: UUID, done: Sequence[tuple[Claimed, SendResult]]) -> None:
            async with site.database.tenant(tenant_id) as connection:
                state = await connection.fetchval("SELECT state FROM delivery_log")
            if state == "sending":
                raise StorageUnavailableError
            await super().write(tenant_id, done)

    away = Away(site.database, site.settings())
    async with site.machine(results=away, lease=timedelta(milliseconds=300)):
        await site.wait_for(accepted=1)
    assert [attempt[1:3] for attempt in await site.attempts(delivery_id)] == [
        ("intent", None),
        ("result", "unknown"),
        ("late", "accepted"),
    ]
    assert await imbalances(site) == []


async def test_a_result_that_cannot_be_written_holds_no_other_up(site: Site) -> None:
    bad_id, *others = await site.deliveries(4)
    await site.world.superuser.execute(
        "CREATE FUNCTION refuse_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.delivery_id = '{bad_id}' AND NEW.kind = 'accepted'"
        " THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$"
    )
    await site.world.superuser.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON delivery_attempt"
        " FOR EACH ROW EXECUTE FUNCTION refuse_v1()"
    )
    async with site.machine(lease=timedelta(seconds=1)):
        await site.wait_for(accepted=3, outcome_unknown=1)
    assert (await site.attempts(bad_id))[1] == (1, "result", "unknown", "lease")
    assert site.acceptances(others) == [1, 1, 1]
    assert await imbalances(site) == []
