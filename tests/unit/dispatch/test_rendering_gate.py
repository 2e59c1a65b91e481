from __future__ import annotations

import pytest

from services.dispatch.domain.limits import TEXT_LENGTH_MAX
from services.dispatch.rendering import check_template


@pytest.mark.parametrize(
    "text",
    [
        "Chào mừng",
        "{{ profile.given_name }}",
        "{{ profile.family_name | upper }} {{ profile.given_name|title }}",
        "{{ event.properties.amount | vnd }}",
        "{{ event.properties['mã đơn'] }}",
        "{{ event.properties.cart.total | vnd }}",
        "{{ profile.attributes.items }}",
        "{{ event.time | date }}",
        "{{ profile.city | truncate(20) | upper }}",
        "{{ 'a constant' | upper }}",
        "{# a remark #}{% raw %}{{ as it is }}{% endraw %}",
    ],
)
def test_values_constants_and_our_filters_are_let_through(text: str) -> None:
    assert check_template({"name": text}, None) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{% for x in profile.attributes.y %}{{ x }}{% endfor %}", "For"),
        ("{% if profile.city %}x{% endif %}", "If"),
        ("{% set x = 1 %}", "Assign"),
        ("{% macro m() %}x{% endmacro %}", "Macro"),
        ("{% include 'x' %}", "Include"),
        ("{% import 'x' as y %}", "Import"),
        ("{% filter upper %}x{% endfilter %}", "FilterBlock"),
        ("{{ profile.city.upper() }}", "Call"),
        ("{{ range(10) }}", "Call"),
        ("{{ 'a' * 1000000000 }}", "Mul"),
        ("{{ 9 ** 9 ** 9 }}", "Pow"),
        ("{{ 'a' + 'b' }}", "Add"),
        ("{{ profile.city ~ profile.city }}", "Concat"),
        ("{{ profile.city if profile.city else 'x' }}", "CondExpr"),
        ("{{ profile.city or 'x' }}", "Or"),
        ("{{ profile.city == 'x' }}", "Compare"),
        ("{{ [1] }}", "List"),
        ("{{ {'a': 1} }}", "Dict"),
        ("{{ 1, 2 }}", "Tuple"),
        ("{{ 12 }}", "Const"),
        ("{{ none }}", "Const"),
        ("{{ profile.city[0] }}", "Getitem"),
        ("{{ profile.city[1:2] }}", "Getitem"),
        ("{{ profile[event.type] }}", "Getitem"),
        ("{{ 'x'.y }}", "Const"),
        ("{{ profile.city is defined }}", "Test"),
    ],
)
def test_what_is_more_than_a_value_is_refused(text: str, word: str) -> None:
    (violation,) = check_template({"name": text}, None)
    assert violation.field == "data.name"
    assert violation.description.startswith("line 1: ")
    assert violation.description.endswith(f"no {word}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ profile.given_nam }}", "did you mean profile.given_name?"),
        ("{{ profile }}", "unknown field profile"),
        ("{{ tenant.name }}", "unknown field tenant.name"),
        ("{{ self.x }}", "unknown field self.x"),
        ("{{ profile.phones }}", "unknown field profile.phones"),
        ("{{ profile.__class__ }}", "unknown field profile.__class__"),
        ("{{ profile.attributes.__class__ }}", "must not start with _"),
        ("{{ profile.attributes['_key'] }}", "must not start with _"),
        ("{{ profile.attributes }}", "as in profile.attributes.key"),
        ("{{ profile.city.x }}", "profile.city is one value"),
        ("{{ profile.attributes" + ".a" * 20 + " }}", "more than 10 names"),
        ("{{ profile.city | center(1000000000) }}", "unknown filter center"),
        ("{{ profile.city | default('x') }}", "unknown filter default"),
        ("{{ profile.city | truncate }}", "truncate takes a number"),
        ("{{ profile.city | truncate(0) }}", "truncate takes a number"),
        ("{{ profile.city | truncate(1000000000) }}", "truncate takes a number"),
        ("{{ profile.city | truncate(length=5) }}", "truncate takes a number"),
        ("{{ profile.city | truncate(profile.birth_year) }}", "truncate takes a number"),
        ("{{ profile.city | upper(1) }}", "upper takes nothing"),
        ("{{ profile.city | upper(*profile) }}", "upper takes nothing"),
        ("{{ profile.city", "line 1: "),
        ("{% endfor %}", "line 1: "),
        ("{{ " + "(" * 900 + "1" + ")" * 900 + " }}", ""),
        ("x" * (TEXT_LENGTH_MAX + 1), "has more than 2000 characters"),
    ],
)
def test_other_names_and_filters_are_refused_with_a_hint(text: str, said: str) -> None:
    (violation,) = check_template({"name": text}, None)
    assert said in violation.description


def test_each_bad_text_is_named_with_its_line() -> None:
    violations = check_template(
        {"good": "x", "one": "{{ x }}", "two": "first\n\n{{ profile.citi }}"}, None
    )
    assert [violation.field for violation in violations] == ["data.one", "data.two"]
    assert violations[1].description.startswith("line 3: ")
