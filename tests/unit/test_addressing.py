from __future__ import annotations

import pytest

from libs.addressing import address_of, normal_address, recipient_refs

PERSON = {"phones": ["+84901234567", "+84907654321"], "emails": ["ngoc@example.vn"]}


@pytest.mark.parametrize(
    ("channel", "person", "refs"),
    [
        ("zalo-template", PERSON, ["phone:0", "phone:1"]),
        ("email", PERSON, ["email:0"]),
        ("email", {"emails": []}, []),
        ("email", {}, []),
        ("fax", PERSON, []),
        ("", PERSON, []),
    ],
)
def test_a_channel_reaches_a_person_at_every_address_of_its_kind(
    channel: str, person: dict[str, list[str]], refs: list[str]
) -> None:
    assert recipient_refs(channel, person) == refs


@pytest.mark.parametrize("channel", ["zalo-template", "email"])
def test_every_ref_names_the_address_at_its_place(channel: str) -> None:
    addresses = [address_of(ref, PERSON) for ref in recipient_refs(channel, PERSON)]
    assert addresses == PERSON["phones" if channel == "zalo-template" else "emails"]


@pytest.mark.parametrize(
    "ref", ["phone:2", "phone:-1", "phone:", "phone", "", ":0", "fax:0", "phone:x", "phone:0:0"]
)
def test_a_ref_that_names_nothing_has_no_address(ref: str) -> None:
    assert address_of(ref, PERSON) is None


@pytest.mark.parametrize(
    ("channel", "value", "normal"),
    [
        ("zalo-template", "0901 234 567", "+84901234567"),
        ("zalo-template", "an@person.vn", None),
        ("email", " An@Person.vn ", "an@person.vn"),
        ("email", "0901234567", None),
        ("fax", "0901234567", None),
    ],
)
def test_an_address_has_one_form_in_which_a_channel_knows_it(
    channel: str, value: str, normal: str | None
) -> None:
    assert normal_address(channel, value) == normal
