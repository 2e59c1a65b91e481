"""From a path in the text to the declared field that it names."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from libs.conditions.fields import CONSENT, EVENT, NOW, Type, fields_of, roots_of
from libs.conditions.tree import Input, Read

if TYPE_CHECKING:
    from libs.conditions.engine import Expression
    from libs.conditions.errors import ConditionError
    from libs.conditions.fields import Scope
    from libs.conditions.source import Source

_EXAMPLES: Final = {"profile": "profile.city", EVENT: "event.type"}


@dataclass(frozen=True, slots=True)
class Open:
    """A property or attribute: its use says what type is meant."""

    path: tuple[str, ...]


def path_of(expression: Expression) -> tuple[str, ...] | None:
    """The keys of a.b or a["b"], or None if the expression is nothing of the kind."""
    match expression.WhichOneof("kind"):
        case "ident_expr":
            return (expression.ident_expr.name,)
        case "select_expr" if not expression.select_expr.test_only:
            path = path_of(expression.select_expr.operand)
            return path and (*path, expression.select_expr.field)
        case "call_expr" if expression.call_expr.function == "_[_]":
            holder, key = expression.call_expr.args
            path = path_of(holder)
            if key.const_expr.WhichOneof("kind") == "string_value":
                return path and (*path, key.const_expr.string_value)
    return None


class Names:
    """The fields that one kind of condition may read."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self._source = source
        self._scope = scope
        self._fields = fields_of(scope)
        self._roots = roots_of(scope)

    def holds_open_fields(self, path: tuple[str, ...]) -> bool:
        """Whether any key may be asked of what lies there: properties and attributes."""
        field = self._fields.get(".".join(path))
        return field is not None and field.type is None

    def field(self, expression: Expression) -> Read | Open:
        """What an expression reads.

        Raises:
            ConditionError: there is no such field in this scope.
        """
        path = path_of(expression)
        if path is None:
            raise self._source.error(
                expression, 'only text may stand in [ ], as in event.properties["mã đơn"]'
            )
        return self._look_up(expression, path)

    def presence(self, expression: Expression) -> Read:
        """What has(…) asks.

        Raises:
            ConditionError: there is no such field in this scope, or it is always there.
        """
        select = expression.select_expr
        path = path_of(select.operand)
        if path is None:
            raise self._source.error(
                expression, "has() asks for a field, as in has(profile.churn_score)"
            )
        path = (*path, select.field)
        name = ".".join(path)
        if isinstance(self._look_up(expression, path), Read) and not self._fields[name].optional:
            raise self._source.error(
                expression, f"{name} is always there; ask for its value, not for has()"
            )
        return self.present(path)

    def present(self, path: tuple[str, ...]) -> Read:
        """The question whether there is a value."""
        return Read(Input(path, Type.BOOL, "presence"))

    def _look_up(self, expression: Expression, path: tuple[str, ...]) -> Read | Open:
        declared = path[:1] if path[0] == NOW else path[:2]
        name = ".".join(declared)
        field = self._fields.get(name)
        if field is None:
            raise self._unknown(expression, name)
        deeper = len(path) > len(declared)
        if field.type is None:
            if not deeper:
                key = f"{name}.key"
                raise self._source.error(expression, f"name one of its keys, as in {key}", key)
            return Open(path)
        if deeper:
            raise self._source.error(expression, f"{name} is {field.type.value}, it has no fields")
        return Read(Input(path, field.type))

    def _unknown(self, expression: Expression, name: str) -> ConditionError:
        root = name.split(".", maxsplit=1)[0]
        if root == CONSENT:
            usage = 'consent.granted("email", "marketing")'
            return self._source.error(expression, f"consent is asked as {usage}", usage)
        if root == EVENT and EVENT not in self._roots:
            return self._source.error(
                expression, f"a {self._scope} has no event; only a rule about events has one"
            )
        if name in _EXAMPLES:
            example = _EXAMPLES[name]
            return self._source.error(
                expression, f"name one of its fields, as in {example}", example
            )
        near = get_close_matches(name, [*self._fields, *self._roots], n=1)
        if near:
            return self._source.error(
                expression, f"unknown field {name}; did you mean {near[0]}?", near[0]
            )
        roots = ", ".join(self._roots)
        return self._source.error(
            expression, f"unknown field {name}; fields start with {roots}", roots
        )
