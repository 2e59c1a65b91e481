from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.dispatch.domain.limits import TEXT_LENGTH_MAX
from services.dispatch.domain.template import TextRule
from services.dispatch.domain.values import Event, Values, values_of
from services.dispatch.rendering import MissingValueError, RenderError, render

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


def values(document: dict[str, Any] | None = None, **properties: Any) -> Values:
    event = Event(
        event_type="purchase",
        source="shop",
        occurred_at=datetime(2026, 11, 25, 20, 30, tzinfo=UTC),
        properties=properties,
    )
    return values_of({"ext_id": "p-1", **(document or {})}, event, HANOI)


def text_of(text: str, document: dict[str, Any] | None = None, **properties: Any) -> str:
    return render({"text": text}, values(document, **properties), None)["text"]


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Chào {{ profile.given_name }}!\n", "Chào Ánh!\n"),
        ("{{ profile.given_name | upper }}", "ÁNH"),
        ("{{ profile.given_name | lower }}", "ánh"),
        ("{{ event.properties.shop | trim | title }}", "Quận Một"),
        ("{{ profile.transaction_value_vnd | vnd }}", "1.500.000 ₫"),
        ("{{ profile.birth_day }}/{{ profile.birth_month }}", "2/9"),
        ("{{ profile.attributes.items }}", "three"),
        ("{{ event.properties['mã đơn'] }}", "B-7"),
        ("{{ event.properties.cart.total }}", "12.5"),
        ("{{ event.time | date }}", "26/11/2026"),
        ("{{ event.type }} {{ event.source }}", "purchase shop"),
        ("{{ event.properties.shop | trim | truncate(4) }}", "quậ…"),
        ("<b>{{ event.properties.html }}</b>", "<b><i>&</b>"),
        ("{{ event.properties.code }}", "{{ profile.city }}"),
    ],
)
def test_texts_are_rendered(text: str, rendered: str) -> None:
    document = {
        "given_name": "Ánh",
        "transaction_value_vnd": "1500000",
        "birth_date": [None, 9, 2],
        "attributes": {"items": "three"},
    }
    properties = {
        "shop": " quận một ",
        "mã đơn": "B-7",
        "cart": {"total": 12.5},
        "html": "<i>&",
        # What a person's value holds is never evaluated.
        "code": "{{ profile.city }}",
    }
    assert text_of(text, document, **properties) == rendered


@pytest.mark.parametrize(
    ("amount", "rendered"),
    [
        (0, "0 ₫"),
        (999, "999 ₫"),
        (1000, "1.000 ₫"),
        (-1500, "-1.500 ₫"),
        ("2000000", "2.000.000 ₫"),
        (1000.5, "1.001 ₫"),
    ],
)
def test_vnd_groups_by_thousands(amount: object, rendered: str) -> None:
    assert text_of("{{ event.properties.x | vnd }}", x=amount) == rendered


@pytest.mark.parametrize(
    ("time", "rendered"),
    [
        ("2026-11-25", "25/11/2026"),
        ("2026-11-25T16:59:59Z", "25/11/2026"),
        ("2026-11-25T17:00:00Z", "26/11/2026"),
        ("2026-11-25T23:30:00", "25/11/2026"),
        ("2026-11-26T01:00:00+09:00", "25/11/2026"),
    ],
)
def test_days_are_told_in_the_tenants_zone(time: str, rendered: str) -> None:
    assert text_of("{{ event.properties.x | date }}", x=time) == rendered


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ profile.given_name }}", "profile.given_name"),
        ("{{ profile.given_name | upper }}", "profile.given_name"),
        ("{{ profile.attributes.x }}", "profile.attributes.x"),
        ("{{ event.properties.empty }}", "event.properties.empty"),
        ("{{ event.properties.null }}", "event.properties.null"),
        ("{{ event.properties.null.deeper }}", "event.properties.null.deeper"),
        ("{{ event.properties.word.deeper }}", "event.properties.word.deeper"),
    ],
)
def test_a_missing_value_is_named_and_never_rendered(text: str, name: str) -> None:
    with pytest.raises(MissingValueError) as missing:
        text_of(text, empty="", null=None, word="x")
    assert missing.value.name == name


def test_without_an_event_its_values_are_missing() -> None:
    with pytest.raises(MissingValueError) as missing:
        render({"text": "{{ event.type }}"}, values_of({"ext_id": "p-1"}, None, HANOI), None)
    assert missing.value.name == "event.type"


def test_zero_is_a_value() -> None:
    assert text_of("{{ event.properties.x }}", x=0) == "0"


@pytest.mark.parametrize(
    "text",
    [
        "{{ event.properties.flag }}",
        "{{ event.properties.list }}",
        "{{ event.properties.object | upper }}",
        "{{ event.properties.secret | vnd }}",
        "{{ event.properties.secret | date }}",
        "{{ event.properties.flag | vnd }}",
        "{{ event.properties.long }}{{ event.properties.long }}",
        "{{ profile.unknown }}",
    ],
)
def test_what_is_no_text_is_an_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(RenderError) as error:
        text_of(
            text,
            flag=True,
            list=["canary"],
            object={"a": "canary"},
            secret="canary",
            long="canary" * (TEXT_LENGTH_MAX // 8),
        )
    assert str(error.value).startswith("data.text: ")
    assert "canary" not in str(error.value)


def test_rendered_texts_are_measured_and_given_in_nfc() -> None:
    decomposed = unicodedata.normalize("NFD", "ệ" * TEXT_LENGTH_MAX)
    assert len(decomposed) == 3 * TEXT_LENGTH_MAX
    assert text_of("{{ event.properties.x }}", x=decomposed) == "ệ" * TEXT_LENGTH_MAX
    assert text_of("{{ event.properties.x | truncate(3) }}", x=decomposed) == "ệệ…"


MARKUP = {"html": TextRule(required=True, length_max=100, markup=True)}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("<p>{{ event.properties.x }}</p>", "<p>&lt;b&gt; &amp; &#34;An&#34;</p>"),
        ("{{ event.properties.x | upper }}", "&lt;B&gt; &amp; &#34;AN&#34;"),
        ("{{ event.properties.x | truncate(2) }}", "&lt;…"),
        ("{{ '<i>' | upper }}", "&lt;I&gt;"),
        ("{{ '<i>' }}", "&lt;i&gt;"),
        ("{% raw %}<b>{{ x }}</b>{% endraw %}", "<b>{{ x }}</b>"),
        ("{{ 'Ánh' }} &amp; <br>", "Ánh &amp; <br>"),
    ],
)
def test_values_are_escaped_into_markup_and_nothing_else_is(text: str, rendered: str) -> None:
    told = values(None, x='<b> & "An"')
    assert render({"html": text}, told, MARKUP) == {"html": rendered}


def test_the_same_text_is_rendered_by_the_rule_of_its_name() -> None:
    text = "{{ event.properties.x }}"
    told = values(None, x="<b>")
    rules = MARKUP | {"subject": TextRule(required=True)}
    for _ in range(2):
        assert render({"html": text, "subject": text, "text": text}, told, rules) == {
            "html": "&lt;b&gt;",
            "subject": "<b>",
            "text": "<b>",
        }


def test_a_text_becomes_no_longer_than_its_rule_allows() -> None:
    told = values(None, x="<" * 30)
    with pytest.raises(RenderError, match=r"data\.html: became longer than 100 characters"):
        render({"html": "{{ event.properties.x }}"}, told, MARKUP)
    assert len(render({"text": "{{ event.properties.x }}"}, told, MARKUP)["text"]) == 30
