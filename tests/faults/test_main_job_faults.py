"""Bad weather for the main job: nothing lost, nothing accepted twice, every doubt shown."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from libs.supervisor.books import find_breaches, wait_for_quiet
from libs.torture.plan import (
    EVENT_COUNT,
    KILLED,
    MISHAPS,
    SLOW,
    Plan,
    Strike,
    plan_of,
)
from tests.faults.stack import come_back_late

if TYPE_CHECKING:
    from libs.torture.plan import Kind
    from libs.torture.rounds import Rounds

# More of them by `leo torture`, which runs the same.
SEEDS = range(1, 21)
HALF = EVENT_COUNT // 2


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_schedule_leaves_balanced_books(rounds: Rounds, seed: int) -> None:
    outcome = await rounds.run(plan_of(seed))
    assert outcome.problems == [], outcome.plan


def test_the_schedules_hit_everything_and_are_the_same_each_time() -> None:
    plans = [plan_of(seed) for seed in range(1, 201)]
    assert plans == [plan_of(seed) for seed in range(1, 201)]
    strikes = [strike for plan in plans for strike in plan.strikes]
    assert {strike.process for strike in strikes} == set(KILLED)
    assert {strike.kind for strike in strikes} == {"kill", "freeze", "flush", "cut"}
    mishaps = {fault["kind"] for plan in plans for fault in plan.faults}
    assert mishaps == {*MISHAPS, "error_code", "reply_slow"}


@pytest.mark.parametrize("name", [name for name in KILLED if name != "dispatch-work"])
async def test_a_process_killed_in_the_middle_and_restarted(rounds: Rounds, name: str) -> None:
    kill = Strike("kill", name, HALF)
    outcome = await rounds.run(Plan(f"killed-{name.replace(' ', '-')}", (kill,), (SLOW,)))
    assert outcome.problems == []


async def test_a_sender_killed_with_messages_in_the_providers_hands(rounds: Rounds) -> None:
    plan = Plan("killed-sender", (Strike("kill", "dispatch-work", HALF),), (SLOW,))
    outcome = await rounds.run(plan)
    assert outcome.problems == []
    # Nobody heard the answers; what the provider took is known by its webhooks alone.
    assert (await rounds.answers(plan.name))["lease"] > 0


@pytest.mark.parametrize("kind", ["freeze", "cut"])
async def test_a_sender_that_comes_back_after_its_leases(rounds: Rounds, kind: Kind) -> None:
    plan = Plan(f"late-{kind}", come_back_late(kind), (SLOW,), alone=True)
    outcome = await rounds.run(plan)
    assert outcome.problems == []
    assert (await rounds.answers(plan.name))["lease"] > 0
    # What it had heard counts all the same, and what it had not begun is sent then.
    assert (await rounds.answers(plan.name, "late")).total() > 0


async def test_valkey_flushed_in_the_middle(rounds: Rounds) -> None:
    outcome = await rounds.run(Plan("flushed", (Strike("flush", "valkey", HALF),)))
    assert outcome.problems == []
    assert outcome.ends == {"accepted": EVENT_COUNT}


async def test_valkey_away_from_start_to_end(rounds: Rounds) -> None:
    # Stopped, not killed: whoever calls it gets no answer at all, and nobody restarts it.
    rounds.signal("valkey", signal.SIGSTOP)
    try:
        await rounds.send("no-valkey")
        async with rounds.running.auditor() as auditor:
            await wait_for_quiet(auditor, rounds.running.state.address("simulator"))
            assert await find_breaches(auditor, rounds.running.witness_file) == []
            rows = await rounds.deliveries(auditor, "no-valkey")
        assert Counter(row["state"] for row in rows) == {"accepted": EVENT_COUNT}
    finally:
        rounds.signal("valkey", signal.SIGCONT)
    await rounds.wait_healthy()


async def test_answers_lost_after_acceptance_are_doubts_until_the_webhook_settles_them(
    rounds: Rounds,
) -> None:
    # Mail servers say nothing of what arrives: their doubts stay.
    lost = {"provider": "zalo-template", "kind": "reply_lost", "probability": 0.2}
    # So late that the doubt can be seen.
    late = {"kind": "receipt_delayed", "delay_seconds": 3}
    plan = Plan("lost", faults=(lost, late))
    running = asyncio.create_task(rounds.run(plan))
    async with rounds.running.auditor() as auditor:
        while not running.done():
            rows = await rounds.deliveries(auditor, plan.name)
            if any(row["state"] == "outcome_unknown" for row in rows):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("no doubt was seen")
    outcome = await running
    assert outcome.problems == []
    assert outcome.ends == {"accepted": EVENT_COUNT}
    answers = await rounds.answers(plan.name)
    # One attempt each: what is in doubt is never sent again, and nothing goes out by another way.
    assert answers["no_answer_lost"] > 0
    accepted = answers["0"] + answers["250 2.0.0"]
    assert accepted + answers["no_answer_lost"] == answers.total() == EVENT_COUNT
    assert outcome.delivery_count == EVENT_COUNT


async def test_what_the_provider_never_took_stays_in_doubt_and_is_not_sent_again(
    rounds: Rounds,
) -> None:
    plan = Plan("by-proxy", faults=({"kind": "server_error_before", "probability": 0.2},))
    outcome = await rounds.run(plan)
    assert outcome.problems == []
    answers = await rounds.answers(plan.name)
    assert answers["http_503"] == outcome.ends["outcome_unknown"] > 0
    assert outcome.delivery_count == EVENT_COUNT


async def test_what_one_way_refuses_goes_out_by_the_next(rounds: Rounds) -> None:
    refused = {"kind": "error_code", "code": -114, "every": 2}
    outcome = await rounds.run(
        Plan("refused", (Strike("kill", "dispatch-work", HALF),), (refused, SLOW))
    )
    assert outcome.problems == []
    assert outcome.delivery_count > EVENT_COUNT


async def test_everything_at_once(rounds: Rounds) -> None:
    """Killed one after another while answers get lost and receipts come twice and late."""
    names = ("ingest", "decision", "dispatch", "dispatch-work", "edge", "valkey")
    step = EVENT_COUNT // (len(names) + 1)
    strikes = [Strike("kill", name, step * place) for place, name in enumerate(names, start=1)]
    mishaps = [{"kind": kind, "probability": 0.05} for kind in MISHAPS]
    outcome = await rounds.run(Plan("everything", tuple(strikes), (*mishaps, SLOW)))
    assert outcome.problems == []
