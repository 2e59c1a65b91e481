from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from libs.fields import Fields
from services.ingest.domain.event import Event, read_event
from services.ingest.domain.limits import CLOCK_AHEAD_MAX, EVENT_AGE_MAX

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TENANT = UUID("01993d00-0000-7000-8000-000000000001")
OTHER_TENANT = UUID("01993d00-0000-7000-8000-000000000002")


def read(fields: Fields | None = None, *, tenant_id: UUID = TENANT, **changes: Any) -> Event | None:
    values: dict[str, Any] = {
        "source": "shop",
        "source_event_id": "order-1",
        "event_type": "purchase",
        "profile_ext_id": "p-1",
        "occurred_at": NOW,
        "event_time": "2026-11-25T12:00:00Z",
        "properties": {"amount": 150000},
    }
    return read_event(fields or Fields("event"), tenant_id, now=NOW, **(values | changes))


def good(**changes: Any) -> Event:
    event = read(**changes)
    assert event is not None
    return event


def test_the_same_event_has_the_same_identity_and_digest() -> None:
    first, second = good(), good()
    assert first == second
    assert first.event_id.version == 8
    assert first.event_id.variant == "specified in RFC 4122"


def test_identity_does_not_depend_on_the_body_but_the_digest_does() -> None:
    first, second = good(), good(properties={"amount": 1})
    assert first.event_id == second.event_id
    assert first.body_digest != second.body_digest


def test_identity_and_digest_are_what_the_documentation_says() -> None:
    canonical = (
        b'{"event_time":"2026-11-25T12:00:00Z","event_type":"purchase","profile_ext_id":"p-1",'
        b'"properties":{"amount":150000},"source":"shop","source_event_id":"order-1"}'
    )
    identity = (
        b"\x01"
        + (b"\x00\x00\x00\x10" + TENANT.bytes)
        + (b"\x00\x00\x00\x04" + b"shop")
        + (b"\x00\x00\x00\x07" + b"order-1")
    )
    event = good()
    assert event.body_digest == sha256(canonical).digest()
    # A UUID of version 8 keeps all bits of the hash but the six of version and variant.
    own_bits = ~((0xF << 76) | (0x3 << 62))
    assert (
        event.event_id.int & own_bits == int.from_bytes(sha256(identity).digest()[:16]) & own_bits
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": OTHER_TENANT},
        {"source": "shop2"},
        {"source_event_id": "order-2"},
        # The parts are length-prefixed, so text cannot move from one to the other.
        {"source": "shopo", "source_event_id": "rder-1"},
    ],
)
def test_another_identity_is_another_event(changes: dict[str, Any]) -> None:
    assert good(**changes).event_id != good().event_id


def test_without_an_id_of_its_source_the_content_is_the_identity() -> None:
    first = good(source_event_id="")
    assert first.source_event_id is None
    assert first.event_id == good(source_event_id="").event_id
    assert first.event_id != good(source_event_id="", properties={"amount": 1}).event_id
    assert first.event_id != good(source_event_id="", tenant_id=OTHER_TENANT).event_id


def test_the_order_of_properties_does_not_matter() -> None:
    first = good(properties={"a": 1, "b": {"c": 2, "d": 3}})
    second = good(properties={"b": {"d": 3, "c": 2}, "a": 1})
    assert first.body_digest == second.body_digest


def test_nanoseconds_make_another_body_though_microseconds_are_stored() -> None:
    first = good(event_time="2026-11-25T12:00:00.000000001Z")
    assert first.body_digest != good().body_digest
    assert first.occurred_at == good().occurred_at


DEEP: dict[str, Any] = {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"source": ""}, "event.source", "is required"),
        ({"source": "Shop"}, "event.source", "a-z"),
        ({"source": "s" * 65}, "event.source", "1 to 64"),
        ({"source": "shop\n"}, "event.source", "a-z"),
        ({"event_type": "mua hàng"}, "event.event_type", "a-z"),
        ({"source_event_id": "x" * 201}, "event.source_event_id", "at most 200"),
        ({"source_event_id": "a\x00b"}, "event.source_event_id", "NUL"),
        ({"profile_ext_id": ""}, "event.profile_ext_id", "is required"),
        ({"profile_ext_id": "\ud800"}, "event.profile_ext_id", "surrogate"),
        ({"occurred_at": None}, "event.event_time", "is required"),
        (
            {"occurred_at": NOW + CLOCK_AHEAD_MAX + timedelta(seconds=1)},
            "event.event_time",
            "ahead",
        ),
        ({"occurred_at": NOW - EVENT_AGE_MAX - timedelta(seconds=1)}, "event.event_time", "back"),
        ({"properties": {"note": "a\x00b"}}, "event.properties.note", "NUL"),
        ({"properties": {"note": ["x", "\udfff"]}}, "event.properties.note[1]", "surrogate"),
        ({"properties": {"a\x00": 1}}, "event.properties", "key"),
        ({"properties": {"id": 2**53}}, "event.properties.id", "send it as a string"),
        ({"properties": {"x": float("inf")}}, "event.properties.x", "send it as a string"),
        ({"properties": {"x": float("nan")}}, "event.properties.x", "send it as a string"),
        ({"properties": {"a": DEEP}}, "event.properties.a.a.a.a.a.a.a.a", "too deep"),
        ({"properties": {"x": "y" * 16384}}, "event.properties", "bytes"),
    ],
)
def test_a_bad_field_is_named_and_nothing_else(
    changes: dict[str, Any], field: str, says: str
) -> None:
    fields = Fields("event")
    assert read(fields, **changes) is None
    assert [violation.field for violation in fields.violations] == [field]
    assert says in fields.violations[0].description


@pytest.mark.parametrize(
    "changes",
    [
        {"occurred_at": NOW + CLOCK_AHEAD_MAX},
        {"occurred_at": NOW - EVENT_AGE_MAX},
        {"properties": DEEP},
        {"properties": {"id": 2**53 - 1, "x": -0.5, "b": True, "n": None}},
        {"properties": {}},
        {"properties": {"emoji": "😀", "tên": "Nguyễn"}},
        {"source_event_id": "x" * 200},
    ],
)
def test_the_edge_of_each_limit_is_inside(changes: dict[str, Any]) -> None:
    good(**changes)


def test_every_bad_field_is_named_at_once() -> None:
    fields = Fields("events[3]")
    read(fields, source="", event_type="", profile_ext_id="")
    assert [violation.field for violation in fields.violations] == [
        "events[3].source",
        "events[3].event_type",
        "events[3].profile_ext_id",
    ]
