"""The ledger passes over without a question just what it would find nothing wrong with."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.journey.stories import AttemptRow, History, Teller

if TYPE_CHECKING:
    from uuid import UUID

SEED = 20261126
HISTORY_COUNT = 300
STATES = (
    *("pending", "sending", "accepted", "retry_wait", "failed", "suppressed", "expired"),
    *("cancelled", "outcome_unknown", "closed_unknown", "dead_letter"),
)
LAST_WORDS = {
    "accepted": ("accepted",),
    "rejected": ("failed",),
    "unknown": ("outcome_unknown", "closed_unknown"),
    "retry_at": ("retry_wait", "failed", "suppressed", "expired", "cancelled", "dead_letter"),
}
# The sums of three attempts as they should be, of other rows: 1 + 5 = 1 + 2 + 3.
ALIKE = History(
    state="accepted",
    attempts=[
        *((number, "intent", number, None) for number in (1, 5)),
        *((number, "result", number, "retry_at") for number in (1, 2)),
        (3, "result", 3, "accepted"),
    ],
)
SHORTCUT = re.compile(r"\n    -- Nothing to ask.*?\n    END\n    OFFSET 0\n", re.DOTALL)


def history_of(chance: random.Random) -> tuple[History, int]:
    """A history as most are, or with something odd about it, and what its delivery counts."""
    count = chance.choice((1, 1, 2, 2, 3, 4, 9, 10))
    last = chance.choice(tuple(LAST_WORDS))
    state = chance.choice(LAST_WORDS[last])
    rows: list[AttemptRow] = []
    for number in range(1, count + 1):
        kind = last if number == count else "retry_at"
        rows += [(number, "intent", number, None), (number, "result", number, kind)]
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        state, count = odd(chance, state, count, rows)
    return History(state=state, attempts=rows), count


def odd(chance: random.Random, state: str, count: int, rows: list[AttemptRow]) -> tuple[str, int]:
    """Change one thing; whether that breaks anything is for the ledger to say."""
    match chance.randrange(7):
        case 0:
            return chance.choice(STATES), count
        case 1:
            return state, max(0, count + chance.choice((-1, 1)))
        case 2 if rows:
            rows.pop(chance.randrange(len(rows)))
        case 3 if rows:
            place = chance.randrange(len(rows))
            number, phase, epoch, kind = rows[place]
            if kind is not None:
                rows[place] = (number, phase, epoch, chance.choice(tuple(LAST_WORDS)))
        case 4 if rows:
            place = chance.randrange(len(rows))
            number, phase, epoch, kind = rows[place]
            rows[place] = (number, phase, chance.choice((epoch, 1, epoch + 1)), kind)
        case 5 if rows:
            place = chance.randrange(len(rows))
            number, phase, epoch, kind = rows[place]
            moved = chance.choice((1, number + 1, number + 2))
            if (moved, phase) not in {row[:2] for row in rows}:
                rows[place] = (moved, phase, epoch, kind)
        case 6:
            late = (chance.randint(1, 2), "late", 1, chance.choice(tuple(LAST_WORDS)))
            if late[:2] not in {row[:2] for row in rows}:
                rows.append(late)
    return state, count


@pytest.mark.timeout(240)
async def test_shortcut_passes_over_no_breach(teller: Teller, tenant_id: UUID) -> None:
    alike = await teller.story(tenant_id, ALIKE, attempt_count=3)
    chance = random.Random(SEED)
    for _ in range(HISTORY_COUNT):
        history, count = history_of(chance)
        await teller.story(tenant_id, history, attempt_count=count)
    definition = await teller.fetchval(
        "SELECT pg_get_functiondef('ledger_deliveries_v1(interval)'::regprocedure)"
    )
    detailed, shortcut_count = SHORTCUT.subn("\n    OFFSET 0\n", definition)
    assert shortcut_count == 1
    await teller.run(detailed.replace("ledger_deliveries_v1", "ledger_in_detail", 1))

    async def breaches(function: str) -> set[Any]:
        rows = await teller.fetch(
            f"SELECT equation, subject_id, detail FROM {function}(interval '0')"
        )
        return {tuple(row) for row in rows}

    in_detail = await breaches("ledger_in_detail")
    assert await breaches("ledger_deliveries_v1") == in_detail
    assert alike.delivery_id in {subject_id for _, subject_id, _ in in_detail}
    # Both kinds are among the histories.
    broken_count = len({subject_id for _, subject_id, _ in in_detail})
    assert HISTORY_COUNT // 4 < broken_count < 3 * HISTORY_COUNT // 4
    assert {equation for equation, _, _ in in_detail} == {"A6", "A7", "A14"}
