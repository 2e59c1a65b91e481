"""The provider's own count beside our rows: each way in which they may differ is told."""

from __future__ import annotations

from collections import Counter

import pytest

from libs.supervisor.books import compare_with_witness


def delivery(state: str, *, attempt_count: int = 1) -> dict[str, object]:
    return {"delivery_id": "d", "state": state, "attempt_count": attempt_count}


@pytest.mark.parametrize(
    ("state", "count"),
    [
        ("accepted", 1),
        ("outcome_unknown", 0),
        ("outcome_unknown", 1),
        ("closed_unknown", 0),
        ("closed_unknown", 1),
        ("sending", 0),
        ("sending", 1),
        ("failed", 0),
    ],
)
def test_what_may_be(state: str, count: int) -> None:
    assert compare_with_witness([delivery(state)], Counter({"d": count})) == []


@pytest.mark.parametrize("state", ["pending", "suppressed", "expired", "cancelled", "dead_letter"])
def test_what_was_never_handed_over_is_never_accepted(state: str) -> None:
    rows = [delivery(state, attempt_count=0)]
    assert compare_with_witness(rows, Counter()) == []
    assert compare_with_witness(rows, Counter({"d": 1})) != []


@pytest.mark.parametrize(
    ("state", "count", "equation"),
    [
        ("accepted", 0, "A5/A6"),
        ("accepted", 2, "A5/A6"),
        ("outcome_unknown", 2, "A5/A6"),
        ("retry_wait", 1, "A5/A6"),
        ("failed", 1, "A5/A6"),
    ],
)
def test_a_message_accepted_too_often_or_not_at_all_is_told(
    state: str, count: int, equation: str
) -> None:
    (problem,) = compare_with_witness([delivery(state)], Counter({"d": count}))
    assert problem.startswith(equation)
    assert f"{count} times" in problem


def test_an_acceptance_without_an_intent_is_told() -> None:
    rows = [delivery("outcome_unknown", attempt_count=0)]
    (problem,) = compare_with_witness(rows, Counter({"d": 1}))
    assert problem.startswith("A4")


def test_an_acceptance_of_a_delivery_that_nobody_knows_is_told() -> None:
    (problem,) = compare_with_witness([delivery("accepted")], Counter({"d": 1, "stranger": 1}))
    assert problem.startswith("A4")
    assert "stranger" in problem
