"""A condition of a segment or a rule: checked and compiled once, evaluated many times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from libs.conditions.checker import check
from libs.conditions.engine import Program
from libs.conditions.errors import ConditionError
from libs.conditions.limits import COMPILED_COUNT_MAX, TEXT_BYTES_MAX
from libs.conditions.tree import Call, Read
from libs.conditions.values import Problem, plain_values, variable_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libs.conditions.fields import Scope
    from libs.conditions.tree import Input, Node
    from libs.conditions.values import Values

State = Literal["met", "not_met", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a condition comes to.

    Attributes:
        state: "unknown" if it depends on a value that is missing or of another type.
        problems: with "unknown": what is wrong with the values that it reads; else empty.
    """

    state: State
    problems: tuple[Problem, ...] = ()

    @property
    def met(self) -> bool:
        """Whether to act on it: unknown is not met."""
        return self.state == "met"


_MET: Final = Outcome("met")
_NOT_MET: Final = Outcome("not_met")
# With every input in place only + and - can fail.
_OUT_OF_RANGE: Final = Outcome("unknown", (Problem("+ or -", "leaves the range of its type"),))


class Condition:
    """A condition that was checked. Made by compile_condition.

    Attributes:
        text, scope: what it was made of.
        tree: its meaning.
        fields: the names of what it reads, sorted: "profile.city", "consent.email.marketing".
    """

    def __init__(self, text: str, scope: Scope) -> None:
        self.text = text
        self.scope = scope
        self.tree = check(text, scope)
        self._inputs = tuple(dict.fromkeys(_inputs_of(self.tree)))
        self.fields = tuple(sorted({item.field for item in self._inputs}))
        self._program = Program(self.tree, self._inputs)

    def evaluate(self, values: Values) -> Outcome:
        """What the condition comes to on these values; it never raises for what they hold.

        Args:
            values: plain dictionaries. "profile": a row of cdp_profiles with `attributes` read from
                its JSON; "consent": {channel: {purpose: state}}; "now"; and in a rule "event" with
                type, source, time, properties. Times are aware. More than is needed may be there.
        """
        variables: dict[str, object] = {}
        problems: list[Problem] = []
        for index, item in enumerate(self._inputs):
            variable = variable_of(item, values)
            if isinstance(variable, Problem):
                problems.append(variable)
            else:
                variables[f"v{index}"] = variable
        result = self._program.run(variables)
        if result is None:
            return Outcome("unknown", tuple(dict.fromkeys(problems))) if problems else _OUT_OF_RANGE
        return _MET if result else _NOT_MET

    def inputs(self, values: Values) -> Values:
        """What the condition read, as plain JSON of the same shape: it evaluates to the same."""
        return plain_values(self._inputs, values)


@lru_cache(maxsize=COMPILED_COUNT_MAX)
def compile_condition(text: str, scope: Scope) -> Condition:
    """Check and compile a condition; the same text and scope give the same object, while kept.

    Raises:
        ConditionError: the text is no condition of that scope; says where, why and what to write.
    """
    try:
        text_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConditionError("holds half of a surrogate pair", line=1, column=1) from error
    if text_bytes > TEXT_BYTES_MAX:
        raise ConditionError(
            f"takes {text_bytes} bytes; at most {TEXT_BYTES_MAX} are allowed", line=1, column=1
        )
    return Condition(text, scope)


def _inputs_of(node: Node) -> Iterator[Input]:
    if isinstance(node, Read):
        yield node.input
    elif isinstance(node, Call):
        for argument in node.arguments:
            yield from _inputs_of(argument)
