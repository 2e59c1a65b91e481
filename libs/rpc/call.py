"""The call that is being answered."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC in progress.

    Attributes:
        call_id: finds the call in the logs; the caller's `x-request-id` if that is a UUID.
        method: "/package.Service/Method".
        deadline_seconds: when it must be answered, on the clock of `time.monotonic`.
    """

    call_id: str
    method: str
    deadline_seconds: float

    def deadline_remaining(self) -> timedelta:
        """The time that is left; never negative."""
        return timedelta(seconds=max(0.0, self.deadline_seconds - time.monotonic()))


_CURRENT: ContextVar[Call] = ContextVar("leo_call")


def current_call() -> Call:
    """Return the call that this code answers.

    Raises:
        LookupError: there is none; the caller runs outside of an RPC.
    """
    return _CURRENT.get()


def find_call() -> Call | None:
    """Return the call that this code answers, or None outside of one."""
    return _CURRENT.get(None)


def enter_call(call: Call) -> None:
    """Make `call` the current one of this task; gRPC gives each RPC a task of its own."""
    _CURRENT.set(call)
