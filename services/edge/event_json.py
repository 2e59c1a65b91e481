"""One event as JSON, and what is wrong with it in words of our own.

The parser's texts quote values, so only the field's name is taken from them.
"""

from __future__ import annotations

import re

from google.protobuf import json_format

from leo.ingest.v1 import ingest_service_pb2 as pb
from libs.rpc.errors import FieldViolation
from services.edge.errors import BodyUnreadableError

BAD_FIELD = re.compile(r"Failed to parse (\w{1,64}) field")
UNKNOWN_FIELD = re.compile(r'has no field named "(\w{1,64})"')
DEPTH_MAX = 100

EXPECTED = {
    "event_time": 'must be a time as RFC 3339 writes it, such as "2026-11-25T08:00:00Z"',
    "properties": "must be a JSON object of valid Unicode, without lone surrogates",
}
EXPECTED_TEXT = "must be text of valid Unicode, without lone surrogates"


def read_event(body: bytes) -> pb.Event:
    """Read an event in the JSON form of leo.ingest.v1.Event.

    Raises:
        BodyUnreadableError: it is none; the violation names the field.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _refused("event", "must be JSON in UTF-8") from None
    if not text.lstrip().startswith("{"):
        raise _refused("event", "must be one JSON object with the fields of leo.ingest.v1.Event")
    try:
        return json_format.Parse(text, pb.Event(), max_recursion_depth=DEPTH_MAX)
    except json_format.ParseError as error:
        raise _explained(str(error)) from None


def _explained(problem: str) -> BodyUnreadableError:
    unknown = UNKNOWN_FIELD.search(problem)
    if unknown:
        return _refused(f"event.{unknown[1]}", "there is no such field")
    bad = BAD_FIELD.search(problem)
    if bad is None:
        return _refused("event", "must be valid JSON, each name once")
    # The caller may write the name in either form; the services' answers use the proto's.
    name = next(
        (
            field.name
            for field in pb.Event.DESCRIPTOR.fields
            if bad[1] in (field.json_name, field.name)
        ),
        bad[1],
    )
    return _refused(f"event.{name}", EXPECTED.get(name, EXPECTED_TEXT))


def _refused(field: str, description: str) -> BodyUnreadableError:
    return BodyUnreadableError(
        f"{field} {description}", [FieldViolation(field, description)], metadata={"field": field}
    )
