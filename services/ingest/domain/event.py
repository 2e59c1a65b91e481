"""An event, its identity and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from libs import canonical
from services.ingest.domain.identity import uuid8
from services.ingest.domain.limits import (
    CLOCK_AHEAD_MAX,
    EVENT_AGE_MAX,
    EXT_ID_LENGTH_MAX,
    PROPERTIES_BYTES_MAX,
    SOURCE_EVENT_ID_LENGTH_MAX,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

_IDENTITY_BY_ID = b"\x01"
_IDENTITY_BY_CONTENT = b"\x02"


@dataclass(frozen=True, slots=True)
class Event:
    """An event that may be stored.

    Attributes:
        event_id: UUIDv8 from the identity.
        source_event_id: None where the source has no id.
        occurred_at: aware UTC, whole microseconds.
        properties: JSON text.
        body_digest: SHA-256 over the canonical JSON of the client's own fields.
    """

    event_id: UUID
    source: str
    source_event_id: str | None
    event_type: str
    profile_ext_id: str
    occurred_at: datetime
    properties: str
    body_digest: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """What the database says about an event after an insert.

    Attributes:
        received_at: when this identity was stored first.
        duplicate: it had been stored before this call.
        same_body: what is stored has the same digest.
    """

    received_at: datetime
    duplicate: bool
    same_body: bool


def event_id_of(tenant_id: UUID, source: str, source_event_id: str | None, body: bytes) -> UUID:
    """The event's UUIDv8: SHA-256 over the length-prefixed identity.

    The identity is (tenant, source, source_event_id), or (tenant, canonical body) where the source
    has no id. A leading byte keeps the two kinds apart.
    """
    if source_event_id is not None:
        identity = [_IDENTITY_BY_ID, tenant_id.bytes, source.encode(), source_event_id.encode()]
    else:
        identity = [_IDENTITY_BY_CONTENT, tenant_id.bytes, body]
    parts = identity[:1]
    for part in identity[1:]:
        parts += (len(part).to_bytes(4, "big"), part)
    return uuid8(hashlib.sha256(b"".join(parts)).digest())


def read_event(
    fields: Fields,
    tenant_id: UUID,
    *,
    source: str,
    source_event_id: str,
    event_type: str,
    profile_ext_id: str,
    occurred_at: datetime | None,
    event_time: str,
    properties: dict[str, Any] | None,
    now: datetime,
) -> Event | None:
    """Check one event's fields; the event, or None with `fields.violations` filled.

    Args:
        event_time: the time as the client wrote it (RFC 3339, up to nanoseconds), for the digest;
            occurred_at is the same, cut to microseconds.
        properties: plain JSON values.
    """
    fields.name("source", source)
    fields.text("source_event_id", source_event_id, length_max=SOURCE_EVENT_ID_LENGTH_MAX)
    fields.name("event_type", event_type)
    fields.text("profile_ext_id", profile_ext_id, length_max=EXT_ID_LENGTH_MAX, required=True)
    stored_properties = b"{}"
    if properties and fields.json("properties", properties):
        stored_properties = orjson.dumps(properties)
        if len(stored_properties) > PROPERTIES_BYTES_MAX:
            fields.refuse(
                "properties",
                f"takes {len(stored_properties)} bytes; at most {PROPERTIES_BYTES_MAX} are allowed",
            )
    if occurred_at is None:
        fields.refuse("event_time", "is required")
        return None
    fields.time("event_time", occurred_at, now=now, ahead=CLOCK_AHEAD_MAX, age=EVENT_AGE_MAX)
    if fields.violations:
        return None
    body: dict[str, Any] = {
        "source": source,
        "event_type": event_type,
        "profile_ext_id": profile_ext_id,
        "event_time": event_time,
    }
    if source_event_id:
        body["source_event_id"] = source_event_id
    if properties:
        body["properties"] = properties
    body_bytes = canonical.dumps(body)
    return Event(
        event_id=event_id_of(tenant_id, source, source_event_id or None, body_bytes),
        source=source,
        source_event_id=source_event_id or None,
        event_type=event_type,
        profile_ext_id=profile_ext_id,
        occurred_at=occurred_at,
        properties=stored_properties.decode(),
        body_digest=hashlib.sha256(body_bytes).digest(),
    )
