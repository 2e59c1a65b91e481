from __future__ import annotations

import pytest

from libs.fields import Fields
from services.segment.domain.segment import NewSegment, check_condition, check_segment
from services.segment.errors import ConditionInvalidError


def violations(**changes: str) -> list[str]:
    values = {"name": "vip", "display_name": "", "condition": "true"} | changes
    found = Fields("segment")
    check_segment(found, NewSegment(**values))
    return [violation.field for violation in found.violations]


@pytest.mark.parametrize("name", ["v", "vip.2026", "a_b-c", "x" * 64])
def test_good_segments_pass(name: str) -> None:
    assert violations(name=name, display_name="x" * 200) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "segment.name"),
        ({"name": "VIP"}, "segment.name"),
        ({"name": "x" * 65}, "segment.name"),
        ({"display_name": "x" * 201}, "segment.display_name"),
        ({"display_name": "a\x00b"}, "segment.display_name"),
        ({"condition": ""}, "segment.condition"),
        ({"condition": "\x00"}, "segment.condition"),
    ],
)
def test_bad_fields_are_named(changes: dict[str, str], field: str) -> None:
    assert violations(**changes) == [field]


def test_a_condition_over_profiles_compiles() -> None:
    check_condition('profile.city == "Huế" && consent.granted("email", "marketing")')


def test_a_condition_over_events_is_none_of_a_segment() -> None:
    with pytest.raises(ConditionInvalidError) as refused:
        check_condition('true &&\n  event.type == "purchase"')
    assert (refused.value.metadata["line"], refused.value.metadata["column"]) == ("2", "3")
