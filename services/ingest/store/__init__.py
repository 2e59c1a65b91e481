"""Everything that ingest reads and writes, one module a theme; statements in queries.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.ingest.store.consents import Consents
from services.ingest.store.events import Events
from services.ingest.store.profiles import Profiles
from services.ingest.store.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from libs.postgres.database import Database

__all__ = ["IngestStore"]


class IngestStore(Events, Profiles, Consents, Tenants):
    """The tables of ingest: marketing_event, cdp_profiles and their versions, consent, tenant."""

    def __init__(
        self, database: Database, ring: Callable[[UUID, Sequence[UUID]], None] | None = None
    ) -> None:
        """Use `database`; `ring` hears which events are new, once they are committed."""
        self._database = database
        self._ring = ring
