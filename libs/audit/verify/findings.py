"""What a verification finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

What: TypeAlias = Literal[
    "seal_missing",
    "seal_changed",
    "seal_unlinked",
    "entry_missing",
    "entry_changed",
    "entry_unsealed",
    "rows_changed",
    "rows_missing",
    "rows_added",
    "row_erased",
    "row_returned",
    "row_unrecorded",
    "table_unknown",
    "delivery_unrecorded",
    "definition_changed",
    "definition_missing",
    "definition_unrecorded",
    "checkpoint_differs",
    "checkpoint_unsigned",
    "checkpoint_unreadable",
]
# What cannot be told of a place in the chain comes after what can.
_BEHIND_ALL: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not verify.

    Attributes:
        seq: the place in the tenant's chain; None where there is none.
        entry_id: the audit entry.
        subject: the row, or the line of a file.
        detail: in words; never a recorded value.
    """

    what: What
    detail: str
    tenant_id: str = ""
    seq: int | None = None
    entry_id: str = ""
    subject: str = ""

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def in_order(findings: list[Finding]) -> list[Finding]:
    """By tenant and place in the chain: the first of a tenant is its first bad entry."""
    return sorted(
        findings,
        key=lambda found: (
            found.tenant_id,
            _BEHIND_ALL if found.seq is None else found.seq,
            found.entry_id,
        ),
    )
