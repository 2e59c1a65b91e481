"""ActivateEvent and BatchActivate: what is decided, stored and told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import InvalidError, MissingError
from services.decision.domain.deciding import hold_out_bucket
from tests.contract.decision.client import outcomes_of
from tests.contract.decision.world import CHANNEL, PURPOSE, hours

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import Bell, ClientOf, Serve
    from tests.contract.decision.world import World


def reason_of(result: pb.ActivationResult) -> str:
    """The reason of the error that stands in the place of decisions."""
    info = ErrorInfo()
    result.error.details[0].Unpack(info)
    return str(info.reason)


async def test_an_event_that_no_rule_is_about_has_a_decision_that_says_so(
    client: Client, world: World, bell: Bell
) -> None:
    profile_id = await world.person("an")
    event_id = await world.event("an")
    result = await client.activate_event(event_id)
    assert (result.event_id, result.duplicate) == (str(event_id), False)
    assert outcomes_of(result) == ["NO_RULE"]
    (told,) = result.decisions
    assert told.reason == 'no active rule is about events of type "purchase"'
    assert (told.ordinal, told.rule_id, told.rule_version) == (0, "", 0)
    assert (told.profile_id, told.profile_version) == (str(profile_id), 2)
    (stored,) = await world.decisions()
    assert (stored["decision_id"], stored["trigger_id"]) == (UUID(told.decision_id), event_id)
    assert (stored["outcome"], stored["reason"]) == ("no_rule", told.reason)
    assert (stored["rule_set_version"], stored["choices"]) == (0, "[]")
    assert not bell.rung


@pytest.mark.parametrize(
    "columns", [None, {"state": "merged"}, {"state": "inactive"}, {"context": "test"}]
)
async def test_an_event_of_nobody_who_may_be_reached_has_a_decision_that_says_so(
    client: Client, world: World, columns: dict[str, Any] | None
) -> None:
    await client.create_rule(world.rule(await client.active_campaign()))
    profile_id = await world.person("an", **columns) if columns else None
    result = await client.activate_event(await world.event("an"))
    assert outcomes_of(result) == ["NO_PROFILE"]
    assert result.decisions[0].profile_id == (str(profile_id) if profile_id else "")
    # It is final, also when there is somebody afterwards.
    if columns is None:
        await world.person("an")
        again = await client.activate_event(result.event_id)
        assert (list(again.decisions), again.duplicate) == (list(result.decisions), True)


async def test_an_acting_decision_is_stored_with_everything_that_dispatch_and_replay_need(
    client: Client, world: World, bell: Bell
) -> None:
    profile_id = await world.person("an")
    segment_id = await world.segment('profile.city == "Huế"')
    campaign_id = await client.active_campaign()
    rule = await client.create_rule(
        world.rule(
            campaign_id,
            segment_id=segment_id,
            condition="event.properties.amount > 5",
            cooldown=hours(36),
            time_to_live=hours(2),
            hold_out_percent=0,
        )
    )
    before = datetime.now(UTC)
    event_id = await world.event("an", amount=6.5)
    result = await client.activate_event(event_id)
    assert (outcomes_of(result), result.duplicate) == (["ACTED"], False)
    (told,) = result.decisions
    assert (told.rule_id, told.rule_version) == (rule.rule_id, 1)
    assert not told.HasField("not_before_time")
    (stored,) = await world.decisions()
    now = stored["decided_at"]
    assert abs((now - before).total_seconds()) < 60
    assert told.decide_time.ToDatetime(tzinfo=UTC) == now
    assert UUID(told.decision_id).version == 7
    choice = {
        "choice": 0,
        "channel": CHANNEL,
        "purpose": PURPOSE,
        "template_id": world.choice.template_id,
        "account_id": world.choice.account_id,
        "recipient_ref": "phone:0",
    }
    inputs = orjson.loads(stored["inputs"])
    assert inputs.pop("event_id") == str(event_id)
    assert datetime.fromisoformat(inputs["now"]) == now
    assert inputs["condition"] == {"event": {"properties": {"amount": 6.5}}}
    assert inputs["segment"] == {"profile": {"city": "Huế"}}
    assert inputs["consents"] == {CHANNEL: "granted"}
    assert inputs["hold_out_bucket"] == hold_out_bucket(UUID(rule.rule_id), profile_id)
    columns = {
        "decision_id": UUID(told.decision_id),
        "trigger_kind": "event",
        "trigger_id": event_id,
        "profile_id": profile_id,
        "profile_version": 2,
        "ordinal": 0,
        "rule_set_version": 2,
        "campaign_id": UUID(campaign_id),
        "rule_id": UUID(rule.rule_id),
        "rule_version": 1,
        "segment_id": UUID(segment_id),
        "segment_version": 4,
        "outcome": "acted",
        "reason": "every check passed",
        "not_before": None,
        "expires_at": now + timedelta(hours=2),
        "cooldown": timedelta(hours=36),
    }
    assert {name: stored[name] for name in columns} == columns
    assert orjson.loads(stored["choices"]) == [choice]
    assert bell.rung == [(world.tenant_id, [stored["decision_id"]])]


@pytest.mark.parametrize("missing", ["rule_id", "profile_id", "expires_at"])
async def test_the_database_takes_no_acting_decision_that_dispatch_could_not_carry_out(
    client: Client, world: World, connect: Connect, missing: str
) -> None:
    await world.person("an")
    await client.create_rule(world.rule(await client.active_campaign()))
    await client.activate_event(await world.event("an"))
    (stored,) = await world.decisions()
    row = dict(stored) | {"decision_id": uuid4(), "trigger_id": uuid4(), missing: None}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    async with connect("postgres") as superuser:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await superuser.execute(
                f"INSERT INTO decision ({', '.join(row)}) VALUES ({places})", *row.values()
            )
    assert refused.value.constraint_name == "decision_acted_check"


async def test_each_met_rule_has_a_decision_in_the_order_of_priority(
    client: Client, world: World, bell: Bell
) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    changes: dict[str, dict[str, Any]] = {
        "b": {"priority": 1},
        "a": {"priority": 1, "hold_out_percent": 100},
        "c": {"priority": 9, "purpose": "ads"},
        "d": {"priority": -1},
        "e": {"condition": "false"},
    }
    rules = {
        name: await client.create_rule(world.rule(campaign_id, name=name, **change))
        for name, change in changes.items()
    }
    result = await client.activate_event(await world.event("an"))
    assert outcomes_of(result) == ["NO_CONSENT", "HOLD_OUT", "ACTED", "ACTED"]
    assert [decision.ordinal for decision in result.decisions] == [0, 1, 2, 3]
    assert [decision.rule_id for decision in result.decisions] == [
        rules[name].rule_id for name in "cabd"
    ]
    assert bell.decision_ids == [UUID(decision.decision_id) for decision in result.decisions[2:]]


async def test_quiet_hours_of_the_tenant_make_a_message_wait(client: Client, world: World) -> None:
    await world.person("an")
    await world.set_time_zone("Pacific/Kiritimati")
    local = datetime.now(UTC) + timedelta(hours=14)
    start, end = (f"{local + timedelta(hours=shift):%H:%M}" for shift in (-2, 2))
    await client.create_rule(
        world.rule(await client.active_campaign(), quiet_hours=pb.QuietHours(start=start, end=end))
    )
    result = await client.activate_event(await world.event("an"))
    (told,) = result.decisions
    assert (outcomes_of(result), told.reason) == (["ACTED"], "waits for quiet hours to end")
    (stored,) = await world.decisions()
    assert stored["not_before"] == told.not_before_time.ToDatetime(tzinfo=UTC)
    assert stored["not_before"] == local.replace(second=0, microsecond=0) - timedelta(hours=12)
    assert stored["expires_at"] == stored["not_before"] + timedelta(hours=24)


async def test_consent_is_of_a_channel_and_purpose(client: Client, world: World) -> None:
    """Also to a condition, which asks about a channel that the person said nothing about."""
    await world.person("an", consents=[(CHANNEL, "ads"), ("email", PURPOSE)])
    await world.person("binh", consents=[(CHANNEL, PURPOSE)])
    campaign_id = await client.active_campaign()
    await client.create_rule(world.rule(campaign_id))
    only = f'!consent.granted("email", "{PURPOSE}")'
    await client.create_rule(world.rule(campaign_id, name="z", condition=only))
    events = [await world.event(name) for name in ("an", "binh")]
    results = await client.batch_activate(events)
    assert [outcomes_of(result) for result in results] == [["NO_CONSENT"], ["ACTED", "ACTED"]]


async def test_twice_is_the_same_decisions_and_says_so(
    client: Client, world: World, bell: Bell
) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    for name in ("b", "a"):
        await client.create_rule(world.rule(campaign_id, name=name))
    first = await client.activate_event(await world.event("an"))
    assert (len(first.decisions), first.duplicate) == (2, False)
    rung = list(bell.rung)
    # Whatever was changed since.
    await client.create_rule(world.rule(campaign_id, name="c"))
    again = await client.activate_event(first.event_id)
    assert (list(again.decisions), again.duplicate) == (list(first.decisions), True)
    assert bell.rung == rung
    (in_batch,) = await client.batch_activate([first.event_id])
    assert in_batch == again


async def test_a_batch_answers_for_each_event_in_its_order(client: Client, world: World) -> None:
    await world.person("an")
    await client.create_rule(world.rule(await client.active_campaign()))
    decided = await world.event("an")
    (first,) = await client.batch_activate([decided])
    fresh, nobody, missing, other = (
        await world.event("an"),
        await world.event("x"),
        uuid4(),
        await world.event("an", event_type="refund"),
    )
    asked = [fresh, missing, decided, nobody, other, fresh]
    results = await client.batch_activate(asked)
    assert [UUID(result.event_id) for result in results] == asked
    assert [outcomes_of(result) for result in results] == [
        ["ACTED"],
        [],
        ["ACTED"],
        ["NO_PROFILE"],
        ["NO_RULE"],
        ["ACTED"],
    ]
    # The same event once more in a batch is a repetition like any other.
    assert [result.duplicate for result in results] == [False, False, True, False, False, True]
    assert results[2].decisions == first.decisions
    assert results[5].decisions == results[0].decisions
    assert reason_of(results[1]) == "EVENT_MISSING"
    assert not any(result.HasField("error") for result in results if result != results[1])
    assert len(await world.decisions()) == 4


async def test_an_event_that_is_not_there_is_missing(client: Client, other_world: World) -> None:
    for event_id in (uuid4(), await other_world.event("an")):
        with pytest.raises(MissingError) as refused:
            await client.activate_event(event_id)
        assert (refused.value.reason, refused.value.domain) == ("EVENT_MISSING", "decision.leo")
        assert refused.value.metadata == {"event_id": str(event_id)}
        (result,) = await client.batch_activate([event_id])
        assert reason_of(result) == "EVENT_MISSING"


@pytest.mark.parametrize(
    ("event_ids", "field"),
    [
        ([], "event_ids"),
        ([str(UUID(int=number)) for number in range(501)], "event_ids"),
        ([str(UUID(int=1)), "x"], "event_ids[1]"),
        ([""], "event_ids[0]"),
    ],
)
async def test_a_bad_batch_is_refused(client: Client, event_ids: list[str], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.batch_activate(event_ids)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": field}


@pytest.mark.parametrize("event_id", ["", "x"])
async def test_an_id_that_is_none_is_refused(client: Client, event_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.activate_event(event_id)
    assert refused.value.metadata == {"field": "event_id"}


async def test_a_campaign_acts_while_it_is_active_only(client: Client, world: World) -> None:
    await world.person("an")
    campaign_id = (await client.create_campaign("tet")).campaign_id
    await client.create_rule(world.rule(campaign_id))
    told = [outcomes_of(await client.activate_event(await world.event("an")))]
    for state in ("ACTIVE", "PAUSED", "ACTIVE", "ENDED"):
        await client.set_campaign_state(campaign_id, state)
        told.append(outcomes_of(await client.activate_event(await world.event("an"))))
    assert told == [["NO_RULE"], ["ACTED"], ["NO_RULE"], ["ACTED"], ["NO_RULE"]]


async def test_a_changed_rule_decides_in_every_process_with_its_new_version(
    client: Client, client_for: ClientOf, serve: Serve, world: World
) -> None:
    elsewhere = await client_for(world.tenant_id, at=await serve())
    await world.person("an")
    rule = await client.create_rule(world.rule(await client.active_campaign()))
    for process in (client, elsewhere):
        (decision,) = (await process.activate_event(await world.event("an"))).decisions
        assert decision.rule_version == 1
    await client.update_rule(
        pb.Rule(rule_id=rule.rule_id, condition="event.properties.amount > 5"), "condition"
    )
    for process in (elsewhere, client):
        result = await process.activate_event(await world.event("an", amount=5))
        assert outcomes_of(result) == ["NO_RULE"]
        result = await process.activate_event(await world.event("an", amount=6))
        assert [decision.rule_version for decision in result.decisions] == [2]
    versions = [row["rule_set_version"] for row in await world.decisions()]
    assert Counter(versions) == {2: 2, 3: 4}


async def test_two_tenants_know_nothing_of_each_other(
    client: Client, other_client: Client, world: World, other_world: World
) -> None:
    for each in (world, other_world):
        await each.person("an")
    await client.create_rule(world.rule(await client.active_campaign(), cooldown=hours(1)))
    mine, theirs = await world.event("an"), await other_world.event("an")
    assert outcomes_of(await client.activate_event(mine)) == ["ACTED"]
    assert outcomes_of(await other_client.activate_event(theirs)) == ["NO_RULE"]
    for caller, event_id in ((client, theirs), (other_client, mine)):
        (result,) = await caller.batch_activate([event_id])
        assert reason_of(result) == "EVENT_MISSING"
        with pytest.raises(MissingError):
            await caller.get_journey(event_id)
    await other_client.create_rule(
        other_world.rule(await other_client.active_campaign(), cooldown=hours(1))
    )
    theirs = await other_world.event("an")
    assert outcomes_of(await other_client.activate_event(theirs)) == ["ACTED"]
    assert {row["tenant_id"] for row in await world.decisions()} == {world.tenant_id}
