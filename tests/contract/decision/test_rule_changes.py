from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import ConflictError, ExistsError, InvalidError, MissingError
from libs import canonical
from tests.contract.decision.world import FULL, hours

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


async def test_a_single_field_is_replaced_and_the_others_stay(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id, **FULL))
    changed = await client.update_rule(
        pb.Rule(rule_id=created.rule_id, priority=9, name="khac", purpose="ads"), "priority"
    )
    assert (changed.version, changed.etag, changed.priority) == (2, "v2", 9)
    assert changed.update_time.ToDatetime() >= created.update_time.ToDatetime()
    for field in ("version", "etag", "update_time", "priority"):
        created.ClearField(field)
        changed.ClearField(field)
    assert changed == created


@pytest.mark.parametrize(
    "field",
    [
        "condition",
        "segment_id",
        "cooldown",
        "priority",
        "quiet_hours",
        "hold_out_percent",
        "valid_from_time",
        "valid_until_time",
    ],
)
async def test_a_field_that_is_named_and_absent_is_cleared(
    client: Client, world: World, campaign_id: str, field: Any
) -> None:
    segment_id = await world.segment("true")
    created = await client.create_rule(world.rule(campaign_id, segment_id=segment_id, **FULL))
    changed = await client.update_rule(pb.Rule(rule_id=created.rule_id), field)
    created.ClearField(field)
    for server_made in ("version", "etag", "update_time"):
        created.ClearField(server_made)
        changed.ClearField(server_made)
    assert changed == created


async def test_the_choices_are_replaced_as_a_whole(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id, choices=[world.choice] * 3))
    changed = await client.update_rule(
        pb.Rule(rule_id=created.rule_id, choices=[world.choice]), "choices"
    )
    assert len(changed.choices) == 1
    quiet = pb.Rule(rule_id=created.rule_id, quiet_hours=pb.QuietHours(start="01:00", end="02:00"))
    assert (await client.update_rule(quiet, "quiet_hours")).quiet_hours == quiet.quiet_hours


async def test_without_a_mask_all_that_can_be_changed_is(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id, **FULL))
    wanted = world.rule(campaign_id, name="khac", rule_id=created.rule_id, event_type="refund")
    changed = await client.update_rule(wanted)
    assert changed.version == 2
    wanted.time_to_live.CopyFrom(hours(24))
    for field in ("version", "etag", "update_time"):
        changed.ClearField(field)
    assert changed == wanted


async def test_an_update_that_leaves_nothing_of_what_is_required_is_refused(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    with pytest.raises(InvalidError) as refused:
        await client.update_rule(pb.Rule(rule_id=created.rule_id))
    assert {violation.field for violation in refused.value.violations} == {
        "rule.name",
        "rule.event_type",
        "rule.purpose",
        "rule.choices",
    }
    assert list((await client.list_rules()).rules) == [created]


@pytest.mark.parametrize(
    "path",
    ["citi", "rule_id", "version", "etag", "campaign_id", "update_time", "quiet_hours.start", "*"],
)
async def test_a_mask_that_names_no_field_of_a_rule_is_refused(
    client: Client, world: World, campaign_id: str, path: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    with pytest.raises(InvalidError) as refused:
        await client.update_rule(pb.Rule(rule_id=created.rule_id), "priority", path)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": "update_mask"}
    assert list((await client.list_rules()).rules) == [created]


async def test_only_the_version_that_was_read_is_changed(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    change = pb.Rule(rule_id=created.rule_id, etag=created.etag, priority=1)
    changed = await client.update_rule(change, "priority")
    for etag in (created.etag, "v", "v3"):
        change.etag = etag
        with pytest.raises(ConflictError) as refused:
            await client.update_rule(change, "priority")
        assert refused.value.reason == "ETAG_MISMATCH"
        assert refused.value.metadata == {"rule_id": created.rule_id}
    change.etag = changed.etag
    assert (await client.update_rule(change, "priority")).version == 3


async def test_one_of_many_changes_of_a_version_at_once_is_made(
    client: Client, world: World, campaign_id: str
) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    answers = await asyncio.gather(
        *(
            client.update_rule(
                pb.Rule(rule_id=created.rule_id, etag="v1", priority=priority), "priority"
            )
            for priority in range(1, 6)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 4
    (rule,) = (await client.list_rules()).rules
    assert rule in answers
    # Without an etag each is made, one on top of the other.
    made = await asyncio.gather(
        *(
            client.update_rule(pb.Rule(rule_id=created.rule_id, priority=9), "priority")
            for _ in range(5)
        )
    )
    assert sorted(rule.version for rule in made) == [3, 4, 5, 6, 7]


async def test_a_rule_does_not_take_a_name_that_is_taken(
    client: Client, world: World, campaign_id: str
) -> None:
    await client.create_rule(world.rule(campaign_id, name="a"))
    created = await client.create_rule(world.rule(campaign_id, name="b"))
    with pytest.raises(ExistsError) as refused:
        await client.update_rule(pb.Rule(rule_id=created.rule_id, name="a"), "name")
    assert refused.value.reason == "RULE_EXISTS"
    renamed = await client.update_rule(pb.Rule(rule_id=created.rule_id, name="c"), "name")
    assert renamed.name == "c"
    await client.create_rule(world.rule(campaign_id, name="b"))


async def test_a_rule_of_nobody_or_of_another_tenant_is_missing(
    client: Client, other_client: Client, other_world: World
) -> None:
    campaign_id = await other_client.active_campaign()
    elsewhere = (await other_client.create_rule(other_world.rule(campaign_id))).rule_id
    for rule_id in (str(uuid4()), elsewhere):
        with pytest.raises(MissingError) as refused:
            await client.update_rule(pb.Rule(rule_id=rule_id, priority=1), "priority")
        assert refused.value.reason == "RULE_MISSING"
        assert refused.value.metadata == {"rule_id": rule_id}
    for rule_id in ("", "x"):
        with pytest.raises(InvalidError) as invalid:
            await client.update_rule(pb.Rule(rule_id=rule_id))
        assert invalid.value.metadata == {"field": "rule.rule_id"}


async def test_every_change_is_in_the_audit(client: Client, world: World, campaign_id: str) -> None:
    created = await client.create_rule(world.rule(campaign_id))
    await client.update_rule(pb.Rule(rule_id=created.rule_id, priority=1), "priority")
    entries = await world.entries("rule_changed")
    details = [orjson.loads(entry["details"]) for entry in entries]
    assert [(each["rule_id"], each["version"]) for each in details] == [
        (created.rule_id, 1),
        (created.rule_id, 2),
    ]
    # Each names what was stored by its hash.
    stored = await world.fetchval(
        "SELECT array_agg(document::text ORDER BY version) FROM activation_rule_version"
        " WHERE tenant_id = $1",
        world.tenant_id,
    )
    digests = [
        hashlib.sha256(canonical.dumps(orjson.loads(document))).hexdigest() for document in stored
    ]
    assert [each["digest"] for each in details] == digests
