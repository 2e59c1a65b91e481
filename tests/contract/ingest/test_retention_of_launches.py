"""A launch goes person by person, and itself and its snapshot last; the books balance meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.ingest.shop import OLD, YOUNG, Shop, id_of, profile, removed

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from services.ingest.removal import Retention


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
