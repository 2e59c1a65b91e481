"""Who asks for a change, and under which name a repeat of it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


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
