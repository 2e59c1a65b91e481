"""Whoever works on launches: everybody is decided about once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
import structlog

from libs.postgres import roles
from services.decision.domain.launching import Launch
from services.decision.store import members
from tests.contract.auth.processes import free_address
from tests.contract.decision.audit import broken_entries
from tests.contract.decision.client import counts_of, outcomes_of
from tests.contract.decision.world import hours
from tests.contract.issuers import SECRET, token_url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from leo.decision.v1 import decision_service_pb2 as pb
    from services.decision.launcher import Launcher
    from tests.conftest import DsnOf
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import Bell, NewLauncher
    from tests.contract.decision.world import World

MEMBER_COUNT = 6000


async def launched(client: Client, world: World, campaign_id: str, **rule: Any) -> str:
    """A launch to everybody; its id."""
    made = await client.create_rule(world.launched_rule(campaign_id, **rule))
    return (await client.launch_campaign(made.rule_id, await world.snapshot())).launch_id


async def finish(launcher: Launcher) -> int:
    """Work until there is nothing to do; how many turns it took."""
    count = 0
    while await launcher.turn():
        count += 1
    return count


async def state_of(client: Client, launch_id: str) -> str:
    launch = (await client.get_campaign_launch(launch_id)).launch
    return launch.State.Name(launch.state).removeprefix("STATE_")


async def test_everybody_gets_one_decision_with_all_that_it_depended_on(
    client: Client,
    world: World,
    launcher: Launcher,
    bell: Bell,
    auditor: Any,
) -> None:
    campaign_id = await client.active_campaign()
    an = await world.person("an")
    await world.person("binh", city="Hà Nội")
    launch_id = await launched(
        client, world, campaign_id, condition='profile.city == "Huế"', cooldown=hours(1)
    )
    # What is decided counts as it is now, under the rule as it was launched.
    await world.run("UPDATE cdp_profiles SET version = 9 WHERE profile_id = $1", an)
    (rule,) = (await client.list_rules()).rules
    rule.condition = "false"
    await client.update_rule(rule, "condition")
    assert await finish(launcher) == 1
    rows = {row["profile_id"]: row for row in await world.decisions()}
    launch = (await client.get_campaign_launch(launch_id)).launch
    for row in rows.values():
        assert (row["trigger_kind"], row["trigger_id"]) == ("launch", UUID(launch_id))
        assert (row["ordinal"], row["rule_set_version"]) == (0, 3)
        assert (row["campaign_id"], row["rule_id"]) == (UUID(campaign_id), UUID(rule.rule_id))
        assert (row["rule_version"], row["segment_version"]) == (1, 4)
        assert row["segment_id"] is not None
    acted = rows.pop(an)
    (other,) = rows.values()
    assert (acted["outcome"], acted["reason"]) == ("acted", "every check passed")
    assert acted["profile_version"] == 9
    inputs = orjson.loads(acted["inputs"])
    assert inputs.pop("now") == acted["decided_at"].isoformat()
    assert (
        inputs.pop("launch_time")
        == launch.create_time.ToDatetime(tzinfo=acted["decided_at"].tzinfo).isoformat()
    )
    assert 0 <= inputs.pop("hold_out_bucket") < 100
    assert inputs == {
        "launch_id": launch_id,
        "snapshot_id": launch.snapshot_id,
        "member_version": 2,
        "condition": {"profile": {"city": "Huế"}},
        "purpose": "care",
        "last_acted_at": None,
        "consents": {"zalo-template": "granted"},
        "recipient_refs": ["phone:0"],
    }
    assert (other["outcome"], other["reason"]) == ("no_rule", "the rule's condition is not met")
    assert orjson.loads(other["inputs"])["condition"] == {"profile": {"city": "Hà Nội"}}
    # Whoever launched it stands behind the decisions, and the bell rang for those that act.
    (entry,) = await world.entries("decided")
    (launch_entry,) = await world.entries("campaign_launched")
    assert (entry["actor"], entry["call_id"]) == (launch_entry["actor"], launch_id)
    assert await broken_entries(auditor, world.tenant_id) == []
    assert bell.rung == [(world.tenant_id, [acted["decision_id"]])]
    assert await finish(launcher) == 0


async def test_a_launch_to_nobody_is_over_at_once(
    client: Client, world: World, campaign_id: str, launcher: Launcher, bell: Bell
) -> None:
    launch_id = await launched(client, world, campaign_id)
    assert await finish(launcher) == 1
    assert await state_of(client, launch_id) == "SUCCEEDED"
    assert (await world.decisions(), bell.rung) == ([], [])


async def test_members_are_decided_in_batches_across_chunks(
    client: Client, world: World, campaign_id: str, launcher: Launcher, bell: Bell
) -> None:
    await world.crowd(10_750)
    launch_id = await launched(client, world, campaign_id)
    assert await finish(launcher) == 22
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 10_750}
    assert max(len(ids) for _, ids in bell.rung) == 500
    assert len(set(bell.decision_ids)) == 10_750


async def test_who_is_gone_since_the_snapshot_is_told_and_who_was_erased_is_not(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    for name in ("an", "inactive", "erased"):
        await world.person(name, consents=() if name == "erased" else (("zalo-template", "care"),))
    launch_id = await launched(client, world, campaign_id)
    await world.run("UPDATE cdp_profiles SET state = 'inactive' WHERE ext_id = 'inactive'")
    await world.run("DELETE FROM cdp_profiles WHERE ext_id = 'erased'")
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 1, "NO_PROFILE": 1}
    assert await state_of(client, launch_id) == "SUCCEEDED"
    assert (
        await world.fetchval("SELECT count(*) FROM ledger_breach('0') WHERE equation <> 'A2'") == 0
    )


async def test_a_withdrawal_after_the_snapshot_counts(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(3)
    launch_id = await launched(client, world, campaign_id)
    await world.run("UPDATE profile_consent SET state = 'withdrawn'")
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"NO_CONSENT": 3}


async def test_a_paused_launch_stops_between_batches_and_goes_on_later(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(1200)
    launch_id = await launched(client, world, campaign_id)
    assert await launcher.turn()
    await client.set_campaign_state(campaign_id, "PAUSED")
    assert not await launcher.turn()
    assert await state_of(client, launch_id) == "PAUSED"
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 500}
    await client.set_campaign_state(campaign_id, "ACTIVE")
    assert await state_of(client, launch_id) == "RUNNING"
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 1200}
    assert await state_of(client, launch_id) == "SUCCEEDED"


async def test_who_is_left_when_the_campaign_ends_is_told_so(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(700)
    launch_id = await launched(client, world, campaign_id)
    assert await launcher.turn()
    await client.set_campaign_state(campaign_id, "ENDED")
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 500, "EXPIRED": 200}
    reasons = {row["reason"] for row in await world.decisions() if row["outcome"] == "expired"}
    assert reasons == {"the campaign ended before it was this person's turn"}
    assert await state_of(client, launch_id) == "SUCCEEDED"


async def test_who_is_left_when_the_launch_is_too_old_is_told_so(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(700)
    launch_id = await launched(client, world, campaign_id, time_to_live=hours(1))
    assert await launcher.turn()
    await world.run("UPDATE campaign_launch SET created_at = created_at - interval '61 minutes'")
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 500, "EXPIRED": 200}
    reasons = {row["reason"] for row in await world.decisions() if row["outcome"] == "expired"}
    assert reasons == {"the launch is older than the 1 hour it is worth"}


async def test_a_launch_waits_while_its_messages_do(
    client: Client,
    world: World,
    campaign_id: str,
    launcher: Launcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the message of an event waits behind some of them, and not behind all."""
    monkeypatch.setattr(members, "WAITING_COUNT_MAX", 2)
    await world.crowd(700)
    launch_id = await launched(client, world, campaign_id)
    assert await launcher.turn()
    acted = [row["decision_id"] for row in await world.decisions()]
    for decision_id in acted[:2]:
        await world.delivery(str(decision_id))
    assert not await launcher.turn()
    # What waits for quiet hours to end is in nobody's way.
    await world.run("UPDATE delivery_log SET due_at = due_at + interval '1 hour'")
    assert await launcher.turn()
    await world.run("UPDATE delivery_log SET due_at = due_at - interval '1 hour'")
    # And an end waits for nothing.
    other_id = await client.active_campaign("other")
    other = await launched(client, world, other_id)
    assert not await launcher.turn()
    await client.set_campaign_state(other_id, "ENDED")
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(other)) == {"EXPIRED": 700}
    assert await state_of(client, launch_id) == "SUCCEEDED"


async def test_a_tenant_that_is_removed_is_left_alone_and_one_that_is_suspended_is_not(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(10)
    await launched(client, world, campaign_id)
    state = "UPDATE tenant SET state = $2 WHERE tenant_id = $1"
    await world.run(state, world.tenant_id, "removing")
    with structlog.testing.capture_logs() as logs:
        assert not await launcher.turn()
    assert logs == []
    await world.run(state, world.tenant_id, "suspended")
    assert await launcher.turn()
    assert len(await world.decisions()) == 10


async def test_tenants_and_their_launches_take_turns(
    client: Client,
    world: World,
    other_client: Client,
    other_world: World,
    launcher: Launcher,
) -> None:
    campaign_id = await client.active_campaign()
    for each in (world, other_world):
        await each.crowd(1000)
    launches = [
        (client, await launched(client, world, campaign_id, name="a")),
        (client, await launched(client, world, campaign_id, name="b")),
        (
            other_client,
            await launched(other_client, other_world, await other_client.active_campaign()),
        ),
    ]
    seen = []
    while await launcher.turn():
        seen.append(
            [
                sum(counts_of(await each.get_campaign_launch(launch_id)).values())
                for each, launch_id in launches
            ]
        )
    assert seen == [[500, 0, 500], [500, 500, 1000], [1000, 500, 1000], [1000, 1000, 1000]]


async def test_a_cooldown_holds_between_a_launch_and_a_second_one_at_once(
    client: Client, world: World, campaign_id: str, new_launcher: NewLauncher
) -> None:
    await world.crowd(900)
    rule = await client.create_rule(world.launched_rule(campaign_id, cooldown=hours(1)))
    snapshot_id = await world.snapshot()
    for _ in range(2):
        await client.launch_campaign(rule.rule_id, snapshot_id)
    workers = [await new_launcher() for _ in range(2)]
    # Each by itself decides about another launch: whoever comes second finds the first's decisions.
    await asyncio.gather(*(finish(worker) for worker in workers))
    for worker in workers:
        await finish(worker)
    outcomes = [row["outcome"] for row in await world.decisions()]
    assert (outcomes.count("acted"), outcomes.count("cooldown")) == (900, 900)


async def test_one_who_cannot_be_decided_about_holds_back_nobody(
    client: Client,
    world: World,
    campaign_id: str,
    launcher: Launcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await world.crowd(700)
    poison = await world.fetchval("SELECT profile_id FROM cdp_profiles WHERE ext_id = 'p321'")
    decide = Launch.decide

    def failing(self: Launch, member: Any, **moment: Any) -> Any:
        if member.person.profile_id == poison:
            raise ZeroDivisionError
        return decide(self, member, **moment)

    monkeypatch.setattr(Launch, "decide", failing)
    launch_id = await launched(client, world, campaign_id)
    await finish(launcher)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 699, "ERROR": 1}
    (failed,) = [row for row in await world.decisions() if row["outcome"] == "error"]
    assert failed["profile_id"] == poison
    assert failed["reason"] == "deciding failed again and again; the log says how"


async def test_two_workers_at_once_decide_about_nobody_twice(
    client: Client, world: World, campaign_id: str, new_launcher: NewLauncher, auditor: Any
) -> None:
    """Without their turns, as if both held the lock: the decisions themselves are unique."""
    await world.crowd(2000)
    launch_id = await launched(client, world, campaign_id)
    workers = [await new_launcher() for _ in range(3)]

    @asynccontextmanager
    async def always(*_: object, **__: object) -> AsyncIterator[bool]:
        yield True

    with pytest.MonkeyPatch.context() as patched:
        for worker in workers:
            patched.setattr(worker._finder, "turn", always)
        await asyncio.gather(*(finish(worker) for worker in workers))
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": 2000}
    assert len({row["profile_id"] for row in await world.decisions()}) == 2000
    assert await state_of(client, launch_id) == "SUCCEEDED"
    assert await broken_entries(auditor, world.tenant_id) == []


async def test_events_go_on_while_a_launch_runs(
    client: Client, world: World, campaign_id: str, launcher: Launcher
) -> None:
    await world.crowd(2000)
    await world.person("an")
    await client.create_rule(world.rule(campaign_id))
    await launched(client, world, campaign_id)
    working = asyncio.create_task(finish(launcher))
    results = await client.batch_activate([await world.event("an") for _ in range(50)])
    assert {tuple(outcomes_of(result)) for result in results} == {("ACTED",)}
    await working


@pytest.fixture
async def work(dsn_of: DsnOf, realm: str, tmp_path: Path) -> AsyncIterator[Any]:
    """Starts `python -m services.decision work`, as the supervisor does; dispatch is away."""
    environment = {
        "LEO_DECISION_DISPATCH_ADDRESS": free_address(),
        "LEO_POSTGRES_DSN": dsn_of(roles.DECISION),
        "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
        "LEO_INTERNAL_CLIENT_ID": "leo-decision",
        "LEO_INTERNAL_CLIENT_SECRET": SECRET,
        "LEO_INTERNAL_TOKEN_URL": token_url_of(realm),
    }
    async with AsyncExitStack() as stack:

        async def start() -> asyncio.subprocess.Process:
            output = stack.enter_context((tmp_path / "log").open("ab"))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.decision",
                "work",
                env=os.environ | environment,
                stdout=output,
                stderr=output,
            )

            async def end() -> None:
                if process.returncode is None:
                    process.kill()
                await process.wait()

            stack.push_async_callback(end)
            return process

        yield start


async def wait_for(client: Client, launch_id: str, *, count: int) -> pb.GetCampaignLaunchResponse:
    """Wait until so many members are decided about; the test's time limit ends it."""
    while True:
        found = await client.get_campaign_launch(launch_id)
        if sum(counts_of(found).values()) >= count:
            return found
        await asyncio.sleep(0.05)


async def test_a_worker_that_is_killed_in_the_middle_loses_nobody_and_repeats_nobody(
    client: Client, world: World, campaign_id: str, work: Any, auditor: Any
) -> None:
    await world.crowd(MEMBER_COUNT)
    launch_id = await launched(client, world, campaign_id, cooldown=hours(1))
    for kill_at in (500, 2000):
        process = await work()
        await wait_for(client, launch_id, count=kill_at)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    decided = await wait_for(client, launch_id, count=2000)
    assert sum(counts_of(decided).values()) < MEMBER_COUNT
    assert await state_of(client, launch_id) == "RUNNING"
    # Two at once finish it.
    last = [await work(), await work()]
    await wait_for(client, launch_id, count=MEMBER_COUNT)
    while await state_of(client, launch_id) != "SUCCEEDED":  # noqa: ASYNC110 - in the database
        await asyncio.sleep(0.05)
    assert counts_of(await client.get_campaign_launch(launch_id)) == {"ACTED": MEMBER_COUNT}
    assert len({row["profile_id"] for row in await world.decisions()}) == MEMBER_COUNT
    assert await broken_entries(auditor, world.tenant_id) == []
    assert await auditor.fetch("SELECT * FROM ledger_breach('0') WHERE equation <> 'A2'") == []
    for process in last:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), timedelta(seconds=30).total_seconds()) == 0
