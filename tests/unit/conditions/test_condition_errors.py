"""Texts that are no conditions: each is refused at its place, with a way out."""

from __future__ import annotations

import random

import pytest

from libs.conditions import ConditionError, Scope, compile_condition
from libs.conditions.limits import COST_MAX, LIST_COST, TEXT_BYTES_MAX


def refused(text: str, scope: Scope = "segment") -> ConditionError:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text, scope)
    return caught.value


# Each text has a mark ▸ where the error stands.
REFUSED = [
    # No CEL.
    ("▸", "ends too early", "a field or a value"),
    ("profile.city ==▸", "ends too early", "a field or a value"),
    ("profile.city ▸= 'a'", "equality is written ==", "=="),
    ("profile.city ==▸= 'a'", "equality is written ==", "=="),
    ("profile.city <▸> 'a'", "inequality is written !=", "!="),
    ("true ▸and true", "and is written &&", "&&"),
    ("true ▸OR true", "or is written ||", "||"),
    ("▸NOT true", "not is written !", "!"),
    ("▸not(true)", "not is written !", ""),
    ("profile.city == ▸“a”", "quotation marks are written straight", '"'),
    ("profile.city == ▸'a", "this text is not closed", "a quotation mark"),
    ("profile.city ▸'a'", "extraneous input", ""),
    ("profile.city == 'a' // note\n && ▸@", "unknown: '@'", ""),
    # No such field.
    ("▸profile.citi == 'a'", "unknown field profile.citi; did you mean", "profile.city"),
    ("has(profile.churn)", None, "profile.churn_score"),
    ("▸prof.city == 'a'", "unknown field prof.city", "profile.city"),
    ("true && ▸x", "fields start with consent, now, profile", "consent, now, profile"),
    ("▸event.type == 'a'", "a segment has no event", ""),
    ("▸event", "a segment has no event", ""),
    ("▸profile == 1", "name one of its fields", "profile.city"),
    ("▸profile.attributes == 1", "name one of its keys", "profile.attributes.key"),
    ("▸profile.city.length == 1", "profile.city is text, it has no fields", ""),
    ("▸now.year == 1", "now is a time, it has no fields", ""),
    ("▸consent.email == 'a'", "consent is asked as", 'consent.granted("email", "marketing")'),
    ('\n  profile.city == "đ😀" &&\n  "😀" == ▸profile.xyz', "unknown field", "profile.city"),
    # Wrong types.
    ("▸profile.city", "this is text, not true or false", "true or false"),
    ("▸profile.city == 5", "this is text, not a number", "a number"),
    ("▸profile.lifetime_value_vnd == '5'", "this is a whole number, not text", "text"),
    ("true && !▸profile.city", "this is text, not true or false", "true or false"),
    ("▸profile.updated_at > '2026-11-25'", "this is a time, not text", "text"),
    ("▸profile.attributes.t > now", "holds JSON, which has no time", ""),
    ("▸profile.attributes.t.getHours('UTC') == 1", "holds JSON, which has no time", ""),
    ("profile.attributes.a ▸== profile.attributes.b", "neither side has a type", ""),
    ("true ▸< false", "< does not compare true or false", ""),
    ("profile.labels ▸== profile.emails", "== does not compare a list of texts", ""),
    ("1 in ▸profile.labels", "this is a list of texts, not a list of numbers", "a list of numbers"),
    ("'a' in ▸profile.city", "this is text, not a list of texts", "a list of texts"),
    ("▸now in profile.labels", "no list holds time", ""),
    ("▸profile.attributes.a in profile.labels", "no type of its own", ""),
    ("▸profile.city in [1, 2]", "this is text, not a number", "a number"),
    ("profile.city in ▸[]", "at least one", ""),
    ("profile.city in ▸['a', 1]", "either texts or numbers", ""),
    ("profile.city in ▸[profile.country]", "only texts or numbers", ""),
    ("profile.city ▸+ 'a' == 'b'", "+ does not take text and text", ""),
    ("now ▸+ now > now", "+ does not take a time and a time", ""),
    ("▸profile.attributes.x + 1 == 2", "are not added or subtracted", ""),
    ("size(▸profile.attributes.x) == 1", "size() counts", ""),
    ("size(▸profile.birth_year) == 1", "size() counts", ""),
    ("has(profile.attributes▸['x'])", "has() argument must be a field selection", ""),
    ("▸has(profile.city)", "profile.city is always there", ""),
    # What CEL has and conditions do not.
    ("true ▸? true : false", "?: is not part of conditions", ""),
    ("▸profile.city.matches('a.*')", "regular expressions", ""),
    ("profile.labels.exists▸(x, x == 'a')", "exists, all, map and filter", ""),
    ("profile.labels.all▸(x, x == 'a')", "exists, all, map and filter", ""),
    ("size(profile.labels.map▸(x, x)) == 1", "exists, all, map and filter", ""),
    ("size(profile.labels.filter▸(x, true)) == 1", "exists, all, map and filter", ""),
    ("profile.birth_year ▸* 2 == 4", "only + and -", ""),
    ("▸-profile.birth_year == 4", "only + and -", ""),
    ("▸int(profile.city) == 1", "values are never converted", ""),
    ("profile.city == ▸null", "null is not part of conditions", ""),
    ("profile.city == ▸b'a'", "neither bytes nor", ""),
    ("profile.city == ▸'a\\x00'", "neither bytes nor", ""),
    ("profile.birth_year == ▸1u", "without u", ""),
    ("profile.birth_year == ▸1e999", "too large", ""),
    ("profile.birth_year == ▸9223372036854775808", "invalid int literal", ""),
    ("profile.labels == ▸['a']", "a list may only stand after in", ""),
    ("▸{'a': 1} == 1", "objects are not part of conditions", ""),
    ("▸profile.attributes[0] == 1", "only text may stand in [ ]", ""),
    # Functions.
    ("▸profile.city.startswith('a')", "did you mean startsWith?", "startsWith"),
    ("▸lower(profile.city) == 'a'", "unknown function lower", ""),
    ("profile.city.contains(▸profile.country)", "text in quotation marks", None),
    ("▸profile.labels.size() > 1", "size is used as in size(profile.emails)", None),
    ("▸contains(profile.city, 'a')", "contains is used as in profile.city.contains", None),
    ("▸now.getHours() == 1", "getHours is used as in", None),
    ("now.getHours(▸'+07:00') == 1", "this is no name of a time zone", None),
    ("now.getHours(▸'Asia/Saigonn') == 1", "this is no name of a time zone", None),
    ("now.getHours(▸'localtime') == 1", "this is no name of a time zone", None),
    ("now < timestamp(▸'2026-11-25')", "this is no time in whole microseconds", None),
    ("now < timestamp(▸'2026-11-25T00:00:00.0000001Z')", "this is no time in whole", None),
    ("now < timestamp(▸profile.city)", "text in quotation marks", None),
    ("now - now < duration(▸'30d')", "this is no duration", 'duration("720h")'),
    ("now - now < duration(▸'1ns')", "this is no duration", 'duration("720h")'),
    ("▸granted('email', 'marketing')", "granted is used as in", None),
    ("▸profile.granted('email', 'marketing')", "consent is asked as", None),
    ("consent.granted(▸'Email', 'marketing')", "a channel or purpose is written", ""),
    ("consent.granted(▸profile.city, 'marketing')", "text in quotation marks", None),
]


@pytest.mark.parametrize(("marked", "message", "expected"), REFUSED)
def test_text_is_refused_at_its_place(
    marked: str, message: str | None, expected: str | None
) -> None:
    error = refused(marked.replace("▸", ""))
    if message is not None:
        before = marked[: marked.index("▸")]
        assert (error.line, error.column) == (
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
        )
        assert message in error.message
    if expected is not None:
        assert error.expected == expected


def test_text_of_four_kibibytes_is_the_longest() -> None:
    padding = " " * (TEXT_BYTES_MAX - len("true"))
    assert compile_condition(f"true{padding}", "segment").evaluate({}).met
    assert "4097 bytes" in refused(f"true{padding} ").message


def test_bytes_are_counted_and_not_characters() -> None:
    text = f'profile.city == "{"đ" * (TEXT_BYTES_MAX // 2)}"'
    assert len(text) < TEXT_BYTES_MAX
    assert "at most 4096" in refused(text).message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 40 + "true" + ")" * 40,
        "!(" * 40 + "true" + ")" * 40,
        "profile.birth_day" + " + 1" * 100 + " > 0",
        "profile.attributes" + ".x" * 40 + " == 1",
        # Within the parser's depth; the balanced tree of each level makes it deep.
        "(true && true && true && true && true && true && true && true && " * 28
        + "true"
        + ")" * 28,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested too deeply" in refused(text).message


def test_long_chains_are_not_deep() -> None:
    text = " || ".join(["profile.birth_day == 1"] * 150)
    assert compile_condition(text, "segment").evaluate({"profile": {"birth_day": 1}}).met


def test_costly_condition_is_refused() -> None:
    search = '"a" in profile.labels'
    count = COST_MAX // LIST_COST - 1
    assert compile_condition(" || ".join([search] * count), "segment")
    assert "steps; at most 2000" in refused(" || ".join([search] * (count + 1))).message
    assert "steps" in refused(" || ".join(['profile.city.contains("a")'] * 20)).message


def test_any_text_compiles_or_is_refused_with_a_place() -> None:
    generator = random.Random(20261125)
    pieces = [
        *("profile.city", "profile", "event.properties.x", "now", "consent", ".granted(", "has("),
        *("==", "!=", "<", ">", "&&", "||", "!", "?", ":", "in", "+", "-", "(", ")", "[", "]", ","),
        *('"a"', "'đ", '"', "1", "2.5", "1u", "null", "true", "\n", "\r\n", "\t", "\0", "\\", "@"),
        *("and", "not", "// x\n", "{", "}", "😀", "timestamp(", "exists(", "`", "\ud800", "size("),
    ]
    errors: list[tuple[str, ConditionError]] = []
    for _ in range(3000):
        text = " ".join(generator.choices(pieces, k=generator.randint(0, 8)))
        try:
            compile_condition(text, "rule")
        except ConditionError as refusal:
            errors.append((text, refusal))
    assert len(errors) > 2500
    for text, error in errors:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines), text
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1, text
        assert error.message
