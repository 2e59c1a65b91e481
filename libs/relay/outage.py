"""One line of log when something stops working and one when it works again, not one a second."""

from __future__ import annotations

import structlog

log = structlog.get_logger(__name__)


class Outage:
    """Whether something that is tried again and again fails now."""

    def __init__(self, what: str, **context: str) -> None:
        self._context = {"what": what} | context
        self._problem = ""

    def begin(self, problem: str) -> None:
        """It failed; `problem` holds no personal data."""
        if problem != self._problem:
            log.warning("fails", problem=problem, **self._context)
        self._problem = problem

    def end(self) -> None:
        """It worked."""
        if self._problem:
            log.info("works again", **self._context)
        self._problem = ""


def problem_of(error: Exception) -> str:
    """What a log may say of an error: its class, and its code and reason where it has them."""
    code = getattr(error, "code", None)
    reason = getattr(error, "reason", "")
    return " ".join(filter(None, (type(error).__name__, getattr(code, "name", ""), reason)))
