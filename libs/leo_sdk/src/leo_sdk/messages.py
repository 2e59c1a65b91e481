"""Short ways to make the messages that one sends most."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from leo.ingest.v1.ingest_service_pb2 import Event, ProfileInput, SourceDocument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# A Struct's numbers are doubles: beyond this an integer would arrive as another one.
_INTEGER_MAX = 2**53 - 1


def timestamp(time: datetime) -> Timestamp:
    """The message for an aware datetime.

    Raises:
        ValueError: the datetime is naive; a guessed time zone would be a wrong time.
    """
    if time.tzinfo is None:
        raise ValueError("the time has no time zone; use datetime.now(UTC) or .astimezone()")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def event(
    *,
    source: str,
    event_type: str,
    profile_ext_id: str,
    event_time: datetime,
    source_event_id: str = "",
    properties: Mapping[str, Any] | None = None,
) -> Event:
    """An event. Its fields are told in ingest_service.proto.

    Args:
        source_event_id: the event's id in its source. Without one, two events with the same
            content are one event.
        properties: JSON values: text, numbers, booleans, None, lists and mappings of them.

    Raises:
        ValueError: the time is naive, or a property cannot travel without changing.
    """
    message = Event(
        source=source,
        source_event_id=source_event_id,
        event_type=event_type,
        profile_ext_id=profile_ext_id,
        event_time=timestamp(event_time),
    )
    if properties:
        message.properties.CopyFrom(struct(properties))
    return message


def struct(properties: Mapping[str, Any]) -> Struct:
    """The message for a mapping of JSON values.

    Raises:
        ValueError: a value is none, or is an integer that a double cannot hold.
    """
    _check_integers(properties, "properties")
    message = Struct()
    message.update(properties)
    return message


def cdp_document(document: Mapping[str, Any] | str) -> ProfileInput:
    """A `cdp_profile` of LEO CDP, as a mapping or as the JSON text that the CDP sends."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return ProfileInput(document=SourceDocument(source="leo-cdp", json=text))


def _check_integers(value: object, path: str) -> None:
    if isinstance(value, int):
        if abs(value) > _INTEGER_MAX:
            raise ValueError(f"{path} is an integer beyond ±(2^53 - 1); send it as text")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_integers(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_integers(item, f"{path}[{index}]")
