"""Whether what entries define by a digest is stored as it was recorded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

from libs.audit.definitions import DEFINED
from libs.audit.recorded import NULL, fields_of
from libs.audit.verify.findings import Finding
from libs.audit.verify.reading import QUERIES, copied, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from libs.audit.verify.findings import What

    # What makes of columns and documents the bytes that are digested.
    Canonical: TypeAlias = Callable[[bytes, Sequence[bytes]], bytes]


class _DefinitionsCheck:
    """Takes the rows of one table, each with the entry that defines it.

    Attributes:
        findings: where the two do not fit.
    """

    def __init__(self, table: str, canonical: Canonical, ended: Collection[str]) -> None:
        self.findings: list[Finding] = []
        self._table = table
        self._canonical = canonical
        self._ended = ended

    def take(self, lines: Sequence[bytes]) -> None:
        """Lines of COPY's text, as the statement of the table's name in queries.sql tells them."""
        for line in lines:
            tenant_id, row, entry_id, digest, columns, *documents = fields_of(line)
            if row == NULL:
                if tenant_id.decode() not in self._ended:
                    self._find("definition_missing", tenant_id, entry_id, "an entry defines it")
            elif entry_id == NULL:
                self._find("definition_unrecorded", tenant_id, row, "no entry defines it")
            # Entries from before there were digests have none.
            elif digest != NULL and self._digest(columns, documents) != digest:
                detail = f"{row.decode()} is not what was recorded"
                self._find("definition_changed", tenant_id, entry_id, detail)

    def _digest(self, columns: bytes, documents: Sequence[bytes]) -> bytes:
        try:
            canonical = self._canonical(columns, documents)
        except ValueError:
            return b""
        return hashlib.sha256(canonical).hexdigest().encode()

    def _find(self, what: What, tenant_id: bytes, place: bytes, detail: str) -> None:
        is_unrecorded = what == "definition_unrecorded"
        self.findings.append(
            Finding(
                what=what,
                tenant_id=tenant_id.decode(),
                entry_id="" if is_unrecorded else place.decode(),
                subject=f"{self._table} {place.decode()}" if is_unrecorded else self._table,
                detail=detail,
            )
        )


async def wrong_definitions(
    connection: Any, tenant_id: UUID | None, ended_tenant_ids: Sequence[UUID]
) -> list[Finding]:
    """Campaigns, rules' versions, templates, snapshots and launches that are not as recorded."""
    ended = {str(ended_id) for ended_id in ended_tenant_ids}
    findings = []
    for table, canonical in DEFINED.items():
        check = _DefinitionsCheck(table, canonical, ended)
        await stream(connection, copied(table), (tenant_id,), check.take)
        findings += check.findings
    for statement in (QUERIES.wrong_campaigns, QUERIES.wrong_snapshots, QUERIES.wrong_launches):
        async for row in statement(
            connection, tenant_id=tenant_id, ended_tenant_ids=ended_tenant_ids
        ):
            findings.append(Finding(**{**row, "entry_id": row["entry_id"] or ""}))
    return findings
