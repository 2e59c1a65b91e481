"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from leo.segment.v1 import segment_service_pb2 as pb
from libs import fields
from libs.fields import Fields, unstorable
from libs.rpc import requests
from libs.rpc.messages import timestamp_of
from libs.rpc.paging import PageSizeError, PageTokenError, page_of
from services.segment.domain.segment import NewSegment, Segment, check_segment
from services.segment.errors import FieldInvalidError

if TYPE_CHECKING:
    from libs.rpc.paging import Page


id_of = partial(fields.id_of, FieldInvalidError)
request_key_of = partial(requests.request_key_of, FieldInvalidError)


def segment_of(message: pb.Segment) -> NewSegment:
    """The segment that a request wants. Raises FieldInvalidError."""
    segment = NewSegment(
        name=message.name, display_name=message.display_name, condition=message.condition
    )
    found = Fields("segment")
    check_segment(found, segment)
    found.raise_as(FieldInvalidError)
    return segment


def segment_message(segment: Segment) -> pb.Segment:
    """A segment as stored."""
    return pb.Segment(
        segment_id=str(segment.segment_id),
        name=segment.name,
        display_name=segment.display_name,
        condition=segment.condition,
        version=segment.version,
        create_time=timestamp_of(segment.created_at),
    )


def list_page_of(request: pb.ListSegmentsRequest) -> Page:
    """The page that a request asks for. Raises FieldInvalidError."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=1)
    except PageSizeError as error:
        raise FieldInvalidError.of("page_size", "must not be negative") from error
    except PageTokenError as error:
        raise _foreign_token() from error
    if any(map(unstorable, page.after)):
        raise _foreign_token()
    return page


def _foreign_token() -> FieldInvalidError:
    return FieldInvalidError.of("page_token", "must be the next_page_token of the page before")
