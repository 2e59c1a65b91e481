from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import ExistsError, InvalidError, MissingError, StateError
from tests.contract.decision.world import CHANNEL, FULL, hours

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


async def test_a_rule_is_stored_and_read_back(
    client: Client, world: World, campaign_id: str
) -> None:
    before = datetime.now(UTC)
    email = pb.Choice(
        channel="email",
        template_id=str(await world.template("email")),
        account_id=str(await world.account("email")),
    )
    wanted = world.rule(
        campaign_id,
        segment_id=await world.segment("true"),
        choices=[world.choice, email, world.choice],
        **FULL,
    )
    created = await client.create_rule(wanted)
    assert UUID(created.rule_id).version == 7
    assert (created.version, created.etag) == (1, "v1")
    assert abs((created.update_time.ToDatetime(tzinfo=UTC) - before).total_seconds()) < 60
    assert list((await client.list_rules()).rules) == [created]
    for field in ("rule_id", "version", "etag", "update_time"):
        created.ClearField(field)
    assert created == wanted


async def test_what_is_absent_stays_absent_and_a_message_is_worth_a_day(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    assert created.time_to_live == hours(24)
    assert not any(created.HasField(field) for field in ("cooldown", "quiet_hours"))
    assert not created.HasField("valid_from_time")
    assert (created.condition, created.segment_id, created.priority) == ("", "", 0)


async def test_a_repeated_request_gets_its_first_answer(
    client: Client, world: World, campaign_id: str
) -> None:
    request_id = str(uuid4())
    wanted = world.rule(campaign_id)
    answers = await asyncio.gather(*(client.create_rule(wanted, request_id) for _ in range(5)))
    assert len({answer.rule_id for answer in answers}) == 1
    # Also when the rule is another one by now.
    await client.update_rule(pb.Rule(rule_id=answers[0].rule_id, priority=5), "priority")
    assert await client.create_rule(wanted, request_id) == answers[0]
    assert len((await client.list_rules()).rules) == 1


@pytest.mark.parametrize("change", [{"name": "khac"}, {"priority": 1}])
async def test_a_request_id_with_another_body_is_refused(
    client: Client, world: World, campaign_id: str, change: dict[str, Any]
) -> None:
    request_id = str(uuid4())
    await client.create_rule(world.rule(campaign_id), request_id)
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(world.rule(campaign_id, **change), request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.metadata == {"request_id": request_id}


async def test_one_request_id_for_two_campaigns_at_once_makes_one_rule(
    client: Client, world: World, campaign_id: str
) -> None:
    other = (await client.create_campaign("khac")).campaign_id
    request_id = str(uuid4())
    answers = await asyncio.gather(
        *(client.create_rule(world.rule(owner), request_id) for owner in (campaign_id, other)),
        return_exceptions=True,
    )
    (refused,) = [answer for answer in answers if isinstance(answer, InvalidError)]
    assert refused.reason == "REQUEST_ID_REUSED"
    assert len((await client.list_rules()).rules) == 1


async def test_a_name_is_taken_in_its_campaign_alone(
    client: Client, world: World, campaign_id: str
) -> None:
    await client.create_rule(world.rule(campaign_id))
    for request_id in ("", str(uuid4())):
        with pytest.raises(ExistsError) as refused:
            await client.create_rule(world.rule(campaign_id), request_id)
        assert (refused.value.reason, refused.value.domain) == ("RULE_EXISTS", "decision.leo")
        assert refused.value.metadata == {"name": "thanks"}
    other = (await client.create_campaign("khac")).campaign_id
    await client.create_rule(world.rule(other))


async def test_bad_fields_are_all_named(client: Client, world: World, campaign_id: str) -> None:
    bad = pb.Choice(channel="fax", template_id="x")
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(
            world.rule(
                campaign_id,
                name="Cảm ơn",
                segment_id="vip",
                cooldown=Duration(seconds=315_576_000_001),
                priority=1001,
                valid_from_time=Timestamp(seconds=-(2**60)),
                quiet_hours=pb.QuietHours(),
                choices=[world.choice, bad],
            )
        )
    assert refused.value.reason == "FIELD_INVALID"
    assert {violation.field for violation in refused.value.violations} == {
        "rule.name",
        "rule.segment_id",
        "rule.cooldown",
        "rule.priority",
        "rule.valid_from_time",
        "rule.quiet_hours.start",
        "rule.quiet_hours.end",
        "rule.choices[1].channel",
        "rule.choices[1].template_id",
        "rule.choices[1].account_id",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"campaign_id": ""}, "rule.campaign_id"),
        ({"campaign_id": "tet"}, "rule.campaign_id"),
        ({"choices": []}, "rule.choices"),
        ({"time_to_live": Duration()}, "rule.time_to_live"),
        ({"time_to_live": Duration(nanos=1)}, "rule.time_to_live"),
        ({"time_to_live": Duration(seconds=-1)}, "rule.time_to_live"),
        ({"cooldown": Duration()}, "rule.cooldown"),
        ({"condition": "\x00"}, "rule.condition"),
    ],
)
async def test_a_bad_field_is_named(
    client: Client, world: World, campaign_id: str, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_rule(world.rule(**({"campaign_id": campaign_id} | change)))
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": field}


async def test_a_condition_that_does_not_compile_is_refused_with_its_place(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    condition = 'event.type == "x" &&\n  profile.citi == "Huế"'
    for call in (
        client.create_rule(world.rule(campaign_id, name="khac", condition=condition)),
        client.update_rule(pb.Rule(rule_id=created.rule_id, condition=condition), "condition"),
    ):
        with pytest.raises(InvalidError) as refused:
            await call
        assert refused.value.reason == "CONDITION_INVALID"
        assert refused.value.metadata == {"line": "2", "column": "3", "expected": "profile.city"}
        assert [violation.field for violation in refused.value.violations] == ["rule.condition"]
    assert list((await client.list_rules()).rules) == [created]


async def test_a_rule_of_a_campaign_that_is_not_there_is_refused(
    client: Client, other_client: Client, world: World
) -> None:
    elsewhere = await other_client.active_campaign()
    for campaign_id in (str(uuid4()), elsewhere):
        with pytest.raises(MissingError) as refused:
            await client.create_rule(world.rule(campaign_id))
        assert refused.value.reason == "CAMPAIGN_MISSING"


@pytest.mark.parametrize("of", ["nobody", "another tenant", "another channel"])
async def test_what_a_rule_names_must_be_there_and_of_the_channel(
    client: Client, world: World, other_world: World, campaign_id: str, of: str
) -> None:
    template_id, account_id, segment_id = str(uuid4()), str(uuid4()), str(uuid4())
    if of == "another tenant":
        template_id, account_id = other_world.choice.template_id, other_world.choice.account_id
        segment_id = await other_world.segment("true")
    elif of == "another channel":
        template_id = str(await world.template("email"))
        account_id = str(await world.account("email"))
    good = world.choice
    template = pb.Choice(channel=CHANNEL, template_id=template_id, account_id=good.account_id)
    account = pb.Choice(channel=CHANNEL, template_id=good.template_id, account_id=account_id)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("rule.choices[1].template_id", {"choices": [good, template]}),
        ("rule.choices[0].account_id", {"choices": [account, good]}),
        ("rule.segment_id", {"segment_id": segment_id}),
    ]
    created = await client.create_rule(world.rule(campaign_id))
    for field, change in cases:
        for call in (
            client.create_rule(world.rule(campaign_id, name="khac", **change)),
            client.update_rule(pb.Rule(rule_id=created.rule_id, **change), *change),
        ):
            with pytest.raises(StateError) as refused:
                await call
            assert refused.value.reason == "REFERENCE_MISSING"
            assert refused.value.metadata == {"field": field}
    assert list((await client.list_rules()).rules) == [created]
