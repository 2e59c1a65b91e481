"""Random conditions agree with an interpreter that shares nothing with the library."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.conditions import compile_condition

Truth = bool | None
# A condition as text, and what it must come to on given values.
Told = tuple[str, Callable[[dict[str, Any]], Truth]]

START = datetime(2026, 11, 25, tzinfo=UTC)
TEXTS: list[Any] = ["", "a", "Hà Nội", "Ha", "đ", "\uffff", "\U0001f600", "vàng"]
NUMBERS: list[Any] = [
    -1,
    0,
    1,
    5,
    5.0,
    5.5,
    2**53,
    2**53 + 1,
    float(2**53),
    1e300,
    2**63 - 1,
    -(2**63),
]
JSON_VALUES: list[Any] = [
    *TEXTS,
    *NUMBERS,
    True,
    False,
    None,
    [],
    ["a"],
    [1, 5],
    ["a", 1],
    {"k": 1},
]
TYPED_FIELDS: dict[str, list[Any]] = {
    "city": TEXTS,
    "lifetime_value_vnd": [n for n in NUMBERS if isinstance(n, int)],
    "churn_score": [0.0, 0.5, 1.0, None],
    "birth_month": [1, 11, None],
}
WHOLE = {"profile.lifetime_value_vnd", "profile.birth_month"}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_type(value: object, other: object) -> bool:
    if is_number(other):
        return is_number(value)
    return type(value) is type(other)


def written(value: object) -> str:
    if isinstance(value, str):
        return '"' + value + '"'
    if isinstance(value, datetime):
        return f'timestamp("{value.isoformat()}")'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def found(values: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None  # type: ignore[assignment]
    return values


class Conditions:
    """Draws conditions and values."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def values(self) -> dict[str, Any]:
        choose = self._random.choice
        profile: dict[str, Any] = {name: choose(of) for name, of in TYPED_FIELDS.items()}
        profile["labels"] = choose([[], ["a"], ["đ", "vàng"]])
        profile["attributes"] = {name: choose(JSON_VALUES) for name in "xyz"}
        profile["updated_at"] = START + timedelta(microseconds=choose([-1, 0, 1, 10**12]))
        state = choose(["granted", "withdrawn", None])
        return {
            "profile": profile,
            "event": {"properties": {name: choose(JSON_VALUES) for name in "xyz"}},
            "consent": {"email": {"marketing": state}} if state else {},
            "now": START,
        }

    def tree(self, depth: int) -> Told:
        shape = self._random.randrange(4) if depth else 3
        if shape == 3:
            return self._random.choice(
                [self._open, self._typed, self._membership, self._one_of, self._asked, self._time]
            )()
        if shape == 2:
            text, truth = self.tree(depth - 1)
            return f"!({text})", lambda values: None if (t := truth(values)) is None else not t
        left, left_truth = self.tree(depth - 1)
        right, right_truth = self.tree(depth - 1)
        absorbing = shape == 0
        operator = "||" if absorbing else "&&"

        def both(values: dict[str, Any]) -> Truth:
            truths = {left_truth(values), right_truth(values)}
            if absorbing in truths:
                return absorbing
            return None if None in truths else not absorbing

        return f"({left}) {operator} ({right})", both

    def _path(self) -> str:
        root = self._random.choice(["profile.attributes", "event.properties"])
        return f"{root}.{self._random.choice('xyz')}"

    def _compared(self, path: str, literal: Any) -> Told:
        usual = ["==", "!="] if isinstance(literal, bool) else list(OPERATORS)
        operator = self._random.choice(usual)

        def truth(values: dict[str, Any]) -> Truth:
            value = found(values, path)
            if not same_type(value, literal):
                return None
            if is_number(literal) and not (path in WHOLE and isinstance(literal, int)):
                return OPERATORS[operator](float(value), float(literal))
            return OPERATORS[operator](value, literal)

        return f"{path} {operator} {written(literal)}", truth

    def _open(self) -> Told:
        literal = self._random.choice([*TEXTS, *NUMBERS, True, False])
        return self._compared(self._path(), literal)

    def _typed(self) -> Told:
        name = self._random.choice(list(TYPED_FIELDS))
        literals = TEXTS if name == "city" else NUMBERS
        return self._compared(f"profile.{name}", self._random.choice(literals))

    def _time(self) -> Told:
        literal = START + timedelta(microseconds=self._random.choice([-1, 0, 1]))
        return self._compared(self._random.choice(["profile.updated_at", "now"]), literal)

    def _membership(self) -> Told:
        path = self._random.choice([self._path(), "profile.labels"])
        literal = self._random.choice(TEXTS if path == "profile.labels" else ["a", "đ", 1, 5.0])

        def truth(values: dict[str, Any]) -> Truth:
            items = found(values, path)
            if not isinstance(items, list) or not all(same_type(item, literal) for item in items):
                return None
            return literal in items

        return f"{written(literal)} in {path}", truth

    def _one_of(self) -> Told:
        path = self._path()
        literals = self._random.sample(self._random.choice([TEXTS, NUMBERS]), 3)

        def truth(values: dict[str, Any]) -> Truth:
            value = found(values, path)
            if not same_type(value, literals[0]):
                return None
            return float(value) in map(float, literals) if is_number(value) else value in literals

        return f"{path} in [{', '.join(map(written, literals))}]", truth

    def _asked(self) -> Told:
        if self._random.random() < 0.5:
            path = self._path()
            return f"has({path})", lambda values: found(values, path) is not None
        return (
            'consent.granted("email", "marketing")',
            lambda values: found(values, "consent.email.marketing") == "granted",
        )


def test_random_conditions_come_to_what_the_three_valued_logic_says() -> None:
    states = {True: "met", False: "not_met", None: "unknown"}
    drawn = Conditions(seed=4)
    seen = dict.fromkeys(states.values(), 0)
    for _ in range(400):
        text, truth = drawn.tree(depth=4)
        condition = compile_condition(text, "rule")
        for _ in range(10):
            values = drawn.values()
            outcome = condition.evaluate(values)
            assert outcome.state == states[truth(values)], (text, values)
            assert bool(outcome.problems) == (outcome.state == "unknown")
            assert condition.evaluate(condition.inputs(values)) == outcome, (text, values)
            seen[outcome.state] += 1
    assert min(seen.values()) > 400
