"""Texts with room for values: what may stand in them, and what becomes of them for one person.

The language is Jinja2, of which only `{{ name | filter }}` is let through: names of FIELDS,
constants and the filters below. The gate reads the parsed text before anything of it is evaluated
or stored, because Jinja2's sandbox limits what can be reached, but neither time nor memory.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes, pass_context
from jinja2.sandbox import SandboxedEnvironment

from libs.rpc.errors import FieldViolation
from services.dispatch.domain.limits import TEXT_LENGTH_MAX
from services.dispatch.domain.template import ANY_TEXT
from services.dispatch.domain.values import FIELDS, OPEN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.runtime import Context

    from services.dispatch.domain.template import TextRule
    from services.dispatch.domain.values import Values

# Deeper than any JSON that was let in.
_PATH_LENGTH_MAX: Final = 10
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_EXAMPLE: Final = "{{ profile.given_name }}"


class MissingValueError(Exception):
    """The person or the event lacks a value; the message is not sent.

    Attributes:
        name: as in the template, such as "profile.given_name".
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing")
        self.name = name


class RenderError(Exception):
    """A value is there, but no text can be made of it; says which text, never the value."""


def check_template(
    data: Mapping[str, str], rules: Mapping[str, TextRule] | None
) -> list[FieldViolation]:
    """What in texts must not be stored, each with its line; the fields are named `data.<name>`.

    Args:
        data: texts by name.
        rules: what holds for each name; None where the channel says nothing.
    """
    violations = []
    for name, text in data.items():
        try:
            _parse(text, _rule_of(name, rules))
        except _RefusedError as refused:
            violations.append(FieldViolation(f"data.{name}", str(refused)))
    return violations


def render(
    data: Mapping[str, str], values: Values, rules: Mapping[str, TextRule] | None
) -> dict[str, str]:
    """The texts for one person, in NFC; values are escaped into those that are markup.

    Args:
        data: texts by name, as check_template let them through.
        values: the person's and the event's.
        rules: what holds for each name; None where the channel says nothing.

    Raises:
        MissingValueError: a value that a text needs is missing, null or empty.
        RenderError: a value is no text, number or time, or the text became too long.
    """
    return {name: _render(name, text, values, _rule_of(name, rules)) for name, text in data.items()}


def _rule_of(name: str, rules: Mapping[str, TextRule] | None) -> TextRule:
    # A template may be older than the rule, and hold what no new one would.
    return rules.get(name, ANY_TEXT) if rules else ANY_TEXT


def _render(name: str, text: str, values: Values, rule: TextRule) -> str:
    roots = {"profile": values.profile, "event": values.event}
    try:
        compiled = _compile(text, rule)
        for path in compiled.paths:
            if _look_up(roots, path) in (None, ""):
                raise MissingValueError(".".join(path))
        rendered = compiled.template.render(roots, time_zone=values.time_zone)
    except (_UnusableError, _RefusedError) as error:
        raise RenderError(f"data.{name}: {error}") from error
    rendered = unicodedata.normalize("NFC", rendered)
    if len(rendered) > rule.length_max:
        raise RenderError(f"data.{name}: became longer than {rule.length_max} characters")
    return rendered


class _RefusedError(Exception):
    """Why a text must not be evaluated."""


class _UnusableError(Exception):
    """Why a value cannot become text."""


class _Environment(SandboxedEnvironment):
    """A name behind a dot is a key and nothing else; in plain Jinja2, `x.items` is a method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return obj[attribute]

    def getitem(self, obj: Any, argument: Any) -> Any:
        return obj[argument]


def _text(value: object) -> str:
    match value:
        case bool():
            raise _UnusableError("a value is true or false, which is no text")
        case str():
            return value
        case int() | float() | Decimal():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
    raise _UnusableError("a value is a list or an object, which is no text")


def _upper(value: object) -> str:
    return _text(value).upper()


def _lower(value: object) -> str:
    return _text(value).lower()


def _title(value: object) -> str:
    return _text(value).title()


def _trim(value: object) -> str:
    return _text(value).strip()


def _truncate(value: object, length: int) -> str:
    text = unicodedata.normalize("NFC", _text(value))
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _vnd(value: object) -> str:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _UnusableError("vnd needs an amount in đồng")
    # Discounts leave fractions; there is nothing smaller than a đồng.
    whole = int(Decimal(str(value)).quantize(Decimal(1), ROUND_HALF_UP))
    return f"{whole:,} ₫".replace(",", ".")


@pass_context
def _date(context: Context, value: object) -> str:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise _UnusableError('date needs a time such as "2026-11-25T08:00:00Z"')
    # Without a zone it is a day, or a time as the tenant tells it.
    if value.tzinfo is not None:
        value = value.astimezone(context["time_zone"])
    return value.strftime("%d/%m/%Y")


_ENVIRONMENT: Final = _Environment(
    undefined=StrictUndefined, finalize=_text, autoescape=False, keep_trailing_newline=True
)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.tests.clear()
_ENVIRONMENT.filters = {
    "upper": _upper,
    "lower": _lower,
    "title": _title,
    "trim": _trim,
    "truncate": _truncate,
    "vnd": _vnd,
    "date": _date,
}
# The same, but what a value brings along of HTML is text and no markup.
_MARKUP_ENVIRONMENT: Final = _ENVIRONMENT.overlay(autoescape=True)


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: Template
    paths: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=256)
def _compile(text: str, rule: TextRule) -> _Compiled:
    tree, paths = _parse(text, rule)
    environment = _MARKUP_ENVIRONMENT if rule.markup else _ENVIRONMENT
    return _Compiled(environment.from_string(tree), paths)


def _parse(text: str, rule: TextRule) -> tuple[nodes.Template, tuple[tuple[str, ...], ...]]:
    """The tree of a text and the paths that it reads.

    Raises:
        _RefusedError: something in it is not let through.
    """
    if len(text) > rule.length_max:
        raise _RefusedError(f"has more than {rule.length_max} characters")
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise _RefusedError(f"line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise _RefusedError("is nested too deep") from error
    paths: dict[tuple[str, ...], None] = {}
    for statement in tree.body:
        if not isinstance(statement, nodes.Output):
            raise _refused(statement)
        for node in statement.nodes:
            paths |= dict.fromkeys(_read(node))
    return tree, tuple(paths)


def _read(node: nodes.Expr) -> Iterator[tuple[str, ...]]:
    """The paths that an expression reads; refuses what is no name, constant or filter of ours."""
    while isinstance(node, nodes.Filter):
        _check_filter(node)
        assert node.node is not None, "only a filter block has none"
        node = node.node
    match node:
        case nodes.TemplateData() | nodes.Const(value=str()):
            return
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            yield _check_path(node, _path_of(node))
        case _:
            raise _refused(node)


def _check_filter(node: nodes.Filter) -> None:
    if node.name not in _ENVIRONMENT.filters:
        known = ", ".join(_ENVIRONMENT.filters)
        raise _RefusedError(f"line {node.lineno}: unknown filter {node.name}; there are {known}")
    if node.name == "truncate":
        match node:
            case nodes.Filter(
                args=[nodes.Const(value=int(length))], kwargs=[], dyn_args=None, dyn_kwargs=None
            ) if 1 <= length <= TEXT_LENGTH_MAX:
                return
        raise _RefusedError(f"line {node.lineno}: truncate takes a number from 1 to 2000")
    if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise _RefusedError(f"line {node.lineno}: {node.name} takes nothing in parentheses")


def _path_of(node: nodes.Expr) -> tuple[str, ...]:
    """The keys of a.b or a["b"]."""
    keys: list[str] = []
    while len(keys) < _PATH_LENGTH_MAX:
        match node:
            case nodes.Name(name=name):
                return (name, *reversed(keys))
            case nodes.Getattr(node=holder, attr=key):
                keys.append(key)
            case nodes.Getitem(node=holder, arg=nodes.Const(value=str(key))):
                keys.append(key)
            case _:
                raise _refused(node)
        node = holder
    raise _RefusedError(f"line {node.lineno}: has more than {_PATH_LENGTH_MAX} names in a row")


def _check_path(node: nodes.Expr, path: tuple[str, ...]) -> tuple[str, ...]:
    place = f"line {node.lineno}"
    name = ".".join(path[:2])
    known = [f"{root}.{field}" for root, fields in FIELDS.items() for field in fields]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "fields start with profile. or event."
        raise _RefusedError(f"{place}: unknown field {name}; {hint}")
    if any(key.startswith("_") for key in path):
        raise _RefusedError(f"{place}: a name must not start with _")
    if name in OPEN_FIELDS and len(path) == len(name.split(".")):
        raise _RefusedError(f"{place}: name one of its keys, as in {name}.key")
    if name not in OPEN_FIELDS and len(path) > len(name.split(".")):
        raise _RefusedError(f"{place}: {name} is one value, it has no fields")
    return path


def _refused(node: nodes.Node) -> _RefusedError:
    kind = type(node).__name__
    return _RefusedError(
        f"line {node.lineno}: only values such as {_EXAMPLE} may stand here, no {kind}"
    )


def _look_up(roots: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: Any = roots
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found
