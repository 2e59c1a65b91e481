from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.quiet_hours import QuietHours, quiet_until

HANOI = "Asia/Ho_Chi_Minh"
NEW_YORK = "America/New_York"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        # Within one day: from the first instant until before the last.
        ("12:00", "14:00", "2026-11-25T11:59:59.999999+07:00", None),
        ("12:00", "14:00", "2026-11-25T12:00:00+07:00", "2026-11-25T14:00:00+07:00"),
        ("12:00", "14:00", "2026-11-25T13:59:59.999999+07:00", "2026-11-25T14:00:00+07:00"),
        ("12:00", "14:00", "2026-11-25T14:00:00+07:00", None),
        # Over midnight.
        ("22:00", "07:00", "2026-11-25T21:59:59.999999+07:00", None),
        ("22:00", "07:00", "2026-11-25T22:00:00+07:00", "2026-11-26T07:00:00+07:00"),
        ("22:00", "07:00", "2026-11-25T23:59:59.999999+07:00", "2026-11-26T07:00:00+07:00"),
        ("22:00", "07:00", "2026-11-26T00:00:00+07:00", "2026-11-26T07:00:00+07:00"),
        ("22:00", "07:00", "2026-11-26T06:59:59.999999+07:00", "2026-11-26T07:00:00+07:00"),
        ("22:00", "07:00", "2026-11-26T07:00:00+07:00", None),
        # Over the end of a month and of a year.
        ("22:00", "07:00", "2026-12-31T23:00:00+07:00", "2027-01-01T07:00:00+07:00"),
        # From and until midnight.
        ("22:00", "00:00", "2026-11-25T23:30:00+07:00", "2026-11-26T00:00:00+07:00"),
        ("22:00", "00:00", "2026-11-26T00:00:00+07:00", None),
        ("00:00", "06:00", "2026-11-25T00:00:00+07:00", "2026-11-25T06:00:00+07:00"),
        ("00:00", "06:00", "2026-11-24T23:59:59.999999+07:00", None),
        # All but one minute of the day.
        ("08:01", "08:00", "2026-11-25T08:00:30+07:00", None),
        ("08:01", "08:00", "2026-11-25T08:01:00+07:00", "2026-11-26T08:00:00+07:00"),
    ],
)
@pytest.mark.parametrize("shift", [UTC, None])
def test_quiet_hours_of_one_zone(
    start: str, end: str, now: str, until: str | None, shift: object
) -> None:
    """Whichever zone `now` is given in, it is the tenant's clock that counts."""
    moment = at(now).astimezone(UTC) if shift is UTC else at(now)
    found = quiet_until(QuietHours(start, end), moment, HANOI)
    assert found == (at(until) if until else None)
    assert found is None or found.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    ("time_zone", "until"),
    [
        ("UTC", None),
        (HANOI, "2026-11-25T23:00:00+00:00"),
        ("Asia/Kolkata", None),
        ("Australia/Sydney", "2026-11-25T19:00:00+00:00"),
        # 17:30 UTC is 23:15 of Kathmandu.
        ("Asia/Kathmandu", "2026-11-26T00:15:00+00:00"),
    ],
)
def test_the_same_moment_is_quiet_in_one_zone_and_not_in_another(
    time_zone: str, until: str | None
) -> None:
    now = datetime(2026, 11, 25, 17, 30, tzinfo=UTC)
    found = quiet_until(QuietHours("23:10", "06:00"), now, time_zone)
    assert found == (at(until) if until else None)


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        # The night is an hour shorter, then an hour longer.
        ("22:00", "07:00", "2026-03-07T23:00:00-05:00", "2026-03-08T07:00:00-04:00"),
        ("22:00", "07:00", "2026-10-31T23:00:00-04:00", "2026-11-01T07:00:00-05:00"),
        # The clock never shows 02:30: the night is as long as it would have been, never shorter.
        ("22:00", "02:30", "2026-03-07T23:00:00-05:00", "2026-03-08T03:30:00-04:00"),
        ("22:00", "02:30", "2026-03-08T03:00:00-04:00", None),
        # It begins in an hour that is not there.
        ("02:30", "07:00", "2026-03-08T01:59:00-05:00", None),
        ("02:30", "07:00", "2026-03-08T03:00:00-04:00", "2026-03-08T07:00:00-04:00"),
        # The clock shows 01:30 twice: each ends its own hour, never one that is over.
        ("22:00", "01:30", "2026-11-01T01:15:00-04:00", "2026-11-01T01:30:00-04:00"),
        ("22:00", "01:30", "2026-11-01T01:45:00-04:00", None),
        ("22:00", "01:30", "2026-11-01T01:15:00-05:00", "2026-11-01T01:30:00-05:00"),
    ],
)
def test_quiet_hours_over_a_change_of_the_clock(
    start: str, end: str, now: str, until: str | None
) -> None:
    found = quiet_until(QuietHours(start, end), at(now).astimezone(UTC), NEW_YORK)
    assert found == (at(until) if until else None)
