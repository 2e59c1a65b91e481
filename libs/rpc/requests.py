"""Requests that create something: who asks, and under which name a repeat is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict

from libs import canonical

_UUID4 = 4


class RequestIdError(ValueError):
    """The request_id is no UUID of version 4."""


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


def request_key_of(request: Any) -> RequestKey | None:
    """The client's name for a request message with a field `request_id`, or None without one.

    Raises:
        RequestIdError: it is no UUID of version 4.
    """
    if not request.request_id:
        return None
    try:
        request_id = UUID(request.request_id)
    except ValueError as error:
        raise RequestIdError from error
    if request_id.version != _UUID4:
        raise RequestIdError
    body = MessageToDict(request)
    del body["requestId"]
    return RequestKey(request_id, hashlib.sha256(canonical.dumps(body)).digest())
