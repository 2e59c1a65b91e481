"""Requests whose bytes are no message: refused behind the token check, with the field's name.

gRPC reads a request before any interceptor runs, and answers a failure with UNKNOWN and the
parser's text. So each handler's deserializer hands on what it cannot read, and the handler refuses
it, innermost: whoever has no token is told nothing about it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from libs.rpc.errors import FieldViolation, InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

# The search costs about 0.2 s a MiB at worst, so larger requests are refused without it.
SEARCH_BYTES_MAX = 1024 * 1024
# Protobuf reads no deeper either.
SEARCH_DEPTH_MAX = 100
WIRE_TYPE_LENGTH_DELIMITED = 2
# Inside of these a path would be made of the caller's own keys; their field alone is named.
OPAQUE_FILE = "google/protobuf/struct.proto"


class MessageUnreadableError(InvalidError):
    reason: ClassVar[str] = "MESSAGE_UNREADABLE"


class _Unreadable:
    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def refuse_unreadable(handler: Any, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    """Wrap a handler, once, so that unreadable requests end in MESSAGE_UNREADABLE.

    The handler must read a stream of requests by iterating; `context.read()` is not covered.
    """
    read = handler.request_deserializer

    def deserialize(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _Unreadable(data)

    # A handler has exactly one behaviour, named by its shape.
    shape = (
        f"{'stream' if handler.request_streaming else 'unary'}_"
        f"{'stream' if handler.response_streaming else 'unary'}"
    )
    behavior: Callable[[Any, Any], Any] = getattr(handler, shape)

    def answer_one(request: Any, context: Any) -> Any:
        if type(request) is _Unreadable:
            raise _error(request, method)
        return behavior(request, context)

    def answer_stream(requests: AsyncIterator[Any], context: Any) -> Any:
        return behavior(_readable(requests, method), context)

    build = getattr(grpc, f"{shape}_rpc_method_handler")
    wrapped: grpc.RpcMethodHandler[Any, Any] = build(
        answer_stream if handler.request_streaming else answer_one,
        request_deserializer=deserialize,
        response_serializer=handler.response_serializer,
    )
    return wrapped


async def _readable(requests: AsyncIterator[Any], method: MethodDescriptor) -> AsyncIterator[Any]:
    async for request in requests:
        if type(request) is _Unreadable:
            raise _error(request, method)
        yield request


def _error(unreadable: _Unreadable, method: MethodDescriptor) -> MessageUnreadableError:
    field = ""
    if len(unreadable.data) <= SEARCH_BYTES_MAX:
        field = find_unreadable_field(unreadable.data, method.input_type)
    if not field:
        return MessageUnreadableError(
            f"the request is not a {method.input_type.full_name}",
            metadata={"message": method.input_type.full_name},
        )
    return MessageUnreadableError(
        f"{field} cannot be read: text must be valid UTF-8, without lone surrogates",
        [FieldViolation(field, "cannot be read; send text as valid UTF-8, no lone surrogates")],
        metadata={"message": method.input_type.full_name, "field": field},
    )


def find_unreadable_field(data: bytes, descriptor: Descriptor, depth: int = 0) -> str:
    """Return the path of the first field whose bytes cannot be read, or "" if it cannot be told.

    Protobuf's parser says that something is wrong but not where, so the wire format is walked
    here, level by level, as unknown fields of an empty message.
    """
    try:
        fields = UnknownFieldSet(Empty.FromString(data))
    except DecodeError:
        return ""
    counts: Counter[int] = Counter()
    for raw in (fields[index] for index in range(len(fields))):
        field = descriptor.fields_by_number.get(raw.field_number)
        if field is None or raw.wire_type != WIRE_TYPE_LENGTH_DELIMITED:
            continue
        path = f"{field.name}[{counts[field.number]}]" if field.is_repeated else field.name
        counts[field.number] += 1
        if field.type == FieldDescriptor.TYPE_STRING:
            if not _is_utf8(raw.data):
                return path
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
            found = _look_inside(raw.data, field.message_type, path, depth)
            if found:
                return found
    return ""


def _look_inside(data: bytes, message: Descriptor, path: str, depth: int) -> str:
    try:
        GetMessageClass(message).FromString(data)
    except DecodeError:
        if depth + 1 >= SEARCH_DEPTH_MAX or message.file.name == OPAQUE_FILE:
            return path
        inner = find_unreadable_field(data, message, depth + 1)
        return f"{path}.{inner}" if inner else path
    return ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
