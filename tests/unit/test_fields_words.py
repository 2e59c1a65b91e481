"""Spans of time as people say them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.fields import in_words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=7), "7 days"),
        (timedelta(hours=36), "1 day 12 hours"),
        (timedelta(minutes=90), "1 hour 30 minutes"),
        (timedelta(seconds=61), "1 minute 1 second"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_span_is_told_in_the_units_that_it_has(span: timedelta, words: str) -> None:
    assert in_words(span) == words
