from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from leo_sdk import InvalidError, MissingError
from tests.contract.decision.world import CHANNEL

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


async def test_an_event_that_nobody_decided_about_has_a_journey_of_one_step(
    client: Client, world: World
) -> None:
    event_id = await world.event("an")
    (step,) = await client.get_journey(event_id)
    assert (step.step, step.outcome, step.reason) == ("event", "received", "")
    assert (step.id, step.parent_id) == (str(event_id), "")


async def test_a_journey_has_the_decisions_in_their_order(client: Client, world: World) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    for number in range(8):
        await client.create_rule(
            world.rule(
                campaign_id,
                name=f"r{number}",
                priority=number % 3,
                purpose="care" if number % 2 else "ads",
            )
        )
    result = await client.activate_event(await world.event("an"))
    assert len(result.decisions) == 8
    event, *steps = await client.get_journey(result.event_id)
    assert event.step == "event"
    assert [step.id for step in steps] == [decision.decision_id for decision in result.decisions]
    for step, decision in zip(steps, result.decisions, strict=True):
        assert (step.step, step.parent_id) == ("decision", result.event_id)
        assert step.outcome == ("acted" if step.reason == "every check passed" else "no_consent")
        assert step.reason == decision.reason
        assert step.step_time == decision.decide_time
    assert event.step_time.ToDatetime(tzinfo=UTC) <= steps[0].step_time.ToDatetime(tzinfo=UTC)


async def test_a_journey_goes_on_to_the_delivery(client: Client, world: World) -> None:
    await world.person("an")
    await client.create_rule(world.rule(await client.active_campaign()))
    result = await client.activate_event(await world.event("an"))
    delivery_id = await world.delivery(result.decisions[0].decision_id)
    steps = await client.get_journey(result.event_id)
    assert [(step.step, step.outcome) for step in steps] == [
        ("event", "received"),
        ("decision", "acted"),
        ("delivery", "created"),
        ("delivery", "pending"),
    ]
    for step in steps[2:]:
        assert (step.id, step.parent_id) == (str(delivery_id), result.decisions[0].decision_id)


async def test_an_event_that_is_not_there_has_no_journey(
    client: Client, other_world: World
) -> None:
    for event_id in (uuid4(), await other_world.event("an")):
        with pytest.raises(MissingError) as refused:
            await client.get_journey(event_id)
        assert refused.value.reason == "EVENT_MISSING"


@pytest.mark.parametrize("event_id", ["", "x"])
async def test_an_id_that_is_none_is_refused(client: Client, event_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.get_journey(event_id)
    assert refused.value.metadata == {"field": "event_id"}


async def test_a_journey_says_which_choice_a_delivery_is(client: Client, world: World) -> None:
    await world.person("an")
    await client.create_rule(world.rule(await client.active_campaign()))
    result = await client.activate_event(await world.event("an"))
    await world.delivery(result.decisions[0].decision_id)
    (made,) = [
        step for step in await client.get_journey(result.event_id) if step.outcome == "created"
    ]
    assert made.channel == CHANNEL
    assert (made.details["step"], made.details["choice"]) == (0, 0)
    assert "follows" not in made.details
