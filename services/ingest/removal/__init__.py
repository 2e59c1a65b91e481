"""How rows leave: the end of a tenant, and retention. Both go by the database's one door.

The door is a few functions in PostgreSQL (docs/reference/data.md) that belong to a role of
their own: each takes a batch, checks by itself what may go, and writes its audit entry with it. So
a process may be killed at any moment: what is gone is recorded, and the next look goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.ingest.removal.retention import Retention
from services.ingest.removal.tenants import TenantRemoval

if TYPE_CHECKING:
    from libs.postgres.database import Database
    from libs.relay.work import Worker
    from services.ingest.settings import RemovalSettings, RetentionSettings

__all__ = ["Retention", "TenantRemoval", "removers_of"]


def removers_of(
    database: Database, finder: Database, retention: RetentionSettings, removal: RemovalSettings
) -> list[Worker]:
    """What a working process removes in the background, as its settings say."""
    removers: list[Worker] = [TenantRemoval(database, finder, removal)]
    if retention.daily:
        removers.append(Retention(database, finder, retention, removal))
    return removers
