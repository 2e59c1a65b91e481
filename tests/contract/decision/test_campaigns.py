from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import ExistsError, ForbiddenError, InvalidError, MissingError, StateError

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import ClientOf
    from tests.contract.decision.world import World


async def test_a_campaign_is_a_draft_at_first(client: Client) -> None:
    before = datetime.now(UTC)
    created = await client.create_campaign("tet", display_name="Tết 2027")
    assert (created.name, created.display_name) == ("tet", "Tết 2027")
    assert created.state == pb.Campaign.STATE_DRAFT
    assert UUID(created.campaign_id).version == 7
    assert abs((created.create_time.ToDatetime(tzinfo=UTC) - before).total_seconds()) < 60


async def test_a_repeated_request_gets_its_first_answer(client: Client) -> None:
    request_id = str(uuid4())
    answers = await asyncio.gather(*(client.create_campaign("tet", request_id) for _ in range(5)))
    assert len({answer.campaign_id for answer in answers}) == 1
    assert await client.create_campaign("tet", request_id) == answers[0]


@pytest.mark.parametrize("change", [{"name": "khac"}, {"display_name": "Khác"}])
async def test_a_request_id_with_another_body_is_refused(
    client: Client, change: dict[str, str]
) -> None:
    request_id = str(uuid4())
    await client.create_campaign(request_id=request_id, name="tet")
    fields: dict[str, Any] = {"name": "tet"} | change
    with pytest.raises(InvalidError) as refused:
        await client.create_campaign(request_id=request_id, **fields)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.metadata == {"request_id": request_id}


async def test_a_taken_name_is_refused_in_its_tenant_alone(
    client: Client, other_client: Client
) -> None:
    await client.create_campaign("tet", str(uuid4()))
    for request_id in ("", str(uuid4())):
        with pytest.raises(ExistsError) as refused:
            await client.create_campaign("tet", request_id)
        assert (refused.value.reason, refused.value.domain) == ("CAMPAIGN_EXISTS", "decision.leo")
        assert refused.value.metadata == {"name": "tet"}
    await other_client.create_campaign("tet")


async def test_bad_fields_are_all_named(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_campaign("Tết", display_name="x" * 201)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [
        "campaign.name",
        "campaign.display_name",
    ]


@pytest.mark.parametrize("request_id", ["x", "01993d00-0000-7000-8000-000000000001"])
async def test_a_request_id_must_be_a_uuid4(client: Client, request_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_campaign("tet", request_id)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": "request_id"}


async def test_a_campaign_goes_on_and_off_and_ends(client: Client, world: World) -> None:
    created = await client.create_campaign("tet")
    for state in ("ACTIVE", "PAUSED", "ACTIVE", "ACTIVE", "ENDED", "ENDED"):
        changed = await client.set_campaign_state(created.campaign_id, state)
        assert changed.state == pb.Campaign.State.Value(f"STATE_{state}")
        created.state = changed.state
        assert changed == created
    # What changed nothing leaves no trace.
    assert len(await world.entries("campaign_state_changed")) == 4


async def test_a_new_campaign_is_in_the_audit_once(client: Client, world: World) -> None:
    request_id = str(uuid4())
    created = await client.create_campaign("tet", request_id)
    await client.create_campaign("tet", request_id)
    (entry,) = await world.entries("campaign_created")
    assert orjson.loads(entry["details"]) == {"campaign_id": created.campaign_id, "name": "tet"}


@pytest.mark.parametrize("state", ["ACTIVE", "PAUSED"])
async def test_an_ended_campaign_stays_ended(client: Client, state: str) -> None:
    created = await client.create_campaign("tet")
    await client.set_campaign_state(created.campaign_id, "ENDED")
    with pytest.raises(StateError) as refused:
        await client.set_campaign_state(created.campaign_id, state)
    assert refused.value.reason == "CAMPAIGN_STATE"
    assert refused.value.metadata == {"campaign_id": created.campaign_id, "state": "ended"}


@pytest.mark.parametrize("state", ["UNSPECIFIED", "DRAFT"])
async def test_no_campaign_becomes_a_draft(client: Client, state: str) -> None:
    created = await client.create_campaign("tet")
    with pytest.raises(InvalidError) as refused:
        await client.set_campaign_state(created.campaign_id, state)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": "state"}


@pytest.mark.parametrize("campaign_id", ["", "tet"])
async def test_an_id_that_is_none_is_refused(client: Client, campaign_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.set_campaign_state(campaign_id, "ACTIVE")
    assert refused.value.metadata == {"field": "campaign_id"}


async def test_a_campaign_of_nobody_or_of_another_tenant_is_missing(
    client: Client, other_client: Client
) -> None:
    elsewhere = (await other_client.create_campaign("tet")).campaign_id
    for campaign_id in (str(uuid4()), elsewhere):
        with pytest.raises(MissingError) as refused:
            await client.set_campaign_state(campaign_id, "ACTIVE")
        assert refused.value.reason == "CAMPAIGN_MISSING"
        assert refused.value.metadata == {"campaign_id": campaign_id}


async def test_reading_does_not_allow_writing_nor_the_other_way_round(
    client_for: ClientOf, world: World
) -> None:
    reader = await client_for(world.tenant_id, "leo.decisions.read")
    writer = await client_for(world.tenant_id, "leo.decisions.write")
    campaign = await writer.create_campaign("tet")
    event_id = await world.event("an")
    assert not (await reader.list_rules()).rules
    await writer.activate_event(event_id)
    assert await reader.get_journey(event_id)
    for call in (
        reader.create_campaign("khac"),
        reader.set_campaign_state(campaign.campaign_id, "ACTIVE"),
        reader.create_rule(world.rule(campaign.campaign_id)),
        reader.update_rule(pb.Rule(rule_id=str(uuid4()))),
        reader.activate_event(event_id),
        reader.batch_activate([event_id]),
        writer.list_rules(),
        writer.get_journey(event_id),
    ):
        with pytest.raises(ForbiddenError):
            await call
