"""The kinds of failure that callers tell apart. Nothing here knows gRPC; libs/rpc/status.py does.

A context's own errors subclass a kind and fix `domain` and `reason`:

    LeoError
      InvalidError          fix the request
      UnauthenticatedError  bring a valid token
      ForbiddenError        stop
      MissingError          stop
      ExistsError           read what is there
      StateError            change the state first
      ConflictError         read again, do the whole again
      LimitError            wait
      UnavailableError      retry
      DeadlineError         give more time
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEO_DOMAIN = "leo"
RETRY_AFTER_DEFAULT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field: its path as in the request, and what to do about it; never its value."""

    field: str
    description: str


class LeoError(Exception):
    """The base of every error that a caller may see.

    Attributes:
        domain: who answers for the reason, such as "ingest.leo".
        reason: UPPER_SNAKE, registered in that domain's ErrorReason enum.
        metadata: every variable of the message; no personal data.
    """

    domain: ClassVar[str] = LEO_DOMAIN
    reason: ClassVar[str]

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidError(LeoError):
    """The request cannot be right; `violations` names every bad field."""

    def __init__(
        self,
        message: str,
        violations: Sequence[FieldViolation] = (),
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.violations = tuple(violations)


class UnauthenticatedError(LeoError):
    """Nobody vouches for the caller."""


class ForbiddenError(LeoError):
    """The caller may not do this; said before it is looked whether the thing exists."""


class _ResourceError(LeoError):
    def __init__(
        self,
        message: str,
        *,
        resource_type: str,
        resource_name: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.resource_type = resource_type
        self.resource_name = resource_name


class MissingError(_ResourceError):
    """There is no such thing in the caller's tenant."""


class ExistsError(_ResourceError):
    """There is one already."""


class StateError(LeoError):
    """The thing is in a state that does not allow this; `subject` says which thing."""

    def __init__(
        self, message: str, *, subject: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.subject = subject


class ConflictError(LeoError):
    """Somebody else was faster; the whole may be done again."""


class _RetryLaterError(LeoError):
    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta = RETRY_AFTER_DEFAULT,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_after = retry_after


class LimitError(_RetryLaterError):
    """A limit is reached; wait for `retry_after`."""


class UnavailableError(_RetryLaterError):
    """Something that we need is away; retry after `retry_after`."""


class DeadlineError(LeoError):
    """The time that the caller gave is over."""


class StartError(Exception):
    """The process cannot start as it is configured; the text says what to change.

    No caller ever sees it, so it is no LeoError.
    """
