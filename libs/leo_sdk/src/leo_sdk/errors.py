"""What a call can fail with. Catch the kind that says what you can do about it.

    LeoRpcError
      InvalidError          fix the request; `violations` names every bad field
      UnauthenticatedError  bring a valid token
      ForbiddenError        stop: the token lacks the scope or the tenant
      MissingError          stop: there is no such thing
      ExistsError           read what is there
      StateError            change the state first
      ConflictError         read again, do the whole again
      LimitError            wait for `retry_after`
      UnavailableError      try later; the client has tried until the call's deadline
      DeadlineError         give more time
      InternalError         report it with `call_id`

A code that is in none of these kinds, such as UNIMPLEMENTED, is a plain LeoRpcError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

SDK_DOMAIN = "sdk.leo"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field of the request.

    Attributes:
        field: its path, such as "events[3].event_time".
        description: what is wrong with it; it never repeats the value.
    """

    field: str
    description: str


class LeoRpcError(Exception):
    """A call failed, or one item of a batch was refused.

    Attributes:
        code: the gRPC status code.
        message: for people; branch on `reason` instead.
        reason: UPPER_SNAKE, from the ErrorReason enum of `domain`; empty if the failure is the
            network's or another program's.
        domain: who answers for the reason: "ingest.leo", "leo" (the door of every service) or
            "sdk.leo" (this client).
        metadata: every variable of the message.
        violations: every bad field of the request.
        retry_after: what the server asks to wait, or None.
        call_id: finds the call in the server's log; empty for an item of a batch.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: timedelta | None = None,
        call_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after = retry_after
        self.call_id = call_id

    def __str__(self) -> str:
        name = f"{self.code.name} {self.reason}" if self.reason else self.code.name
        return f"{name}: {self.message}"


class InvalidError(LeoRpcError):
    """The request cannot be right."""


class UnauthenticatedError(LeoRpcError):
    """The token is missing or refused, also after a new one was fetched."""


class ForbiddenError(LeoRpcError):
    """The token does not allow this call."""


class MissingError(LeoRpcError):
    """The tenant has no such thing."""


class ExistsError(LeoRpcError):
    """There is one already, or the identity is taken."""


class StateError(LeoRpcError):
    """The thing is in a state that does not allow this."""


class ConflictError(LeoRpcError):
    """Somebody else was faster."""


class LimitError(LeoRpcError):
    """A limit is reached."""


class UnavailableError(LeoRpcError):
    """The service, its database or the issuer of tokens cannot be reached."""


class DeadlineError(LeoRpcError):
    """The time given is over. The work may have been done: the same call again is safe."""


class InternalError(LeoRpcError):
    """A defect of the server, or an answer that breaks the protocol."""


_KINDS: dict[grpc.StatusCode, type[LeoRpcError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: ForbiddenError,
    grpc.StatusCode.NOT_FOUND: MissingError,
    grpc.StatusCode.ALREADY_EXISTS: ExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: StateError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.INTERNAL: InternalError,
}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def error_of_status(status: Status, *, call_id: str = "") -> LeoRpcError:
    """The typed error for a google.rpc.Status, such as the `error` of a refused item.

    Details of types that are not known here are left out.
    """
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = ErrorInfo()
    request = BadRequest()
    retry = RetryInfo()
    retry_after: timedelta | None = None
    for detail in status.details:
        # Unpack fills the message whose type fits and leaves any other as it is.
        for message in (info, request, retry):
            detail.Unpack(message)
        if detail.Is(RetryInfo.DESCRIPTOR):
            retry_after = retry.retry_delay.ToTimedelta()
    return _KINDS.get(code, LeoRpcError)(
        status.message,
        code=code,
        reason=info.reason,
        domain=info.domain,
        metadata=info.metadata,
        violations=tuple(
            Violation(violation.field, violation.description)
            for violation in request.field_violations
        ),
        retry_after=retry_after,
        call_id=call_id,
    )


def error_of_call(failure: grpc.aio.AioRpcError, *, call_id: str) -> LeoRpcError:
    """The typed error for a failed call."""
    status = Status(code=failure.code().value[0], message=failure.details() or "")
    for key, value in failure.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                status = Status.FromString(value)
            except DecodeError:
                break  # a proxy on the way; code and message stand by themselves
    return error_of_status(status, call_id=call_id)
