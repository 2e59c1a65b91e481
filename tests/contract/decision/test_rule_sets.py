"""What a process keeps in memory of what decides: never longer than it is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import SecretStr

from leo.decision.v1 import decision_service_pb2 as pb
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from services.decision.store import rule_sets
from services.decision.store.rule_sets import RuleSets
from tests.contract.decision.client import outcomes_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.decision.domain.rule_set import RuleSet
    from tests.conftest import DsnOf
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


@pytest.fixture
async def storage(dsn_of: DsnOf) -> AsyncIterator[Database]:
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.DECISION))), application_name="test"
    )
    yield opened
    await opened.close()


async def test_a_changed_segment_decides_from_the_next_event_on(
    client: Client, world: World
) -> None:
    await world.person("an")
    segment_id = await world.segment('profile.city == "Huế"')
    other_id = await world.segment("false")
    campaign_id = await client.active_campaign()
    await client.create_rule(world.rule(campaign_id, name="a", segment_id=segment_id))
    await client.create_rule(world.rule(campaign_id, name="b", segment_id=other_id))
    told = []
    for condition in ('profile.city == "Vinh"', "shoes", 'profile.city == "Huế"'):
        told.append(outcomes_of(await client.activate_event(await world.event("an"))))
        await world.change_segment(segment_id, condition)
    told.append(outcomes_of(await client.activate_event(await world.event("an"))))
    assert told == [
        ["ACTED", "NOT_IN_SEGMENT"],
        ["NOT_IN_SEGMENT", "NOT_IN_SEGMENT"],
        ["ERROR", "NOT_IN_SEGMENT"],
        ["ACTED", "NOT_IN_SEGMENT"],
    ]
    versions = {
        row["segment_version"]
        for row in await world.decisions()
        if str(row["segment_id"]) == segment_id
    }
    assert versions == {4, 5, 6, 7}


async def test_a_changed_time_zone_decides_from_the_next_event_on(
    client: Client, world: World
) -> None:
    await world.person("an")
    local = datetime.now(UTC) + timedelta(hours=14)
    start, end = (f"{local + timedelta(hours=shift):%H:%M}" for shift in (-2, 2))
    await client.create_rule(
        world.rule(await client.active_campaign(), quiet_hours=pb.QuietHours(start=start, end=end))
    )
    zones = ["Etc/UTC", "Pacific/Kiritimati", "Etc/UTC"]
    waits = []
    for zone in zones:
        await world.set_time_zone(zone)
        (told,) = (await client.activate_event(await world.event("an"))).decisions
        waits.append(told.HasField("not_before_time"))
    assert waits == [False, True, False]
    inputs = [orjson.loads(row["inputs"]) for row in await world.decisions()]
    assert sorted(each["time_zone"] for each in inputs) == sorted(zones)


async def test_the_tenants_that_were_asked_for_last_stay_in_memory(
    client: Client,
    world: World,
    other_world: World,
    storage: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_sets, "TENANT_COUNT_MAX", 1)
    await client.create_rule(world.rule(await client.active_campaign()))
    known = RuleSets()

    async def ask(of: World) -> RuleSet:
        async with storage.tenant(of.tenant_id) as connection:
            return (await known.moment(connection, of.tenant_id)).rules

    first = await ask(world)
    assert len(first.rules) == 1
    assert await ask(world) is first
    assert (await ask(other_world)).rules == ()
    again = await ask(world)
    assert again == first
    assert again is not first


async def test_rules_that_change_while_they_are_read_are_read_again_and_not_shown_before(
    client: Client, world: World, storage: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else who asks meanwhile, with the version of before, must not get the new rules."""
    rule = await client.create_rule(world.rule(await client.active_campaign()))
    known = RuleSets()
    read = rule_sets._rule_set
    found: list[RuleSet] = []
    shown: list[RuleSet] = []

    async def changed_while_read(connection: Any, *arguments: Any) -> RuleSet:
        shown.extend(known._known.values())
        found.append(await read(connection, *arguments))
        if len(found) == 1:
            await client.update_rule(pb.Rule(rule_id=rule.rule_id, priority=9), "priority")
        return found[-1]

    monkeypatch.setattr(rule_sets, "_rule_set", changed_while_read)
    async with storage.tenant(world.tenant_id) as connection:
        rules = (await known.moment(connection, world.tenant_id)).rules
    assert [each.version for each in found] == [2, 3]
    assert not shown
    assert rules is found[1]
    assert [each.terms.priority for each in rules.rules] == [9]
