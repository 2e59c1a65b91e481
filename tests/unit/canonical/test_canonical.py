from __future__ import annotations

import random
import sys
from typing import Any

import pytest
import rfc8785

from libs import canonical

SEED = 8785


def test_every_character_is_written_as_the_standard_says() -> None:
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF:
            assert canonical.dumps(chr(code)) == rfc8785.dumps(chr(code)), hex(code)


def test_numbers_are_written_as_the_standard_says() -> None:
    chance = random.Random(SEED)
    for _ in range(50_000):
        number = chance.uniform(-1, 1) * 10 ** chance.randint(-25, 25)
        for value in (number, round(number, 2), int(number) % 2**53):
            assert canonical.dumps(value) == rfc8785.dumps(value), value


def random_value(chance: random.Random, depth: int) -> Any:  # noqa: PLR0911
    kinds = "snbi0" + "dl" * (depth > 0)
    match chance.choice(kinds):
        case "s":
            return "".join(chr(chance.choice([34, 92, 9, 65, 233, 0x1EC7, 0x1F600])) for _ in "123")
        case "n":
            return chance.uniform(-1e6, 1e6)
        case "b":
            return chance.random() < 0.5
        case "i":
            return chance.randint(-(2**53) + 1, 2**53 - 1)
        case "0":
            return None
        case "d":
            # Beyond the basic plane the two orders of keys differ.
            keys = ["b", "a", "", "é", "\ufb01", "\U0001f600", "B", "aa"]
            return {key: random_value(chance, depth - 1) for key in chance.sample(keys, 4)}
        case _:
            return [random_value(chance, depth - 1) for _ in range(chance.randint(0, 3))]


def test_any_value_is_written_as_the_standard_says() -> None:
    chance = random.Random(SEED)
    for _ in range(5_000):
        value = random_value(chance, 4)
        assert canonical.dumps(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("inf"), float("nan"), "\ud800", {"a": "\udfff"}, {1: 2}, b"x"]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(canonical.CanonicalError):
        canonical.dumps(value)
    with pytest.raises(canonical.CanonicalError):
        canonical.dumps([value, 0.000001])
