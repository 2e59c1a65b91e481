"""The audit entries of a tenant, as auditors read them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from libs.postgres.plans import plan_along_indexes
from services.decision.domain.audit_entry import AuditEntry
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.postgres.database import Database
    from services.decision.domain.audit_entry import AuditFilter


class AuditEntries:
    """The table audit_entry, which every service writes to, with its seals."""

    _database: Database

    async def list_audit_entries(
        self,
        tenant_id: UUID,
        wanted: AuditFilter,
        *,
        before: tuple[datetime, UUID] | None,
        count_max: int,
    ) -> list[AuditEntry]:
        """The newest entries that are older than `before`, the newest first."""
        created_at, entry_id = before or (None, None)
        async with self._database.tenant(tenant_id) as connection:
            await plan_along_indexes(connection)
            return [
                AuditEntry(**(dict(row) | {"details": orjson.loads(row["details"])}))
                async for row in QUERIES.list_audit_entries(
                    connection,
                    tenant_id=tenant_id,
                    **asdict(wanted),
                    before_created_at=created_at,
                    before_entry_id=entry_id,
                    count_max=count_max,
                )
            ]
