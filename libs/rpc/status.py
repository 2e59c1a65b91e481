"""The one place that builds a google.rpc.Status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from libs.rpc.errors import (
    LEO_DOMAIN,
    ConflictError,
    DeadlineError,
    ExistsError,
    ForbiddenError,
    InvalidError,
    LeoError,
    LimitError,
    MissingError,
    StateError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

# A Status travels in the trailers, of which clients take 8 KiB by default: base64 makes 4/3 of the
# whole, and the message goes a second time, in which each byte of Vietnamese letters takes three.
VIOLATION_BYTES_MAX = 3 * 1024
TEXT_LENGTH_MAX = 200

CODES: tuple[tuple[type[LeoError], code_pb2.Code], ...] = (
    (InvalidError, code_pb2.INVALID_ARGUMENT),
    (UnauthenticatedError, code_pb2.UNAUTHENTICATED),
    (ForbiddenError, code_pb2.PERMISSION_DENIED),
    (MissingError, code_pb2.NOT_FOUND),
    (ExistsError, code_pb2.ALREADY_EXISTS),
    (StateError, code_pb2.FAILED_PRECONDITION),
    (ConflictError, code_pb2.ABORTED),
    (LimitError, code_pb2.RESOURCE_EXHAUSTED),
    (UnavailableError, code_pb2.UNAVAILABLE),
    (DeadlineError, code_pb2.DEADLINE_EXCEEDED),
)


def status_of(error: BaseException, *, call_id: str) -> status_pb2.Status:
    """Tell an error as a caller may see it, with exactly one ErrorInfo.

    Anything that is not one of our kinds is a defect: it becomes INTERNAL and says nothing but the
    call_id by which it is found in the log.
    """
    for kind, code in CODES:
        if isinstance(error, kind):
            info = error_details_pb2.ErrorInfo(
                reason=error.reason, domain=error.domain, metadata=error.metadata
            )
            return _build(code, error.message, info, *_details(error))
    return _build(
        code_pb2.INTERNAL,
        "internal error",
        error_details_pb2.ErrorInfo(
            reason="INTERNAL", domain=LEO_DOMAIN, metadata={"call_id": call_id}
        ),
    )


def is_expected(error: BaseException) -> bool:
    """Say whether `error` is one of the kinds, and so is not a defect."""
    return any(isinstance(error, kind) for kind, _ in CODES)


def _build(code: code_pb2.Code, message: str, *details: Message) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=_shorten(message))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(error: LeoError) -> list[Message]:
    match error:
        case InvalidError(violations=violations) if violations:
            return [_bad_request(error)]
        case MissingError() | ExistsError():
            return [
                error_details_pb2.ResourceInfo(
                    resource_type=error.resource_type,
                    resource_name=error.resource_name,
                    description=_shorten(error.message),
                )
            ]
        case StateError():
            violation = error_details_pb2.PreconditionFailure.Violation(
                type=error.reason, subject=error.subject, description=_shorten(error.message)
            )
            return [error_details_pb2.PreconditionFailure(violations=[violation])]
        case LimitError():
            quota = error_details_pb2.QuotaFailure.Violation(
                subject=error.domain, description=_shorten(error.message)
            )
            return [error_details_pb2.QuotaFailure(violations=[quota]), _retry_info(error)]
        case UnavailableError():
            return [_retry_info(error)]
        case _:
            return []


def _bad_request(error: InvalidError) -> error_details_pb2.BadRequest:
    violation_type = error_details_pb2.BadRequest.FieldViolation
    bad_request = error_details_pb2.BadRequest()
    for number, violation in enumerate(error.violations):
        told = violation_type(
            field=_shorten(violation.field), description=_shorten(violation.description)
        )
        if bad_request.ByteSize() + told.ByteSize() > VIOLATION_BYTES_MAX:
            told.description = f"is bad, and so are {len(error.violations) - number - 1} more"
            bad_request.field_violations.append(told)
            break
        bad_request.field_violations.append(told)
    return bad_request


def _retry_info(error: LimitError | UnavailableError) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromTimedelta(error.retry_after)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _shorten(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH_MAX else f"{text[: TEXT_LENGTH_MAX - 1]}…"
