from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.json_format import MessageToDict

import leo_sdk


def test_an_event_carries_what_was_given() -> None:
    message = leo_sdk.event(
        source="shop",
        source_event_id="42",
        event_type="purchase",
        profile_ext_id="p1",
        event_time=datetime(2026, 3, 1, 7, 30, 0, 123456, tzinfo=timezone(timedelta(hours=7))),
        properties={"quantity": 2, "gift": True, "items": ["Đĩa than", None], "at": {"hcm": 1.5}},
    )
    assert message.source_event_id == "42"
    assert message.event_time.ToJsonString() == "2026-03-01T00:30:00.123456Z"
    assert MessageToDict(message.properties) == {
        "quantity": 2,
        "gift": True,
        "items": ["Đĩa than", None],
        "at": {"hcm": 1.5},
    }


def test_an_event_without_properties_has_none() -> None:
    message = leo_sdk.event(
        source="shop", event_type="visit", profile_ext_id="p1", event_time=datetime.now(UTC)
    )
    assert not message.HasField("properties")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        leo_sdk.timestamp(datetime(2026, 3, 1))  # noqa: DTZ001, it is the case under test


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        ({"id": 2**53}, "properties.id"),
        ({"a": {"b": [1, -(2**53)]}}, r"properties\.a\.b\[1\]"),
    ],
)
def test_an_integer_that_would_change_on_the_way_is_refused(
    properties: dict[str, object], place: str
) -> None:
    with pytest.raises(ValueError, match=place):
        leo_sdk.struct(properties)


def test_the_largest_safe_integer_arrives_as_it_is() -> None:
    assert leo_sdk.struct({"id": 2**53 - 1})["id"] == 2**53 - 1


def test_a_cdp_document_is_sent_as_the_text_that_the_cdp_has() -> None:
    text = '{"_key": "a", "livingCity": "Đà Nẵng"}'
    assert leo_sdk.cdp_document(text).document.json == text
    from_mapping = leo_sdk.cdp_document({"_key": "a", "livingCity": "Đà Nẵng"}).document
    assert from_mapping.source == "leo-cdp"
    assert json.loads(from_mapping.json) == json.loads(text)
    assert "Đà Nẵng" in from_mapping.json
