"""What is older than its time goes as a whole, what anybody still needs stays."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid4, uuid7

from libs.postgres import roles
from libs.postgres.errors import DeadlinePassedError
from services.ingest.removal import Retention
from services.ingest.removal.batches import Batches
from services.ingest.settings import RemovalSettings, RetentionSettings
from tests.contract.database.rows import TABLES, fill

if TYPE_CHECKING:
    from libs.postgres.database import Database
    from tests.conftest import Connect, DsnOf

STORIES = timedelta(days=400)
VERSIONS = timedelta(days=500)
CONSENTS = timedelta(days=1000)
OLD = timedelta(days=401)
YOUNG = timedelta(days=399)


def id_of(age: timedelta) -> UUID:
    """A UUIDv7 of then."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    tail = uuid4().int & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | (uuid7().int & 0xFFF) << 64 | 1 << 63 | tail)


@dataclass
class Shop:
    """Writes rows of any age as the owner of a database would."""

    superuser: Any
    tenant_id: UUID

    async def insert(self, table: str, **values: Any) -> None:
        """One row; a timedelta is an age."""
        now = datetime.now(UTC)
        row = {
            name: now - value if isinstance(value, timedelta) and name != "cooldown" else value
            for name, value in ({"tenant_id": self.tenant_id} | values).items()
        }
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.superuser.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values()
        )

    async def event(self, age: timedelta) -> UUID:
        event_id: UUID = uuid4()
        await self.insert(
            "marketing_event",
            event_id=event_id,
            source="test",
            event_type="purchase",
            profile_ext_id="one",
            occurred_at=age,
            received_at=age,
            properties="{}",
            body_digest=bytes(32),
        )
        return event_id

    async def entry(self) -> UUID:
        """An audit entry for rows to name."""
        entry_id: UUID = uuid7()
        await self.insert(
            "audit_entry",
            entry_id=entry_id,
            kind="test",
            actor="test",
            call_id="",
            member_count=0,
            root=bytes(32),
            details="{}",
        )
        return entry_id

    async def decision(self, trigger_id: UUID, age: timedelta, **changes: Any) -> UUID:
        decision_id = id_of(age)
        values: dict[str, Any] = {
            "trigger_kind": "event",
            "profile_id": self.tenant_id,
            "profile_version": 1,
            "ordinal": 0,
            "rule_set_version": 1,
            "rule_id": self.tenant_id,
            "outcome": "acted",
            "reason": "test",
            "decided_at": age,
            "expires_at": age,
            "audit_entry_id": self.tenant_id,
            "leaf_no": 0,
        }
        await self.insert(
            "decision", decision_id=decision_id, trigger_id=trigger_id, **(values | changes)
        )
        return decision_id

    async def delivery(self, decision_id: UUID, age: timedelta, **changes: Any) -> UUID:
        """A delivery with an attempt and two receipts."""
        delivery_id = id_of(age)
        values: dict[str, Any] = {
            "choice": 0,
            "channel": "email",
            "account_id": self.tenant_id,
            "template_id": self.tenant_id,
            "profile_id": self.tenant_id,
            "profile_version": 1,
            "purpose": "marketing",
            "recipient_ref": "email:0",
            "dedupe_key": uuid4().bytes * 2,
            "state": "accepted",
            "attempt_count": 1,
            "due_at": age,
            "expires_at": age,
            "created_at": age,
            "updated_at": age,
        }
        await self.insert(
            "delivery_log",
            delivery_id=delivery_id,
            decision_id=decision_id,
            **(values | changes),
        )
        for phase, kind, leaf_no in (("intent", None, None), ("result", "accepted", 7)):
            await self.insert(
                "delivery_attempt",
                delivery_id=delivery_id,
                attempt=1,
                phase=phase,
                epoch=1,
                kind=kind,
                created_at=age,
                audit_entry_id=self.tenant_id if leaf_no else None,
                leaf_no=leaf_no,
            )
        for _ in range(2):
            await self.receipt(age, delivery_id=delivery_id)
        return delivery_id

    async def receipt(self, age: timedelta, **changes: Any) -> UUID:
        receipt_id = id_of(age)
        await self.insert(
            "delivery_receipt",
            receipt_id=receipt_id,
            account_id=self.tenant_id,
            receipt_digest=uuid4().bytes * 2,
            kind="delivered",
            received_at=age,
            **changes,
        )
        return receipt_id

    async def story(self, age: timedelta, **delivery: Any) -> UUID:
        """An event with an acting decision and what came of it; the event's id."""
        event_id = await self.event(age)
        await self.delivery(await self.decision(event_id, age), age, **delivery)
        return event_id

    async def counts(self) -> dict[str, int]:
        return {
            table: await self.superuser.fetchval(
                f"SELECT count(*) FROM {table} WHERE tenant_id = $1", self.tenant_id
            )
            for table in TABLES
        }

    async def event_ids(self) -> set[UUID]:
        """Those of the test; fill.sql's are young."""
        rows = await self.superuser.fetch(
            "SELECT event_id FROM marketing_event WHERE tenant_id = $1 AND event_type = 'purchase'",
            self.tenant_id,
        )
        return {row["event_id"] for row in rows}

    async def entries(self, kind: str = "rows_removed") -> list[dict[str, Any]]:
        rows = await self.superuser.fetch(
            "SELECT details FROM audit_entry WHERE tenant_id = $1 AND kind = $2 ORDER BY entry_id",
            self.tenant_id,
            kind,
        )
        return [json.loads(row["details"]) for row in rows]

    async def breaches(self) -> int:
        """Beside those of fill.sql, whose rows never balanced."""
        count: int = await self.superuser.fetchval(
            "SELECT count(*) FROM ledger_breach(interval '0') WHERE tenant_id = $1", self.tenant_id
        )
        return count


@pytest.fixture
async def shop(superuser: Any) -> Shop:
    return Shop(superuser, await fill(superuser))


def retention_of(database: Database, finder: Database, batch_count: int = 500) -> Retention:
    return Retention(
        database,
        finder,
        RetentionSettings(
            stories=STORIES,
            snapshots=STORIES,
            profile_versions=VERSIONS,
            consent_versions=CONSENTS,
        ),
        RemovalSettings(batch_count=batch_count, batch_pause=timedelta(0)),
    )


@pytest.fixture
def retention(database: Database, finder: Database) -> Retention:
    return retention_of(database, finder)


async def removed(retention: Retention, **options: Any) -> dict[str, int]:
    """What one run removed of the one tenant."""
    (report,) = await retention.remove(**options)
    assert report.problem == ""
    return report.row_counts


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


async def snapshot(shop: Shop, age: timedelta, *profile_ids: UUID) -> UUID:
    """A snapshot of these people, taken so long ago."""
    snapshot_id = id_of(age)
    numbers = [
        await shop.superuser.fetchval(
            "SELECT profile_no FROM cdp_profiles WHERE tenant_id = $1 AND profile_id = $2",
            shop.tenant_id,
            profile_id,
        )
        for profile_id in profile_ids
    ]
    async with shop.superuser.transaction():
        await shop.insert(
            "segment_snapshot_member",
            snapshot_id=snapshot_id,
            chunk_no=0,
            member_count=len(numbers),
            profile_nos=numbers,
            profile_versions=[1] * len(numbers),
            consent_keys=[],
            consents=b"",
        )
        await shop.insert(
            "segment_snapshot",
            snapshot_id=snapshot_id,
            segment_id=shop.tenant_id,
            segment_version=1,
            condition="true",
            member_count=len(numbers),
            digest=bytes(32),
            taken_at=age,
            audit_entry_id=shop.tenant_id,
        )
    return snapshot_id


async def launch(
    shop: Shop, snapshot_id: UUID, age: timedelta = OLD, state: str = "succeeded"
) -> UUID:
    """A launch to a snapshot, so long ago."""
    launch_id = id_of(age)
    await shop.insert(
        "campaign_launch",
        launch_id=launch_id,
        campaign_id=shop.tenant_id,
        rule_id=shop.tenant_id,
        rule_version=1,
        snapshot_id=snapshot_id,
        state=state,
        actor="test",
        created_at=age,
        updated_at=age,
    )
    return launch_id


async def sent(shop: Shop, launch_id: UUID, profile_id: UUID, state: str = "accepted") -> UUID:
    """What a launch sent to one person; the delivery's id."""
    decision_id = await shop.decision(launch_id, OLD, trigger_kind="launch", profile_id=profile_id)
    return await shop.delivery(decision_id, OLD, profile_id=profile_id, state=state)


async def of_launches(shop: Shop) -> list[str]:
    """What the ledger says of launches."""
    rows = await shop.superuser.fetch(
        "SELECT detail FROM ledger_launches_v1() WHERE tenant_id = $1", shop.tenant_id
    )
    return [row["detail"] for row in rows]


async def test_a_launch_goes_person_by_person_and_then_itself_with_its_snapshot(
    shop: Shop, retention: Retention
) -> None:
    people = [await profile(shop) for _ in range(3)]
    snapshot_id = await snapshot(shop, OLD, *people)
    launch_id = await launch(shop, snapshot_id)
    states = ("accepted", "outcome_unknown", "accepted")
    _, doubt, _ = [
        await sent(shop, launch_id, person, state)
        for person, state in zip(people, states, strict=True)
    ]
    breaches, ended_at = await shop.breaches(), await updated_at(shop, launch_id)
    assert await removed(retention) == {
        "decision": 2,
        "delivery_log": 2,
        "delivery_attempt": 4,
        "delivery_receipt": 4,
    }
    assert await shop.breaches() == breaches
    assert await of_launches(shop) == []
    assert await updated_at(shop, launch_id) == ended_at

    await shop.superuser.execute("ALTER TABLE delivery_log DISABLE TRIGGER update_timestamp")
    await shop.superuser.execute(
        "UPDATE delivery_log SET state = 'closed_unknown' WHERE delivery_id = $1", doubt
    )
    assert await removed(retention) == {
        "decision": 1,
        "delivery_log": 1,
        "delivery_attempt": 2,
        "delivery_receipt": 2,
        "campaign_launch": 1,
        "segment_snapshot": 1,
        "segment_snapshot_member": 1,
    }
    assert await of_launches(shop) == []
    assert (await shop.entries())[-1]["tables"]["segment_snapshot"] == {
        "row_count": 1,
        "snapshots": [str(snapshot_id)],
    }


async def updated_at(shop: Shop, launch_id: UUID) -> datetime:
    """When a launch ended, as its readers are told."""
    found: datetime = await shop.superuser.fetchval(
        "SELECT updated_at FROM campaign_launch WHERE launch_id = $1", launch_id
    )
    return found


async def test_a_launch_of_which_some_are_gone_is_still_counted(
    shop: Shop, retention: Retention
) -> None:
    people = [await profile(shop) for _ in range(3)]
    launch_id = await launch(shop, await snapshot(shop, OLD, *people))
    await sent(shop, launch_id, people[0])
    await sent(shop, launch_id, people[1], "outcome_unknown")
    missing = ["succeeded, and nothing is decided about 1 members"]
    assert await of_launches(shop) == missing
    assert (await removed(retention))["decision"] == 1
    assert await of_launches(shop) == missing
    for person in (people[0], people[2]):
        await sent(shop, launch_id, person)
    assert await of_launches(shop) == ["4 decisions about 3 members"]


async def test_a_launch_that_runs_keeps_whom_it_decided_about(
    shop: Shop, retention: Retention
) -> None:
    people = [await profile(shop) for _ in range(2)]
    launch_id = await launch(shop, await snapshot(shop, OLD, *people), state="running")
    await sent(shop, launch_id, people[0])
    # Taken away, the launch would send to this person again.
    assert await removed(retention) == {}
    await shop.superuser.execute(
        "UPDATE campaign_launch SET state = 'succeeded' WHERE launch_id = $1", launch_id
    )
    assert (await removed(retention))["decision"] == 1


async def test_a_launch_stays_until_it_has_ended_long_ago(shop: Shop, retention: Retention) -> None:
    people = [await profile(shop)]
    launch_id = await launch(shop, await snapshot(shop, OLD, *people), state="running")
    await shop.superuser.execute(
        "UPDATE campaign_launch SET state = 'succeeded' WHERE launch_id = $1", launch_id
    )
    assert await removed(retention) == {}


async def test_a_snapshot_goes_by_its_age_unless_a_launch_names_it(
    shop: Shop, retention: Retention
) -> None:
    person = await profile(shop)
    launched, _, young = [await snapshot(shop, age, person) for age in (OLD, OLD, YOUNG)]
    await launch(shop, launched, YOUNG)
    assert await removed(retention) == {"segment_snapshot": 1, "segment_snapshot_member": 1}
    rows = await shop.superuser.fetch(
        "SELECT snapshot_id FROM segment_snapshot WHERE snapshot_id <> tenant_id"
    )
    assert {row["snapshot_id"] for row in rows} == {launched, young}


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


async def profile(shop: Shop, *superseded: timedelta) -> UUID:
    """A person whose versions were each superseded so long ago, and one that holds."""
    profile_id: UUID = uuid7()
    await shop.insert(
        "cdp_profiles",
        profile_id=profile_id,
        ext_id=str(profile_id),
        version=len(superseded) + 1,
        state="active",
        context="test",
        document_digest=bytes(32),
    )
    for version, age in enumerate((timedelta(days=2000), *superseded), start=1):
        await shop.insert(
            "cdp_profile_version",
            profile_id=profile_id,
            version=version,
            document="{}",
            document_digest=bytes(32),
            created_at=age,
        )
    return profile_id


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
