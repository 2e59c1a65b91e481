"""What is older than its time goes as a whole, what anybody still needs stays."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
import structlog
from uuid_utils.compat import uuid7

from libs.postgres import roles
from libs.postgres.errors import DeadlinePassedError
from services.ingest.removal import Retention, TenantRemoval, removers_of
from services.ingest.removal import retention as removal
from services.ingest.removal.batches import Batches
from services.ingest.settings import RemovalSettings, RetentionSettings
from tests.contract.database.rows import fill
from tests.contract.ingest.shop import (
    CONSENTS,
    OLD,
    STORIES,
    VERSIONS,
    YOUNG,
    Shop,
    profile,
    removed,
    retention_of,
)

if TYPE_CHECKING:
    from libs.postgres.database import Database
    from tests.conftest import Connect, DsnOf


async def test_where_nothing_is_old_nothing_goes(shop: Shop, retention: Retention) -> None:
    before = await shop.counts()
    await shop.story(YOUNG)
    assert await removed(retention) == {}
    assert (await shop.counts())["marketing_event"] == before["marketing_event"] + 1
    assert await shop.entries() == []


async def test_a_story_goes_as_a_whole_and_the_books_balance(
    shop: Shop, retention: Retention
) -> None:
    before, breaches = await shop.counts(), await shop.breaches()
    await shop.story(OLD)
    no_rule = await shop.event(OLD)
    await shop.decision(no_rule, OLD, outcome="no_rule", rule_id=None)
    young = await shop.story(YOUNG)
    assert await removed(retention) == {
        "marketing_event": 2,
        "decision": 2,
        "delivery_log": 1,
        "delivery_attempt": 2,
        "delivery_receipt": 2,
    }
    assert await shop.event_ids() == {young}
    after = await shop.counts()
    for table, more in (("decision", 1), ("delivery_log", 1), ("delivery_receipt", 2)):
        assert after[table] == before[table] + more
    assert await shop.breaches() == breaches
    assert await removed(retention) == {}


async def test_many_stories_go_in_batches(database: Database, finder: Database, shop: Shop) -> None:
    for _ in range(12):
        await shop.story(OLD)
    held = await shop.story(OLD, state="outcome_unknown", in_doubt=True)
    for _ in range(5):
        await shop.story(OLD)
    assert (await removed(retention_of(database, finder, 3)))["marketing_event"] == 17
    assert await shop.event_ids() == {held}
    assert len(await shop.entries()) == 6
    (told,) = await shop.entries("retention_ended")
    assert told["row_counts"]["marketing_event"] == 17


@pytest.mark.parametrize("state", ["pending", "sending", "retry_wait", "outcome_unknown"])
async def test_a_delivery_that_is_not_at_rest_keeps_its_story(
    shop: Shop, retention: Retention, state: str
) -> None:
    lease = {"lease_until": OLD} if state == "sending" else {}
    event_id = await shop.story(OLD, state=state, **lease)
    assert await removed(retention) == {}
    assert await shop.event_ids() == {event_id}


async def test_one_that_came_to_rest_lately_keeps_its_story(
    shop: Shop, retention: Retention
) -> None:
    event_id = await shop.story(OLD, updated_at=YOUNG)
    assert await removed(retention) == {}
    assert await shop.event_ids() == {event_id}


async def test_a_story_is_kept_for_any_of_its_decisions(shop: Shop, retention: Retention) -> None:
    event_id = await shop.event(OLD)
    await shop.delivery(await shop.decision(event_id, OLD), OLD)
    second = await shop.decision(event_id, OLD, ordinal=1, rule_id=uuid7())
    await shop.delivery(second, OLD, state="outcome_unknown")
    assert await removed(retention) == {}
    await shop.superuser.execute(
        "UPDATE delivery_log SET state = 'accepted', updated_at = $2 WHERE decision_id = $1",
        second,
        datetime.now(UTC) - OLD,
    )
    # The trigger has set the time of the update: it counts from there.
    assert await removed(retention) == {}
    await shop.superuser.execute("ALTER TABLE delivery_log DISABLE TRIGGER update_timestamp")
    await shop.superuser.execute(
        "UPDATE delivery_log SET updated_at = $2 WHERE decision_id = $1",
        second,
        datetime.now(UTC) - OLD,
    )
    assert (await removed(retention))["decision"] == 2


async def test_what_waits_for_the_next_service_stays(shop: Shop, retention: Retention) -> None:
    undecided = await shop.event(OLD)
    undispatched = await shop.event(OLD)
    await shop.decision(undispatched, OLD)
    assert await removed(retention) == {}
    assert await shop.event_ids() == {undecided, undispatched}


async def test_a_cooldown_that_is_not_over_keeps_its_story(
    shop: Shop, retention: Retention
) -> None:
    for cooldown in (timedelta(days=400), timedelta(days=402)):
        event_id = await shop.event(OLD)
        decision_id = await shop.decision(event_id, OLD, cooldown=cooldown)
        await shop.delivery(decision_id, OLD)
    assert (await removed(retention))["decision"] == 1
    assert await shop.event_ids() == {event_id}


async def test_receipts_of_nobody_go_and_those_of_a_delivery_stay(
    shop: Shop, retention: Retention
) -> None:
    await shop.receipt(OLD)
    await shop.receipt(OLD, delivery_id=uuid7())
    young = await shop.receipt(YOUNG)
    await shop.story(OLD, state="outcome_unknown")
    assert await removed(retention) == {"delivery_receipt": 2}
    assert await shop.superuser.fetchval(
        "SELECT true FROM delivery_receipt WHERE receipt_id = $1", young
    )


async def versions(shop: Shop, table: str, profile_id: UUID) -> list[int]:
    rows = await shop.superuser.fetch(
        f"SELECT version FROM {table} WHERE profile_id = $1 ORDER BY version", profile_id
    )
    return [row["version"] for row in rows]


async def test_versions_of_a_profile_go_by_when_they_were_superseded_and_the_newest_never(
    shop: Shop, retention: Retention
) -> None:
    old, young = VERSIONS + timedelta(days=1), VERSIONS - timedelta(days=1)
    changed = await profile(shop, old + timedelta(days=9), old, young)
    unchanged = await profile(shop)
    assert await removed(retention) == {"cdp_profile_version": 2}
    assert await versions(shop, "cdp_profile_version", changed) == [3, 4]
    assert await versions(shop, "cdp_profile_version", unchanged) == [1]


async def test_a_version_that_a_story_names_stays_with_it(shop: Shop, retention: Retention) -> None:
    profile_id = await profile(shop, *([VERSIONS + timedelta(days=1)] * 3))
    named = await shop.decision(
        uuid7(), YOUNG, outcome="no_rule", rule_id=None, profile_id=profile_id, profile_version=2
    )
    assert await removed(retention) == {"cdp_profile_version": 2}
    assert await versions(shop, "cdp_profile_version", profile_id) == [2, 4]
    assert named


async def consent(shop: Shop, *superseded: timedelta) -> UUID:
    """The versions of a consent of nobody any more: its record outlives the person."""
    profile_id: UUID = uuid7()
    for version, age in enumerate((timedelta(days=3000), *superseded), start=1):
        await shop.insert(
            "profile_consent_version",
            profile_id=profile_id,
            channel="email",
            purpose="marketing",
            version=version,
            state="granted",
            evidence="form",
            consented_at=age,
            created_at=age,
            actor="test",
            audit_entry_id=shop.tenant_id,
            leaf_no=version,
        )
    return profile_id


async def test_versions_of_a_consent_go_and_the_last_one_never(
    shop: Shop, retention: Retention
) -> None:
    old, young = CONSENTS + timedelta(days=1), CONSENTS - timedelta(days=1)
    changed = await consent(shop, old, young)
    withdrawn = await consent(shop, old)
    only = await consent(shop)
    assert await removed(retention) == {"profile_consent_version": 2}
    table = "profile_consent_version"
    assert await versions(shop, table, changed) == [2, 3]
    assert await versions(shop, table, withdrawn) == [2]
    assert await versions(shop, table, only) == [1]


async def test_the_audit_names_what_went_by_entry_and_leaf(
    shop: Shop, retention: Retention
) -> None:
    first, second = sorted([await shop.entry(), await shop.entry()])
    leaves = [(first, 0), (first, 1), (first, 3), (second, 0), (second, 1)]
    for entry_id, leaf_no in leaves:
        event_id = await shop.event(OLD)
        await shop.decision(
            event_id,
            OLD,
            outcome="no_rule",
            rule_id=None,
            audit_entry_id=entry_id,
            leaf_no=leaf_no,
        )
    unsent = await shop.decision(await shop.event(OLD), OLD, audit_entry_id=second, leaf_no=2)
    delivery_id = await shop.delivery(unsent, OLD, state="suppressed")
    await removed(retention)
    (details,) = await shop.entries()
    before = datetime.fromisoformat(details["before"])
    assert abs(datetime.now(UTC) - STORIES - before) < timedelta(minutes=1)
    assert details["cause"] == "retention"
    assert details["tables"]["decision"] == {
        "row_count": 6,
        "rows": [[str(first), 0, 1], [str(first), 3, 3], [str(second), 0, 2]],
    }
    assert details["tables"]["delivery_attempt"] == {
        "row_count": 2,
        "rows": [[str(shop.tenant_id), 7, 7]],
    }
    assert details["tables"]["delivery_log"] == {
        "row_count": 1,
        "deliveries": [str(delivery_id)],
    }
    assert details["tables"]["marketing_event"] == {"row_count": 6}


async def test_a_dry_run_tells_the_same_and_takes_it_back(
    database: Database, finder: Database, shop: Shop
) -> None:
    for _ in range(4):
        await shop.story(OLD)
    await profile(shop, VERSIONS + timedelta(days=1))
    before = await shop.counts()
    told = await removed(retention_of(database, finder, 3), dry_run=True)
    assert await shop.counts() == before
    assert await removed(retention_of(database, finder, 3)) == told
    assert told["marketing_event"] == 4


async def test_other_tenants_and_those_that_go_are_left_alone(
    database: Database, finder: Database, superuser: Any, shop: Shop
) -> None:
    other = Shop(superuser, await fill(superuser))
    going = Shop(superuser, await fill(superuser))
    for each in (shop, going):
        await each.story(OLD)
    await superuser.execute(
        "UPDATE tenant SET state = 'removing' WHERE tenant_id = $1", going.tenant_id
    )
    await superuser.execute(
        "UPDATE tenant SET state = 'suspended' WHERE tenant_id = $1", shop.tenant_id
    )
    before, left = await other.counts(), await going.counts()
    reports = await retention_of(database, finder).remove()
    counts = {report.tenant_id: report.row_counts for report in reports}
    assert set(counts) == {shop.tenant_id, other.tenant_id}
    assert counts[other.tenant_id] == {}
    assert counts[shop.tenant_id]["marketing_event"] == 1
    assert await other.counts() == before
    assert await going.counts() == left


async def test_one_tenants_trouble_is_not_the_others(
    database: Database, finder: Database, superuser: Any, shop: Shop
) -> None:
    other = Shop(superuser, await fill(superuser))
    for each in (shop, other):
        await each.story(OLD)
    # A defect: a delivery that hangs on a decision of another story.
    await superuser.execute(
        "ALTER TABLE delivery_log ADD CONSTRAINT resend_fkey FOREIGN KEY (tenant_id, resend_of)"
        " REFERENCES delivery_log (tenant_id, delivery_id)"
    )
    told = await shop.superuser.fetchval(
        "SELECT delivery_id::text FROM delivery_log WHERE tenant_id = $1 AND state = 'accepted'",
        shop.tenant_id,
    )
    await superuser.execute(
        "UPDATE delivery_log SET resend_of = $2 WHERE tenant_id = $1 AND state = 'pending'",
        shop.tenant_id,
        UUID(told),
    )
    reports = {report.tenant_id: report for report in await retention_of(database, finder).remove()}
    assert reports[shop.tenant_id].problem == "ForeignKeyViolationError"
    assert reports[shop.tenant_id].row_counts == {}
    assert reports[other.tenant_id].row_counts["marketing_event"] == 1


@pytest.mark.parametrize(
    "function",
    [
        "remove_stories_v1",
        "remove_launches_v1",
        "remove_snapshots_v1",
        "remove_receipts_v1",
        "remove_profile_versions_v1",
        "remove_consent_versions_v1",
    ],
)
async def test_the_door_lets_nothing_young_pass(
    shop: Shop, connect: Connect, function: str
) -> None:
    await shop.story(timedelta(days=29))
    call = f"SELECT {function}($1, leo_now() - $2::interval, $3, 500)"
    async with connect(roles.INGEST) as ingest:
        for age in (timedelta(days=29), timedelta(0), None):
            async with ingest.transaction():
                await ingest.fetchval("SELECT enter_tenant_v1($1, 5000)", shop.tenant_id)
                with pytest.raises(asyncpg.InvalidParameterValueError):
                    await ingest.fetchval(call, uuid7(), age, UUID(int=0))
        async with ingest.transaction():
            await ingest.fetchval("SELECT enter_tenant_v1($1, 5000)", shop.tenant_id)
            told = await ingest.fetchval(call, uuid7(), timedelta(days=30), UUID(int=0))
    assert json.loads(told) == {"last": None, "row_counts": {}}


async def test_without_a_tenant_the_door_finds_nothing(shop: Shop, connect: Connect) -> None:
    await shop.story(OLD)
    async with connect(roles.INGEST) as ingest:
        told = await ingest.fetchval(
            "SELECT remove_stories_v1($1, leo_now() - interval '400 days', $2, 500)",
            uuid7(),
            UUID(int=0),
        )
    assert json.loads(told)["row_counts"] == {}


async def test_who_works_removes_day_by_day_and_says_so(
    shop: Shop, database: Database, finder: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "JITTER", timedelta(0))
    monkeypatch.setattr(removal, "INTERVAL", timedelta(0))
    await shop.story(OLD)
    _, retention = removers_of(
        database, finder, RetentionSettings(), RemovalSettings(batch_pause=timedelta(0))
    )
    with structlog.testing.capture_logs() as logs:
        working = asyncio.create_task(retention.run())
        try:
            while len(ran := [log for log in logs if log["event"] == "retention ran"]) < 2:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        finally:
            working.cancel()
    assert [log["row_count"] for log in ran[:2]] == [7, 0]
    assert {log["tenant_count"] for log in ran} == {1}


def test_without_the_daily_run_nothing_goes_by_itself(database: Database, finder: Database) -> None:
    (remover,) = removers_of(database, finder, RetentionSettings(daily=False), RemovalSettings())
    assert isinstance(remover, TenantRemoval)


async def test_a_batch_that_takes_too_long_is_tried_smaller() -> None:
    batches = Batches(400)
    sizes: list[int] = []

    async def slow(count: int) -> int:
        sizes.append(count)
        if count > 120:
            raise DeadlinePassedError
        return count

    assert await batches.run(slow) == 100
    assert sizes == [400, 200, 100]
    assert await batches.run(slow) == 100
    assert sizes[3:] == [200, 100]

    async def never(count: int) -> int:
        raise DeadlinePassedError

    with pytest.raises(DeadlinePassedError):
        await batches.run(never)


@pytest.mark.parametrize("name", ["stories", "profile_versions", "consent_versions"])
def test_a_time_that_the_door_would_refuse_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RetentionSettings.model_validate({name: timedelta(days=29)})


def test_versions_are_kept_at_least_as_long_as_the_stories_that_name_them() -> None:
    with pytest.raises(ValueError, match="LEO_RETENTION_PROFILE_VERSIONS must be at least"):
        RetentionSettings(stories=timedelta(days=500))


@pytest.mark.parametrize("arguments", [["retain", "--dry-run"], ["retain"]])
async def test_the_command_tells_what_it_did_as_json(
    shop: Shop, dsn_of: DsnOf, arguments: list[str]
) -> None:
    await shop.story(OLD)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ingest", *arguments),
        env=os.environ
        | {
            "LEO_POSTGRES_DSN": dsn_of(roles.INGEST),
            "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    (report,) = json.loads(output)
    assert report["tenant_id"] == str(shop.tenant_id)
    assert report["name"] == f"tenant-{shop.tenant_id}"
    assert report["row_counts"]["marketing_event"] == 1
    assert len(await shop.event_ids()) == len(arguments) - 1
