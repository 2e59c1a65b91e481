"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from leo.segment.v1 import segment_service_pb2 as pb
from libs import fields
from libs.fields import Fields
from libs.fields.paging import PageTokenError, page_of, refusal_of, token_of
from libs.rpc import requests
from libs.rpc.messages import timestamp_of
from services.segment.domain.segment import NewSegment, Segment, check_segment
from services.segment.errors import FieldInvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.fields.paging import Page
    from services.segment.domain.snapshot import Member, Snapshot

# Far beyond any snapshot, far below what a bigint takes.
_POSITION: Final = re.compile("[0-9]{1,9}")

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


def snapshot_message(snapshot: Snapshot) -> pb.Snapshot:
    """A snapshot as stored."""
    return pb.Snapshot(
        snapshot_id=str(snapshot.snapshot_id),
        segment_id=str(snapshot.segment_id),
        segment_version=snapshot.segment_version,
        condition=snapshot.condition,
        member_count=snapshot.member_count,
        digest=snapshot.digest,
        create_time=timestamp_of(snapshot.taken_at),
    )


def member_message(member: Member) -> pb.SnapshotMember:
    """A member of a snapshot."""
    return pb.SnapshotMember(
        profile_id=str(member.profile_id) if member.profile_id else "",
        ext_id=member.ext_id or "",
        profile_version=member.profile_version,
        consents=member.consents,
    )


def list_page_of(request: pb.ListSegmentsRequest) -> Page:
    """The page that a request asks for. Raises FieldInvalidError."""
    try:
        return page_of(request.page_size, request.page_token, key_count=1)
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error


def member_page_of(request: pb.ListSnapshotMembersRequest) -> tuple[int, int]:
    """The position of the first member that a request asks for, and how many. As list_page_of."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=1)
        if not page.after:
            return 0, page.size
        (after,) = page.after
        if not _POSITION.fullmatch(after):
            raise PageTokenError
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error
    return int(after) + 1, page.size


def member_page_token(members: Sequence[Member]) -> str:
    """The token of the page behind these members."""
    return token_of(str(members[-1].position))
