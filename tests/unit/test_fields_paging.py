from __future__ import annotations

import base64

import pytest

from libs.fields.paging import PageSizeError, PageTokenError, page_of, refusal_of, token_of


def test_a_token_leads_behind_the_item_that_it_was_made_of() -> None:
    assert page_of(10, token_of("Huế", "01"), key_count=2).after == ("Huế", "01")
    assert page_of(10, "", key_count=2).after == ()


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (500, 500), (501, 500), (10**6, 500)])
def test_a_size_has_a_default_and_a_maximum(asked: int, size: int) -> None:
    assert page_of(asked, "", key_count=1).size == size


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(PageSizeError):
        page_of(-1, "", key_count=1)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        token_of("one"),
        token_of("one", "two", "three"),
        base64.urlsafe_b64encode(b"[1, 2]").decode(),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
        # What PostgreSQL cannot hold.
        token_of("one", "\x00"),
    ],
)
def test_a_token_of_something_else_is_refused(token: str) -> None:
    with pytest.raises(PageTokenError):
        page_of(10, token, key_count=2)


def test_a_refusal_names_the_field() -> None:
    for size, token, field in ((-1, "", "page_size"), (1, "x", "page_token")):
        with pytest.raises(ValueError) as refused:
            page_of(size, token, key_count=1)
        assert refusal_of(refused.value)[0] == field
    # What a service reads out of the keys by itself.
    assert refusal_of(ValueError("badly formed hexadecimal UUID string"))[0] == "page_token"
