"""An audit entry as auditors read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What one transaction recorded; `seq` and `seal_hash` are None until it is sealed."""

    entry_id: UUID
    kind: str
    actor: str
    call_id: str
    recorded_table: str | None
    member_count: int
    root: bytes
    details: dict[str, Any]
    created_at: datetime
    seq: int | None
    seal_hash: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted; empty and None leave out nothing.

    Attributes:
        created_until: exclusive.
    """

    kind: str
    actor: str
    created_from: datetime | None
    created_until: datetime | None
