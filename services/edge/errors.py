"""What the edge itself refuses; everything else is the services' own answer."""

from __future__ import annotations

from typing import ClassVar

from libs.rpc.errors import DeadlineError, InvalidError, UnauthenticatedError, UnavailableError


class BodyUnreadableError(InvalidError):
    reason: ClassVar[str] = "MESSAGE_UNREADABLE"


class BodyTooLargeError(InvalidError):
    reason: ClassVar[str] = "MESSAGE_UNREADABLE"


class AuthorizationUnreadableError(UnauthenticatedError):
    reason: ClassVar[str] = "TOKEN_INVALID"


class ServiceUnavailableError(UnavailableError):
    reason: ClassVar[str] = "SERVICE_UNAVAILABLE"


class CallDeadlineError(DeadlineError):
    reason: ClassVar[str] = "DEADLINE_PASSED"
