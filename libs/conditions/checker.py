"""From the syntax of a condition to its typed tree: the one place that knows what is allowed.

CEL's own type check stops at values of type `dyn`, which is what properties and attributes are, and
says "no matching overload"; here such a value gets the type that its use asks for, so that text
where a number is compared is unknown and not quietly unequal.
"""

from __future__ import annotations

import math
import re
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeAlias

from libs.conditions import engine
from libs.conditions.errors import ConditionError
from libs.conditions.fields import CONSENT, Type
from libs.conditions.limits import COST_MAX, LIST_COST, SEARCH_COST
from libs.conditions.names import Names, Open, path_of
from libs.conditions.source import Source
from libs.conditions.tree import (
    CALENDAR_FUNCTIONS,
    TEXT_FUNCTIONS,
    Call,
    Constant,
    Constants,
    Input,
    Node,
    Read,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.conditions.engine import Expression
    from libs.conditions.fields import Scope

_Found: TypeAlias = Node | Open

_NUMBERS: Final = frozenset({Type.INT, Type.NUMBER})
_ORDERED: Final = _NUMBERS | {Type.TEXT, Type.TIME, Type.DURATION}
_LIST_OF: Final = {
    Type.TEXT: Type.TEXTS,
    Type.INT: Type.NUMBERS,
    Type.NUMBER: Type.NUMBERS,
}
# What JSON has; a time is text there, and text is never converted.
_JSON_TYPES: Final = frozenset({Type.BOOL, Type.NUMBER, Type.TEXT, Type.TEXTS, Type.NUMBERS})
_SUMS: Final = {
    ("_+_", Type.INT, Type.INT): Type.INT,
    ("_-_", Type.INT, Type.INT): Type.INT,
    ("_+_", Type.TIME, Type.DURATION): Type.TIME,
    ("_+_", Type.DURATION, Type.TIME): Type.TIME,
    ("_-_", Type.TIME, Type.DURATION): Type.TIME,
    ("_-_", Type.TIME, Type.TIME): Type.DURATION,
    ("_+_", Type.DURATION, Type.DURATION): Type.DURATION,
    ("_-_", Type.DURATION, Type.DURATION): Type.DURATION,
}
# A name of the IANA database. An offset such as +07:00 means the opposite to PostgreSQL.
_TIME_ZONE: Final = re.compile(r"[A-Z][A-Za-z0-9_]*(/[A-Z][A-Za-z0-9_+-]*)*")
_CHANNEL: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# What CEL has and conditions do not, and what to do instead.
_OUTSIDE: Final = {
    "_?_:_": "?: is not part of conditions; write (a && b) || (!a && c)",
    "matches": "regular expressions are not part of conditions; "
    "use startsWith, endsWith or contains",
    "not": "not is written !",
    **dict.fromkeys(
        ("_*_", "_/_", "_%_", "-_"), "of arithmetic only + and - are part of conditions"
    ),
    **dict.fromkeys(
        ("int", "uint", "double", "string", "bool", "bytes", "dyn", "type"),
        "values are never converted; compare with a value of the field's own type",
    ),
}


def check(text: str, scope: Scope) -> Node:
    """The typed tree of a condition.

    Raises:
        ConditionError: it is no condition; says where and why.
    """
    source = Source(text)
    checker = _Checker(source, scope)
    tree = checker.typed(source.syntax, Type.BOOL)
    if checker.cost > COST_MAX:
        message = (
            f"costs {checker.cost} steps; at most {COST_MAX} are allowed. A search in a text or in "
            f"a list of the profile counts {LIST_COST}"
        )
        raise ConditionError(message, line=1, column=1)
    return tree


class _Checker:
    """Walks the syntax once. Attributes: cost: the steps of what was walked so far."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self._error = source.error
        self._names = Names(source, scope)
        self._functions: dict[str, Callable[[Expression], Node]] = {
            **dict.fromkeys(("_&&_", "_||_", "!_"), self._logic),
            **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), self._comparison),
            **dict.fromkeys(("_+_", "_-_"), self._sum),
            **dict.fromkeys(TEXT_FUNCTIONS, self._search),
            **dict.fromkeys(CALENDAR_FUNCTIONS, self._calendar),
            "@in": self._membership,
            "size": self._size,
            "timestamp": self._time,
            "duration": self._duration,
            "granted": self._granted,
        }
        self.cost = 0

    def typed(self, expression: Expression, wanted: Type) -> Node:
        """The node of an expression that must have one type."""
        return self._settled(expression, self._find(expression), wanted)

    def _settled(self, expression: Expression, found: _Found, wanted: Type) -> Node:
        if isinstance(found, Open):
            read = Read(Input(found.path, wanted))
            if wanted not in _JSON_TYPES:
                raise self._error(
                    expression, f"{read.input.field} holds JSON, which has no {_noun(wanted)}"
                )
            return read
        if found.type is wanted or (wanted is Type.NUMBER and found.type is Type.INT):
            return found
        raise self._error(
            expression, f"this is {found.type.value}, not {wanted.value}", wanted.value
        )

    def _find(self, expression: Expression) -> _Found:
        self.cost += 1
        match expression.WhichOneof("kind"):
            case "const_expr":
                return self._constant(expression)
            case "select_expr" if expression.select_expr.test_only:
                return self._names.presence(expression)
            case "ident_expr" | "select_expr":
                return self._names.field(expression)
            case "call_expr" if expression.call_expr.function == "_[_]":
                return self._names.field(expression)
            case "call_expr":
                return self._call(expression)
            case "list_expr":
                raise self._error(expression, "a list may only stand after in")
            case "comprehension_expr":
                raise self._error(
                    expression,
                    "exists, all, map and filter are not part of conditions; "
                    'use in, as in "VIP" in profile.labels',
                )
        raise self._error(expression, "objects are not part of conditions")

    def _constant(self, expression: Expression) -> Constant:
        constant = expression.const_expr
        match constant.WhichOneof("kind"):
            case "bool_value":
                return Constant(constant.bool_value, Type.BOOL)
            case "int64_value":
                return Constant(constant.int64_value, Type.INT)
            case "double_value" if math.isfinite(constant.double_value):
                return Constant(constant.double_value, Type.NUMBER)
            case "string_value" if "\0" not in constant.string_value:
                # What comes from the data platform is in this form too.
                return Constant(unicodedata.normalize("NFC", constant.string_value), Type.TEXT)
            case "null_value":
                message = "null is not part of conditions; ask has(field)"
            case "uint64_value":
                message = "whole numbers are written without u"
            case "double_value":
                message = "this number is too large"
            case _:
                message = "neither bytes nor text with the character NUL can be compared"
        raise self._error(expression, message)

    def _call(self, expression: Expression) -> Node:
        function = expression.call_expr.function
        if function in _OUTSIDE:
            raise self._error(expression, _OUTSIDE[function])
        if function in self._functions:
            return self._functions[function](expression)
        near = "".join(get_close_matches(function, self._functions, n=1))
        hint = f"; did you mean {near}?" if near else ""
        raise self._error(expression, f"unknown function {function}{hint}", near)

    def _logic(self, expression: Expression) -> Node:
        call = expression.call_expr
        parts = tuple(self.typed(part, Type.BOOL) for part in call.args)
        return Call(call.function, parts, Type.BOOL)

    def _comparison(self, expression: Expression) -> Node:
        call = expression.call_expr
        left, right = (self._find(part) for part in call.args)
        if isinstance(left, Open) and isinstance(right, Open):
            raise self._error(
                expression, "neither side has a type of its own; compare with a field or a value"
            )
        if not isinstance(right, Open):
            left = self._beside(call.args[0], left, right.type)
        if not isinstance(left, Open):
            right = self._beside(call.args[1], right, left.type)
        assert not isinstance(left, Open)
        assert not isinstance(right, Open)
        allowed = _ORDERED | {Type.BOOL} if call.function in ("_==_", "_!=_") else _ORDERED
        if left.type not in allowed:
            operator = call.function.strip("_")
            raise self._error(expression, f"{operator} does not compare {left.type.value}")
        return Call(call.function, (left, right), Type.BOOL)

    def _beside(self, expression: Expression, found: _Found, other: Type) -> Node:
        """What stands beside a value of one type in a comparison; numbers of both kinds mix."""
        return self._settled(expression, found, Type.NUMBER if other in _NUMBERS else other)

    def _membership(self, expression: Expression) -> Node:
        item, holder = expression.call_expr.args
        if holder.WhichOneof("kind") == "list_expr":
            constants = self._constants(holder)
            kind = constants.items[0].type
            return Call("@in", (self._beside(item, self._find(item), kind), constants), Type.BOOL)
        path = path_of(holder)
        key = item.const_expr.string_value
        if path is not None and key and self._names.holds_open_fields(path):
            return self._names.present((*path, key))
        self.cost += LIST_COST
        found = self._find(item)
        if isinstance(found, Open):
            raise self._error(item, "this has no type of its own; look for a field or a value")
        if found.type not in _LIST_OF:
            raise self._error(item, f"no list holds {_noun(found.type)}")
        return Call("@in", (found, self.typed(holder, _LIST_OF[found.type])), Type.BOOL)

    def _constants(self, expression: Expression) -> Constants:
        elements = expression.list_expr.elements
        self.cost += len(elements)
        if any(element.WhichOneof("kind") != "const_expr" for element in elements):
            raise self._error(expression, "only texts or numbers may stand in a list")
        constants = tuple(self._constant(element) for element in elements)
        types = {_LIST_OF.get(constant.type) for constant in constants}
        only = types.pop() if len(types) == 1 else None
        if only is None:
            raise self._error(expression, "a list holds either texts or numbers, at least one")
        return Constants(constants, only)

    def _sum(self, expression: Expression) -> Node:
        call = expression.call_expr
        left, right = (self._find(part) for part in call.args)
        for part, found in zip(call.args, (left, right), strict=True):
            if isinstance(found, Open):
                raise self._error(part, "properties and attributes are not added or subtracted")
        assert not isinstance(left, Open)
        assert not isinstance(right, Open)
        result = _SUMS.get((call.function, left.type, right.type))
        if result is None:
            raise self._error(
                expression,
                f"{call.function.strip('_')} does not take {left.type.value} and "
                f"{right.type.value}; only whole numbers, times and durations",
            )
        return Call(call.function, (left, right), result)

    def _search(self, expression: Expression) -> Node:
        function = expression.call_expr.function
        usage = f'profile.city.{function}("Nội")'
        searched, sought = self._arguments(expression, usage, 2)
        self.cost += SEARCH_COST
        part = Constant(self._literal(sought, usage), Type.TEXT)
        return Call(function, (self.typed(searched, Type.TEXT), part), Type.BOOL)

    def _size(self, expression: Expression) -> Node:
        (counted,) = self._arguments(expression, "size(profile.emails)", 1)
        found = self._find(counted)
        if isinstance(found, Open) or found.type not in {Type.TEXT, *_LIST_OF.values()}:
            raise self._error(counted, "size() counts a field that is a list or text")
        self.cost += SEARCH_COST
        return Call("size", (found,), Type.INT)

    def _time(self, expression: Expression) -> Node:
        usage = 'timestamp("2026-11-25T08:00:00+07:00")'
        (argument,) = self._arguments(expression, usage, 1)
        value = engine.read_time(self._literal(argument, usage))
        if value is None:
            raise self._error(
                argument, f"this is no time in whole microseconds, as in {usage}", usage
            )
        return Constant(value, Type.TIME)

    def _duration(self, expression: Expression) -> Node:
        usage = 'duration("720h")'
        (argument,) = self._arguments(expression, usage, 1)
        value = engine.read_duration(self._literal(argument, usage))
        if value is None:
            raise self._error(
                argument, f"this is no duration in h, m, s or ms, as in {usage}", usage
            )
        return Constant(value, Type.DURATION)

    def _calendar(self, expression: Expression) -> Node:
        function = expression.call_expr.function
        usage = f'now.{function}("Asia/Ho_Chi_Minh")'
        time, zone = self._arguments(expression, usage, 2)
        name = self._literal(zone, usage)
        if not (_TIME_ZONE.fullmatch(name) and engine.knows_time_zone(name)):
            raise self._error(zone, f"this is no name of a time zone, as in {usage}", usage)
        parts = (self.typed(time, Type.TIME), Constant(name, Type.TEXT))
        return Call(function, parts, Type.INT)

    def _granted(self, expression: Expression) -> Node:
        usage = 'consent.granted("email", "marketing")'
        target, *names = self._arguments(expression, usage, 3)
        if path_of(target) != (CONSENT,):
            raise self._error(expression, f"consent is asked as {usage}", usage)
        path = [CONSENT]
        for argument in names:
            path.append(self._literal(argument, usage))
            if not _CHANNEL.fullmatch(path[-1]):
                raise self._error(argument, 'a channel or purpose is written as "zalo-template"')
        return Read(Input(tuple(path), Type.BOOL, "consent"))

    def _arguments(self, expression: Expression, usage: str, count: int) -> list[Expression]:
        """The arguments of a function; the first of `count` is its target where usage has one."""
        call = expression.call_expr
        is_member = call.HasField("target")
        arguments = [call.target, *call.args] if is_member else list(call.args)
        if len(arguments) != count or is_member != ("." in usage.partition("(")[0]):
            raise self._error(expression, f"{call.function} is used as in {usage}", usage)
        return arguments

    def _literal(self, expression: Expression, usage: str) -> str:
        found = self._find(expression)
        if isinstance(found, Constant) and isinstance(found.value, str):
            return found.value
        raise self._error(
            expression, f"text in quotation marks must stand here, as in {usage}", usage
        )


def _noun(kind: Type) -> str:
    return kind.value.removeprefix("a ")
