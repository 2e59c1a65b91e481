"""The CEL engine: from a text to its syntax, from a tree to a program. Only here it has a name.

The engine hands out the syntax of an expression in one way, serialised as cel.expr.ParsedExpr, and
takes it back in the same form. No Python package carries that message, so the part of it that
conditions use is declared here, in a pool of its own: another library may register the whole.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cel_expr_python import cel
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from libs.conditions.errors import ConditionError
from libs.conditions.fields import Type
from libs.conditions.tree import MEMBER_FUNCTIONS, Call, Constant, Constants, Read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.conditions.tree import Input, Node

# A message cel.expr.Expr; its class is made below, when the program runs.
Expression: TypeAlias = Any

_PACKAGE: Final = "cel.expr"
_PARSED_URL: Final = "type.googleapis.com/cel.expr.ParsedExpr"
# Names, numbers and types as in cel/expr/syntax.proto (github.com/google/cel-spec); a field of a
# oneof is marked by "|". `positions` is a map there, which is the same bytes as repeated entries.
_MESSAGES: Final = {
    "ParsedExpr": "expr=2:Expr source_info=3:SourceInfo",
    "SourceInfo": "positions=4:Position*",
    "Position": "key=1:int64 value=2:int32",
    "Expr": (
        "id=2:int64 const_expr=3:Constant| ident_expr=4:Ident| select_expr=5:Select| "
        "call_expr=6:Call| list_expr=7:CreateList| struct_expr=8:Other| "
        "comprehension_expr=9:Other|"
    ),
    "Constant": (
        "null_value=1:int64| bool_value=2:bool| int64_value=3:int64| uint64_value=4:uint64| "
        "double_value=5:double| string_value=6:string| bytes_value=7:bytes|"
    ),
    "Ident": "name=1:string",
    "Select": "operand=1:Expr field=2:string test_only=3:bool",
    "Call": "target=1:Expr function=2:string args=3:Expr*",
    "CreateList": "elements=1:Expr*",
    "Other": "",
}
_SCALARS: Final = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
}
_FIELD: Final = re.compile(r"(\w+)=(\d+):(\w+)([*|]?)")
_PROBLEM: Final = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
# What people write who know another language or a word processor: what is wrong, and CEL's own.
_MISTAKES: Final = (
    (re.compile(r"and\b", re.IGNORECASE), "and is written &&", "&&"),
    (re.compile(r"or\b", re.IGNORECASE), "or is written ||", "||"),
    (re.compile(r"not\b", re.IGNORECASE), "not is written !", "!"),
    (re.compile(r"=(?!=)"), "equality is written ==", "=="),
    (re.compile(r"(?<=<)>"), "inequality is written !=", "!="),
    (re.compile("[‘’“”]"), "quotation marks are written straight", '"'),  # noqa: RUF001 these are meant
    (re.compile(r"""(["'])(?!.*\1)"""), "this text is not closed", "a quotation mark"),
)
_NOT_BEFORE: Final = re.compile(r"\bnot\s+$", re.IGNORECASE)
_CONSTANT_FIELDS: Final = {
    Type.BOOL: "bool_value",
    Type.INT: "int64_value",
    Type.NUMBER: "double_value",
    Type.TEXT: "string_value",
}
_MICROSECOND: Final = timedelta(microseconds=1)


def _parsed_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="conditions", package=_PACKAGE, syntax="proto3")
    for name, declared in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, mark in _FIELD.findall(declared):
            field = message.field.add(name=field_name, number=int(number))
            field.label = field.LABEL_REPEATED if mark == "*" else field.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            if mark == "|":
                if not message.oneof_decl:
                    message.oneof_decl.add(name="kind")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ParsedExpr"))


_Parsed: Final = _parsed_class()


@cache
def _environment() -> cel.Env:
    return cel.NewEnv()


def parse(text: str) -> tuple[Expression, dict[int, int]]:
    """The syntax of a text, not checked, and the offset in characters of each of its nodes.

    Raises:
        ConditionError: it is no CEL, or nested deeper than the parser goes (32 levels).
    """
    try:
        serialized = _environment().compile(text, disable_check=True).serialize()
        parsed = _Parsed.FromString(any_pb2.Any.FromString(serialized).value)
    except (RuntimeError, DecodeError) as error:
        raise _syntax_error(text, str(error)) from error
    return parsed.expr, {entry.key: entry.value for entry in parsed.source_info.positions}


def _syntax_error(text: str, problem: str) -> ConditionError:
    found = _PROBLEM.search(problem)
    if found is None or "recursion" in found[3]:
        return ConditionError("cannot be read: nested too deeply", line=1, column=1)
    line, column = int(found[1]), int(found[2])
    written = text.split("\n")[line - 1]
    if before := _NOT_BEFORE.search(written[: column - 1]):
        column = before.start() + 1
    if not written[column - 1 :].strip():
        message, expected = "the condition ends too early", "a field or a value"
        return ConditionError(message, line=line, column=column, expected=expected)
    for mistake, message, expected in _MISTAKES:
        if mistake.match(written, column - 1):
            return ConditionError(message, line=line, column=column, expected=expected)
    # The engine goes on to list every token of its grammar; that helps nobody.
    message = found[3].split(" expecting ")[0].replace("token recognition error at: ", "unknown: ")
    return ConditionError(message, line=line, column=column)


class Program:
    """A tree in the form that the engine runs: its inputs are the variables v0, v1, and so on."""

    def __init__(self, tree: Node, inputs: tuple[Input, ...]) -> None:
        names = {item: f"v{index}" for index, item in enumerate(inputs)}
        parsed = _Parsed()
        _write(parsed.expr, tree, names, [0])
        wrapped = any_pb2.Any(type_url=_PARSED_URL, value=parsed.SerializeToString())
        self._expression = _environment().deserialize(wrapped.SerializeToString())

    def run(self, variables: dict[str, object]) -> bool | None:
        """The result; None if it is an error, for example because a variable is not there."""
        result = self._expression.eval(_environment().Activation(variables))
        value = result.value()
        return value if isinstance(value, bool) else None


def _write(target: Expression, node: Node, names: Mapping[Input, str], last_id: list[int]) -> None:
    last_id[0] += 1
    target.id = last_id[0]
    match node:
        case Read():
            target.ident_expr.name = names[node.input]
        case Constant(value=datetime() as value):
            _write_call(target, "timestamp", value.isoformat(), last_id)
        case Constant(value=timedelta() as value):
            _write_call(target, "duration", f"{value // _MICROSECOND}us", last_id)
        case Constant():
            setattr(target.const_expr, _CONSTANT_FIELDS[node.type], node.value)
        case Constants():
            target.list_expr.SetInParent()
            for item in node.items:
                _write(target.list_expr.elements.add(), item, names, last_id)
        case Call():
            target.call_expr.function = node.function
            arguments = node.arguments
            if node.function in MEMBER_FUNCTIONS:
                _write(target.call_expr.target, arguments[0], names, last_id)
                arguments = arguments[1:]
            for argument in arguments:
                _write(target.call_expr.args.add(), argument, names, last_id)


def _write_call(target: Expression, function: str, text: str, last_id: list[int]) -> None:
    target.call_expr.function = function
    last_id[0] += 1
    argument = target.call_expr.args.add(id=last_id[0])
    argument.const_expr.string_value = text


@cache
def _compiled(text: str) -> cel.Expression:
    return _environment().compile(text, disable_check=True)


def _value_of(text: str, **variables: str) -> object:
    """The value of one of our own expressions; None if it is an error."""
    result = _compiled(text).eval(_environment().Activation(variables))
    return None if result.type() == cel.Type.ERROR else result.value()


def read_time(text: str) -> datetime | None:
    """The time that CEL reads in a text (RFC 3339), or None; also if it is no whole microsecond."""
    value = _value_of("timestamp(x)", x=text)
    if not isinstance(value, datetime):
        return None
    exact = _value_of("timestamp(x) == timestamp(y)", x=text, y=value.isoformat())
    return value if exact else None


def read_duration(text: str) -> timedelta | None:
    """The duration that CEL reads in a text, or None; also if it is no whole microsecond."""
    value = _value_of("duration(x)", x=text)
    if not isinstance(value, timedelta):
        return None
    exact = _value_of("duration(x) == duration(y)", x=text, y=f"{value // _MICROSECOND}us")
    return value if exact else None


def knows_time_zone(name: str) -> bool:
    """Whether the engine finds the rules of a time zone on this machine."""
    return _value_of("timestamp(y).getHours(x) >= 0", x=name, y="2026-01-01T00:00:00Z") is True
