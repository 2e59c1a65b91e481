"""Where a template's text reads an event."""

from __future__ import annotations

import pytest

from services.decision.domain.texts import Place, find_event


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Chào {{ profile.given_name }}",
        "event.type",
        "{{ profile.attributes.event }}",
        "{{ profile . event }}",
        "{{ profile.attributes['event'] }} event",
        '{{ "event" }}',
        "{# {{ event.type }} #}",
    ],
)
def test_a_text_without_an_event_is_good_for_a_launch(text: str) -> None:
    assert find_event({"text": text}) is None


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("{{event.type}}", 1, 3),
        ("Số tiền: {{ event.properties.amount | vnd }}", 1, 13),
        ("a\nb {{ event['type'] }}", 2, 6),
        ("a\r\n{{ event.type }}", 2, 4),
        ("a   {{- event.type -}}   b", 1, 9),
        ("{{ profile.city }}{{ profile.attributes.event }}\n\n  {{ event.time }}", 3, 6),
    ],
)
def test_the_place_of_an_event_is_told(text: str, line: int, column: int) -> None:
    texts = {"first": "{{ profile.city }}", "second": text}
    assert find_event(texts) == Place("second", line, column)
