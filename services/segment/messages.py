"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from leo.segment.v1 import segment_service_pb2 as pb
from libs.fields import Fields, unstorable
from libs.rpc import requests
from libs.rpc.errors import FieldViolation
from libs.rpc.paging import PageSizeError, PageTokenError, page_of
from services.segment.domain.segment import NewSegment, Segment, check_segment
from services.segment.errors import FieldInvalidError

if TYPE_CHECKING:
    from libs.rpc.paging import Page
    from libs.rpc.requests import RequestKey


def segment_of(message: pb.Segment) -> NewSegment:
    """The segment that a request wants. Raises FieldInvalidError."""
    segment = NewSegment(
        name=message.name, display_name=message.display_name, condition=message.condition
    )
    found = Fields("segment")
    check_segment(found, segment)
    if found.violations:
        raise FieldInvalidError(found.violations)
    return segment


def segment_message(segment: Segment) -> pb.Segment:
    """A segment as stored."""
    create_time = Timestamp()
    create_time.FromDatetime(segment.created_at)
    return pb.Segment(
        segment_id=str(segment.segment_id),
        name=segment.name,
        display_name=segment.display_name,
        condition=segment.condition,
        version=segment.version,
        create_time=create_time,
    )


def segment_id_of(text: str) -> UUID:
    """The id that a request names. Raises FieldInvalidError."""
    try:
        return UUID(text)
    except ValueError as error:
        raise _invalid("segment_id", "must be a UUID" if text else "is required") from error


def list_page_of(request: pb.ListSegmentsRequest) -> Page:
    """The page that a request asks for. Raises FieldInvalidError."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=1)
    except PageSizeError as error:
        raise _invalid("page_size", "must not be negative") from error
    except PageTokenError as error:
        raise _foreign_token() from error
    if any(map(unstorable, page.after)):
        raise _foreign_token()
    return page


def request_key_of(request: pb.CreateSegmentRequest) -> RequestKey | None:
    """The client's name for the request, or None without one. Raises FieldInvalidError."""
    try:
        return requests.request_key_of(request)
    except requests.RequestIdError as error:
        raise _invalid("request_id", "must be a UUID of version 4") from error


def _invalid(field: str, description: str) -> FieldInvalidError:
    return FieldInvalidError([FieldViolation(field, description)])


def _foreign_token() -> FieldInvalidError:
    return _invalid("page_token", "must be the next_page_token of the page before")
