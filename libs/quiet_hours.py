"""Hours in which nobody is disturbed: kept when a rule decides, and again before each call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A time of day, "HH:MM" to "HH:MM"; an end before the start means the next day."""

    start: str
    end: str

    def times(self) -> tuple[time, time]:
        """Both as times of the day."""
        return time.fromisoformat(self.start), time.fromisoformat(self.end)


def quiet_until(quiet_hours: QuietHours, now: datetime, time_zone: str) -> datetime | None:
    """When the quiet hours that are now end, in the zone of `now`; None if it is not quiet."""
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    start, end = quiet_hours.times()
    clock = local.time()
    quiet = start <= clock < end if start < end else clock >= start or clock < end
    if not quiet:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    # An hour that the zone has twice ends in the one that is now.
    return datetime.combine(day, end.replace(fold=local.fold), zone).astimezone(now.tzinfo)
