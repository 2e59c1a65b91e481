"""Requests that create something: who asks, and under which name a repeat is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict

from libs import canonical

if TYPE_CHECKING:
    from libs.rpc.refusals import FieldsError

_UUID4 = 4


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's name for one request, with SHA-256 of the request's canonical body."""

    request_id: UUID
    digest: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from, for the audit trail.

    Attributes:
        actor: the token's subject.
        call_id: finds the call in the logs.
        request: None where the client named none; then a repeat is a new change.
    """

    actor: str
    call_id: str
    request: RequestKey | None


def request_key_of(error: type[FieldsError], request: Any) -> RequestKey | None:
    """The client's name for a request message with a field `request_id`, or None without one.

    Raises `error` where it is no UUID of version 4.
    """
    if not request.request_id:
        return None
    try:
        request_id = UUID(request.request_id)
    except ValueError:
        request_id = None
    if request_id is None or request_id.version != _UUID4:
        raise error.of("request_id", "must be a UUID of version 4")
    body = MessageToDict(request)
    del body["requestId"]
    return RequestKey(request_id, hashlib.sha256(canonical.dumps(body)).digest())
