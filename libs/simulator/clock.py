"""The clock by which a provider judges nights, minutes and days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class RuleClock:
    """The true time, shifted as a test or a demonstration wants it.

    Only rules read it: the times in answers, webhooks and the witness log are true.
    """

    def __init__(self, offset: timedelta) -> None:
        self.offset = offset

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC) + self.offset
