"""Three planted flaws, and that the schedules find each; without the flaw, they find nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.torture.plan import EVENT_COUNT, SECOND, SLOW, Plan, Strike
from libs.torture.second import MODULE
from tests.faults.stack import come_back_late

if TYPE_CHECKING:
    from libs.torture.rounds import Rounds

MUTANTS = "tests.faults.mutants"
# What a flawed worker leaves behind may wait for its lease and the longest back-off.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def known() -> set[str]:
    """What flaws of earlier tests have left in the books of the stack."""
    return set()


def new(problems: list[str], known: set[str]) -> list[str]:
    found = [problem for problem in problems if problem not in known]
    known.update(found)
    return found


@pytest.mark.parametrize("module", [MODULE, f"{MUTANTS}.blind_retry"])
async def test_a_blind_retry_after_a_doubt_is_found(
    rounds: Rounds, known: set[str], module: str
) -> None:
    lost = {"kind": "reply_lost", "every": 3, "count_max": 5}
    plan = Plan(f"doubts-{module}", faults=(lost,), second_worker=True, alone=True)
    outcome = await rounds.run(plan, module=module)
    assert (await rounds.answers(plan.name))["no_answer_lost"] > 0
    found = new(outcome.problems, known)
    assert any("accepted it 2 times" in problem for problem in found) == (module != MODULE), found
    assert bool(found) == (module != MODULE), found


@pytest.mark.parametrize("module", [MODULE, f"{MUTANTS}.intent_after_call"])
async def test_an_intent_after_the_call_is_found(
    rounds: Rounds, known: set[str], module: str
) -> None:
    kill = Strike("kill", SECOND, EVENT_COUNT // 2)
    plan = Plan(f"intents-{module}", (kill,), (SLOW,), alone=True)
    outcome = await rounds.run(plan, module=module)
    found = new(outcome.problems, known)
    assert any("the provider accepted it" in problem for problem in found) == (module != MODULE)
    assert bool(found) == (module != MODULE), found


@pytest.mark.parametrize("module", [MODULE, f"{MUTANTS}.no_fence"])
async def test_a_missing_fence_is_found(rounds: Rounds, known: set[str], module: str) -> None:
    """A worker is cut off with its messages, and comes back with what it heard.

    No receipt tells what became of them. The database refuses a second result of an attempt, so
    whoever writes without asking whether the delivery is still theirs loses what they know.
    """
    deaf = {"kind": "receipt_dropped"}
    plan = Plan(f"fences-{module}", come_back_late("cut"), (SLOW, deaf), alone=True)
    outcome = await rounds.run(plan, module=module)
    lost = (await rounds.answers(plan.name))["lease"]
    late = (await rounds.answers(plan.name, "late")).total()
    assert lost > 0
    assert (late == lost) == (module == MODULE), (late, outcome)
    assert new(outcome.problems, known) == []
