"""Rules that an upgrade cannot ask any more: they stop by themselves, in the open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import InvalidError
from tests.contract.decision.audit import broken_entries
from tests.contract.decision.client import outcomes_of

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import Bell
    from tests.contract.decision.world import World

# As an earlier version could have let it in.
GONE = 'event.type == "purchase"\n&& profile.shoe_size > 40'


async def test_a_rule_that_does_not_compile_any_more_says_so_and_the_others_act(
    client: Client, world: World, bell: Bell, auditor: Any
) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    rules = {
        name: await client.create_rule(world.rule(campaign_id, name=name, priority=priority))
        for priority, name in ((3, "first"), (2, "broken"), (1, "last"))
    }
    await world.store_terms(rules["broken"].rule_id, condition=GONE)
    with capture_logs() as entries:
        results = await client.batch_activate([await world.event("an") for _ in range(3)])
        results.append(await client.activate_event(await world.event("an")))
    reason = (
        'rule "broken" cannot be asked: its condition does not compile any more (line 2, column 4)'
    )
    for result in results:
        assert outcomes_of(result) == ["ACTED", "ERROR", "ACTED"]
        told = result.decisions[1]
        assert (told.reason, told.rule_id, told.rule_version) == (
            reason,
            rules["broken"].rule_id,
            2,
        )
    assert len(bell.decision_ids) == 8
    stored = [row for row in await world.decisions() if row["outcome"] == "error"]
    assert len(stored) == 4
    assert {"event_id", "event_time", "now"} == orjson.loads(stored[0]["inputs"]).keys()
    assert await broken_entries(auditor, world.tenant_id) == []
    # In the log once for the version of the rules, not once an event.
    (entry,) = [entry for entry in entries if entry["event"] == "rule cannot be asked"]
    assert (entry["log_level"], entry["tenant_id"]) == ("error", str(world.tenant_id))
    assert (entry["rule_id"], entry["rule_version"]) == (rules["broken"].rule_id, 2)
    assert "line 2, column 4" in entry["problem"]


async def test_the_list_of_rules_shows_what_is_wrong_until_it_is_written_anew(
    client: Client, world: World
) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    created = await client.create_rule(world.rule(campaign_id, condition="true"))
    assert created.condition_problem == ""
    await world.store_terms(created.rule_id, condition=GONE)
    (listed,) = (await client.list_rules()).rules
    assert listed.condition == GONE
    assert listed.condition_problem.startswith("line 2, column 4: ")
    assert "shoe_size" in listed.condition_problem
    missed = await client.activate_event(await world.event("an"))
    assert outcomes_of(missed) == ["ERROR"]
    # Another change does not let it pass.
    with pytest.raises(InvalidError) as refused:
        await client.update_rule(pb.Rule(rule_id=created.rule_id, priority=1), "priority")
    assert refused.value.reason == "CONDITION_INVALID"
    mended = await client.update_rule(
        pb.Rule(rule_id=created.rule_id, condition="true"), "condition"
    )
    assert mended.condition_problem == ""
    assert outcomes_of(await client.activate_event(await world.event("an"))) == ["ACTED"]
    # What was decided never meets a newer rule.
    again = await client.activate_event(missed.event_id)
    assert (list(again.decisions), again.duplicate) == (list(missed.decisions), True)


async def test_a_broken_rule_about_other_events_changes_nothing(
    client: Client, world: World
) -> None:
    await world.person("an")
    campaign_id = await client.active_campaign()
    other = await client.create_rule(world.rule(campaign_id, name="a", event_type="refund"))
    await world.store_terms(other.rule_id, condition=GONE)
    no_rule = await client.activate_event(await world.event("an"))
    assert outcomes_of(no_rule) == ["NO_RULE"]
    assert outcomes_of(await client.activate_event(await world.event("nobody", "refund"))) == [
        "NO_PROFILE"
    ]


async def test_a_segment_that_does_not_compile_any_more_stops_the_rules_that_need_it(
    client: Client, world: World
) -> None:
    await world.person("an")
    segment_id = await world.segment("profile.shoe_size > 40")
    campaign_id = await client.active_campaign()
    rules = [
        await client.create_rule(
            world.rule(campaign_id, name=name, segment_id=segment, condition=condition)
        )
        for name, segment, condition in (
            ("a", segment_id, "true"),
            ("b", segment_id, "false"),
            ("c", "", "true"),
        )
    ]
    result = await client.activate_event(await world.event("an"))
    assert outcomes_of(result) == ["ERROR", "ACTED"]
    told = result.decisions[0]
    assert told.rule_id == rules[0].rule_id
    assert told.reason == (
        'rule "a" cannot be asked: the condition of its segment does not compile any more'
        " (line 1, column 1)"
    )
    stored = (await world.decisions())[0]
    assert (str(stored["segment_id"]), stored["segment_version"]) == (segment_id, 4)
