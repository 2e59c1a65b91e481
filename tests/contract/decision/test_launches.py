"""LaunchCampaign, GetCampaignLaunch, ListCampaignLaunches: what a client asks, and is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import ForbiddenError, InvalidError, MissingError, StateError
from libs.fields.paging import token_of
from tests.contract.decision.client import counts_of
from tests.contract.decision.world import CHANNEL, PURPOSE, hours

if TYPE_CHECKING:
    from services.decision.launcher import Launcher
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import ClientOf
    from tests.contract.decision.world import World


async def test_a_launch_is_stored_and_read_back(
    client: Client, world: World, campaign_id: str
) -> None:
    await world.crowd(3)
    snapshot_id = await world.snapshot()
    rule = await client.create_rule(world.launched_rule(campaign_id, time_to_live=hours(2)))
    launch = await client.launch_campaign(rule.rule_id, snapshot_id)
    assert UUID(launch.launch_id).version == 7
    assert (launch.campaign_id, launch.rule_id, launch.rule_version) == (
        campaign_id,
        rule.rule_id,
        1,
    )
    assert (launch.snapshot_id, launch.member_count) == (str(snapshot_id), 3)
    assert launch.state == pb.CampaignLaunch.STATE_RUNNING
    created_at = launch.create_time.ToDatetime(tzinfo=UTC)
    assert abs((datetime.now(UTC) - created_at).total_seconds()) < 60
    assert launch.expire_time.ToDatetime(tzinfo=UTC) == created_at + timedelta(hours=2)
    assert not launch.HasField("end_time")
    found = await client.get_campaign_launch(launch.launch_id)
    assert (found.launch, list(found.outcome_counts)) == (launch, [])
    assert list((await client.list_campaign_launches()).launches) == [launch]


async def test_a_launch_tells_what_was_decided_and_when_it_was_over(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(3)
    await world.person("q", consents=())
    rule = await client.create_rule(world.launched_rule(campaign_id))
    launch = await client.launch_campaign(rule.rule_id, await world.snapshot())
    assert await launcher.turn()
    found = await client.get_campaign_launch(launch.launch_id)
    assert counts_of(found) == {"ACTED": 3, "NO_CONSENT": 1}
    assert [each.count for each in found.outcome_counts] == [3, 1]
    assert found.launch.state == pb.CampaignLaunch.STATE_SUCCEEDED
    assert found.launch.end_time.ToDatetime() >= found.launch.create_time.ToDatetime()


async def test_the_audit_says_who_launched_what(
    client: Client, world: World, campaign_id: str
) -> None:
    await world.crowd(3)
    snapshot_id = await world.snapshot()
    rule = await client.create_rule(world.launched_rule(campaign_id))
    launch = await client.launch_campaign(rule.rule_id, snapshot_id)
    (entry,) = await world.entries("campaign_launched")
    details = orjson.loads(entry["details"])
    assert details.pop("snapshot_digest")
    assert details == {
        "launch_id": launch.launch_id,
        "rule_id": rule.rule_id,
        "rule_version": 1,
        "snapshot_id": str(snapshot_id),
        "member_count": 3,
    }


async def test_a_repeated_request_gets_its_first_launch(
    client: Client, world: World, campaign_id: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    snapshot_id = await world.snapshot()
    request_id = str(uuid4())
    answers = await asyncio.gather(
        *(client.launch_campaign(rule.rule_id, snapshot_id, request_id) for _ in range(5))
    )
    # Also where it could not be launched any more.
    await client.set_campaign_state(campaign_id, "ENDED")
    answers.append(await client.launch_campaign(rule.rule_id, snapshot_id, request_id))
    assert all(answer == answers[0] for answer in answers)
    assert len((await client.list_campaign_launches()).launches) == 1
    assert len(await world.entries("campaign_launched")) == 1


async def test_a_request_id_with_another_body_is_refused(
    client: Client, world: World, campaign_id: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    request_id = str(uuid4())
    await client.launch_campaign(rule.rule_id, await world.snapshot(), request_id)
    with pytest.raises(InvalidError) as refused:
        await client.launch_campaign(rule.rule_id, await world.snapshot(), request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_the_same_rule_and_snapshot_may_be_launched_again(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    """A second launch is another send: only a cooldown keeps the rule from it."""
    await world.crowd(2)
    snapshot_id = await world.snapshot()
    free = await client.create_rule(world.launched_rule(campaign_id))
    cooling = await client.create_rule(
        world.launched_rule(campaign_id, name="cooling", cooldown=hours(1))
    )
    for rule, second in ((free, {"ACTED": 2}), (cooling, {"COOLDOWN": 2})):
        for expected in ({"ACTED": 2}, second):
            launch = await client.launch_campaign(rule.rule_id, snapshot_id)
            assert await launcher.turn()
            assert counts_of(await client.get_campaign_launch(launch.launch_id)) == expected


async def test_an_estimate_says_what_would_come_of_it_and_writes_nothing(
    client: Client, world: World, launcher: Launcher
) -> None:
    email = pb.Choice(
        channel="email",
        template_id=str(await world.template("email")),
        account_id=str(await world.account("email")),
    )
    await world.crowd(3)
    both = [(CHANNEL, PURPOSE), ("email", PURPOSE)]
    await world.person("mail", consents=both, phones=[], emails=["an@example.vn"])
    await world.person("nowhere", consents=both, phones=[])
    await world.person("silent", consents=())
    await world.person("gone", state="inactive")
    await world.person("away", city="Hà Nội")
    snapshot_id = await world.snapshot()
    campaign = await client.create_campaign("tet")
    rule = await client.create_rule(
        world.launched_rule(
            campaign.campaign_id,
            condition='profile.city == "Huế"',
            choices=[world.choice, email],
        )
    )
    # Before the campaign acts.
    estimate = await client.estimate_launch(rule.rule_id, snapshot_id, str(uuid4()))
    assert (estimate.member_count, estimate.asked_count) == (8, 8)
    expected = {"ACTED": 4, "NO_ADDRESS": 1, "NO_CONSENT": 1, "NO_PROFILE": 1, "NO_RULE": 1}
    assert counts_of(estimate) == expected
    assert [(each.channel, each.count) for each in estimate.channel_counts] == [
        (CHANNEL, 3),
        ("email", 1),
    ]
    for table in ("campaign_launch", "decision"):
        assert await world.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert not await world.entries("campaign_launched")
    # And it comes to just that.
    await client.set_campaign_state(campaign.campaign_id, "ACTIVE")
    launch = await client.launch_campaign(rule.rule_id, snapshot_id)
    assert await launcher.turn()
    assert counts_of(await client.get_campaign_launch(launch.launch_id)) == expected


async def test_an_estimate_of_many_asks_evenly_spread_ones(
    client: Client, world: World, campaign_id: str
) -> None:
    await world.crowd(20_001)
    await world.run("UPDATE cdp_profiles SET city = 'Hà Nội' WHERE profile_no % 4 < 2")
    rule = await client.create_rule(
        world.launched_rule(campaign_id, condition='profile.city == "Huế"')
    )
    estimate = await client.estimate_launch(rule.rule_id, await world.snapshot())
    assert (estimate.member_count, estimate.asked_count) == (20_001, 10_001)
    assert set(counts_of(estimate)) == {"ACTED", "NO_RULE"}
    assert all(abs(count - 5000) <= 1 for count in counts_of(estimate).values())


async def test_an_estimate_of_nobody_is_empty(
    client: Client, world: World, campaign_id: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    estimate = await client.estimate_launch(rule.rule_id, await world.snapshot())
    assert estimate == pb.LaunchEstimate()


@pytest.mark.parametrize("launch", ["launch_campaign", "estimate_launch"])
async def test_what_is_not_there_is_missing(
    client: Client, world: World, other_world: World, campaign_id: str, launch: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    for rule_id, snapshot_id, reason in (
        (str(uuid4()), await world.snapshot(), "RULE_MISSING"),
        (rule.rule_id, uuid4(), "SNAPSHOT_MISSING"),
        (rule.rule_id, await other_world.snapshot(), "SNAPSHOT_MISSING"),
    ):
        with pytest.raises(MissingError) as refused:
            await getattr(client, launch)(rule_id, snapshot_id)
        assert refused.value.reason == reason


@pytest.mark.parametrize("launch", ["launch_campaign", "estimate_launch"])
async def test_a_rule_about_events_cannot_be_launched(
    client: Client, world: World, campaign_id: str, launch: str
) -> None:
    rule = await client.create_rule(world.rule(campaign_id))
    with pytest.raises(StateError) as refused:
        await getattr(client, launch)(rule.rule_id, await world.snapshot())
    assert refused.value.reason == "RULE_TRIGGER"
    assert refused.value.metadata == {"rule_id": rule.rule_id}


@pytest.mark.parametrize("launch", ["launch_campaign", "estimate_launch"])
@pytest.mark.parametrize("bound", [{"valid_from_time": 1}, {"valid_until_time": -1}])
async def test_a_rule_is_launched_while_it_is_valid_alone(
    client: Client, world: World, campaign_id: str, launch: str, bound: dict[str, int]
) -> None:
    ((name, direction),) = bound.items()
    times = {name: Timestamp(seconds=int(datetime.now(UTC).timestamp()) + direction * 3600)}
    rule = await client.create_rule(world.launched_rule(campaign_id, **times))
    with pytest.raises(StateError) as refused:
        await getattr(client, launch)(rule.rule_id, await world.snapshot())
    assert refused.value.reason == "RULE_NOT_VALID"


@pytest.mark.parametrize("state", ["DRAFT", "PAUSED", "ENDED"])
async def test_only_an_active_campaign_is_launched(
    client: Client, world: World, state: str
) -> None:
    campaign_id = (await client.create_campaign("tet")).campaign_id
    rule = await client.create_rule(world.launched_rule(campaign_id))
    if state != "DRAFT":
        await client.set_campaign_state(campaign_id, state)
    with pytest.raises(StateError) as refused:
        await client.launch_campaign(rule.rule_id, await world.snapshot())
    assert refused.value.reason == "CAMPAIGN_STATE"
    assert refused.value.metadata == {"campaign_id": campaign_id, "state": state.lower()}


@pytest.mark.parametrize("launch", ["launch_campaign", "estimate_launch"])
async def test_a_rule_that_cannot_be_asked_any_more_is_not_launched(
    client: Client, world: World, campaign_id: str, launch: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    await world.run("ALTER TABLE activation_rule_version DISABLE TRIGGER append_only")
    await world.run(
        "UPDATE activation_rule_version"
        " SET document = jsonb_set(document, '{condition}', '\"profile.shoe_size > 1\"')"
    )
    with pytest.raises(InvalidError) as refused:
        await getattr(client, launch)(rule.rule_id, await world.snapshot())
    assert refused.value.reason == "CONDITION_INVALID"


async def test_a_tenant_neither_launches_reads_nor_lists_anothers(
    client: Client, world: World, other_client: Client, campaign_id: str
) -> None:
    rule = await client.create_rule(world.launched_rule(campaign_id))
    launch = await client.launch_campaign(rule.rule_id, await world.snapshot())
    with pytest.raises(MissingError) as refused:
        await other_client.launch_campaign(rule.rule_id, launch.snapshot_id)
    assert refused.value.reason == "RULE_MISSING"
    with pytest.raises(MissingError) as refused:
        await other_client.get_campaign_launch(launch.launch_id)
    assert refused.value.reason == "LAUNCH_MISSING"
    assert refused.value.metadata == {"launch_id": launch.launch_id}
    assert not (await other_client.list_campaign_launches()).launches


async def test_ids_and_pages_that_are_none_are_refused(client: Client) -> None:
    one = str(uuid4())
    listed = client.list_campaign_launches
    for call, field in (
        (client.launch_campaign("", one), "rule_id"),
        (client.launch_campaign(one, "x"), "snapshot_id"),
        (client.launch_campaign(one, one, "x"), "request_id"),
        (client.get_campaign_launch(""), "launch_id"),
        (listed(campaign_id="x"), "campaign_id"),
        (listed(page_size=-1), "page_size"),
        (listed(page_token="x"), "page_token"),
        (listed(page_token=token_of("x")), "page_token"),
        (listed(page_token=token_of(one, one)), "page_token"),
    ):
        with pytest.raises(InvalidError) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("FIELD_INVALID", {"field": field})


async def test_pages_bring_every_launch_once_the_newest_first(
    client: Client, world: World, campaign_id: str
) -> None:
    other_id = await client.active_campaign("other")
    snapshot_id = await world.snapshot()
    rules = [
        await client.create_rule(world.launched_rule(each)) for each in (campaign_id, other_id)
    ]
    made = [
        (await client.launch_campaign(rules[number % 2].rule_id, snapshot_id)).launch_id
        for number in range(5)
    ]
    for wanted, expected in (({}, made), ({"campaign_id": campaign_id}, made[::2])):
        for page_size in (1, 2, 5, 6):
            found: list[str] = []
            token = ""
            while True:
                page = await client.list_campaign_launches(
                    page_size=page_size, page_token=token, **wanted
                )
                found += [launch.launch_id for launch in page.launches]
                token = page.next_page_token
                if not token:
                    break
                assert len(page.launches) == page_size
            assert found == expected[::-1]


async def test_each_rpc_needs_its_scope(client_for: ClientOf, world: World) -> None:
    reader = await client_for(world.tenant_id, "leo.decisions.read")
    writer = await client_for(world.tenant_id, "leo.decisions.write")
    one = str(uuid4())
    calls: list[Any] = [
        reader.launch_campaign(one, one),
        writer.get_campaign_launch(one),
        writer.list_campaign_launches(),
    ]
    for call in calls:
        with pytest.raises(ForbiddenError):
            await call


# What a launched rule may say.


async def test_a_launched_rule_is_stored_and_read_back(
    client: Client, world: World, campaign_id: str
) -> None:
    rule = await client.create_rule(
        world.launched_rule(campaign_id, condition='consent.granted("email", "care")')
    )
    assert (rule.trigger, rule.event_type) == (pb.Rule.TRIGGER_LAUNCH, "")
    about_events = await client.create_rule(world.rule(campaign_id))
    assert about_events.trigger == pb.Rule.TRIGGER_EVENT
    listed = {each.rule_id: each for each in (await client.list_rules()).rules}
    assert listed == {each.rule_id: each for each in (rule, about_events)}
    # A change keeps the trigger.
    changed = await client.update_rule(pb.Rule(rule_id=rule.rule_id, priority=3), "priority")
    assert (changed.trigger, changed.version) == (pb.Rule.TRIGGER_LAUNCH, 2)


async def test_a_launched_rule_is_not_asked_about_events(
    client: Client, world: World, campaign_id: str
) -> None:
    await world.person("an")
    await client.create_rule(world.launched_rule(campaign_id))
    result = await client.activate_event(await world.event("an"))
    assert result.decisions[0].reason == 'no active rule is about events of type "purchase"'


async def test_what_a_launch_does_not_have_is_refused_by_name(
    client: Client, world: World, campaign_id: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(
            world.launched_rule(
                campaign_id, event_type="purchase", segment_id=await world.segment("true")
            )
        )
    assert [each.field for each in refused.value.violations] == [
        "rule.event_type",
        "rule.segment_id",
    ]
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(world.rule(campaign_id, event_type=""))
    assert refused.value.metadata == {"field": "rule.event_type"}


async def test_an_event_in_the_condition_is_refused_with_its_place(
    client: Client, world: World, campaign_id: str
) -> None:
    bad = 'profile.city == "Huế" &&\n  event.properties.amount > 1'
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(world.launched_rule(campaign_id, condition=bad))
    assert refused.value.reason == "CONDITION_INVALID"
    assert "a launch has no event" in str(refused.value)
    assert (refused.value.metadata["line"], refused.value.metadata["column"]) == ("2", "3")
    rule = await client.create_rule(world.launched_rule(campaign_id))
    with pytest.raises(InvalidError) as refused:
        await client.update_rule(pb.Rule(rule_id=rule.rule_id, condition=bad), "condition")
    assert refused.value.reason == "CONDITION_INVALID"


async def test_an_event_in_a_template_is_refused_with_its_place(
    client: Client, world: World, campaign_id: str
) -> None:
    template_id = await world.template(
        greeting="Chào {{ profile.given_name }}, event",
        amount="Số tiền:\n {{ event.type | upper }}",
    )
    second = pb.Choice(
        channel=CHANNEL, template_id=str(template_id), account_id=world.choice.account_id
    )
    choices = [world.choice, second]
    with pytest.raises(StateError) as refused:
        await client.create_rule(world.launched_rule(campaign_id, choices=choices))
    assert refused.value.reason == "TEMPLATE_NEEDS_EVENT"
    assert refused.value.metadata == {
        "field": "rule.choices[1].template_id",
        "text": "amount",
        "line": "2",
        "column": "5",
    }
    rule = await client.create_rule(world.launched_rule(campaign_id))
    with pytest.raises(StateError) as refused:
        await client.update_rule(pb.Rule(rule_id=rule.rule_id, choices=choices), "choices")
    assert refused.value.reason == "TEMPLATE_NEEDS_EVENT"
    # A rule about events may say it.
    await client.create_rule(world.rule(campaign_id, choices=choices))
