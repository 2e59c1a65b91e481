"""What happened on the way of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from libs.postgres.plans import plan_along_indexes
from services.decision.domain.record import JourneyStep
from services.decision.errors import EventMissingError
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Database


class Journeys:
    """The view of journeys."""

    _database: Database

    async def get_journey(self, tenant_id: UUID, event_id: UUID) -> list[JourneyStep]:
        """Everything that happened on the way of an event, in order. Raises EventMissingError."""
        async with self._database.tenant(tenant_id) as connection:
            if not await QUERIES.has_event(connection, tenant_id=tenant_id, event_id=event_id):
                raise EventMissingError(event_id)
            await plan_along_indexes(connection)
            return [
                JourneyStep(**{**row, "details": orjson.loads(row["details"])})
                async for row in QUERIES.select_journey(
                    connection, tenant_id=tenant_id, event_id=event_id
                )
            ]
