"""Events that the door must refuse. They are made for the demo, and each says so in its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Event
from libs.demo.purchases import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEPTH = 12


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event, what is wrong with it in words, and the reason that the door must give."""

    event: Event
    what: str
    reason: str


def bad_events(events: Sequence[Event]) -> list[BadEvent]:
    """Five events, each bad in one way; the last contradicts the first of the real ones."""
    changed = Event()
    changed.CopyFrom(events[0])
    changed.properties.update({"cd_count": 999})
    deep: dict[str, Any] = {}
    for _ in range(_DEPTH):
        deep = {"inside": deep}
    now = datetime.now(UTC)
    return [
        BadEvent(
            _event("nul", now, {"note": "a NUL \x00 in a text"}), "a NUL in a text", "FIELD_INVALID"
        ),
        BadEvent(
            _event("future", now + timedelta(days=3650)), "ten years ahead of now", "FIELD_INVALID"
        ),
        BadEvent(
            _event("unmoved", datetime(1997, 3, 25, 12, tzinfo=UTC)),
            "a date of 1997, as the log has it",
            "FIELD_INVALID",
        ),
        BadEvent(_event("deep", now, deep), f"nested {_DEPTH} levels deep", "FIELD_INVALID"),
        BadEvent(changed, "a stored purchase again, with another body", "EVENT_CONFLICT"),
    ]


def _event(name: str, time: datetime, properties: dict[str, Any] | None = None) -> Event:
    return leo_sdk.event(
        source=SOURCE,
        source_event_id=f"bad-on-purpose-{name}",
        event_type="purchase",
        profile_ext_id="nobody",
        event_time=time,
        properties=properties,
    )
