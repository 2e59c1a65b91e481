"""What the reference says of conditions is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from libs.conditions import ConditionError, compile_condition

PAGE = (Path(__file__).parents[3] / "docs/reference/conditions.md").read_text()
EXAMPLES = [
    example
    for block in re.findall(r"```cel\n(.*?)```", PAGE, re.DOTALL)
    for example in block.split("\n\n")
]
ERRORS = re.findall(
    r"^\| `(.+?)`(?: in a segment)? \| (\d+):(\d+) \| (.+?) \|(.*)\|$", PAGE, re.MULTILINE
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_the_reference_compiles(example: str) -> None:
    assert compile_condition(example, "rule").fields


@pytest.mark.parametrize(("text", "line", "column", "message", "expected"), ERRORS)
def test_error_of_the_reference_is_the_one_that_is_raised(
    text: str, line: str, column: str, message: str, expected: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, "segment")
    error = caught.value
    assert (str(error.line), str(error.column), error.message) == (line, column, message)
    assert error.expected == expected.strip(" `")


def test_reference_has_examples_and_errors() -> None:
    assert len(EXAMPLES) >= 7
    assert len(ERRORS) >= 8
