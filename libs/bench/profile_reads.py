"""What one person did lately, read from all partitions of the events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from libs.bench.stores import Ground, Operation

_QUERIES = load_queries(__file__)

READ_COUNT: Final = 500
# Lately, and how much of it is asked for: a month of somebody who does something each day.
_WINDOW: Final = timedelta(days=30)
_EVENT_COUNT_MAX: Final = 30
_EVENTS_PER_PERSON: Final = 30


async def events_of_people(ground: Ground) -> list[Operation]:
    """Write the events of one measurement, and make its reads: 500, of a person each, in turn."""
    run = f"reads-{uuid4().hex[:12]}"
    person_count = max(1, ground.event_count // _EVENTS_PER_PERSON)
    async with ground.ingest.tenant(ground.tenant_id) as connection:
        await _QUERIES.insert_events_of_people(
            connection,
            tenant_id=ground.tenant_id,
            run=run,
            count=ground.event_count,
            person_count=person_count,
        )
    since = datetime.now(UTC) - _WINDOW

    def read_of(ext_id: str) -> Operation:
        async def read() -> int:
            async with ground.decision.tenant(ground.tenant_id) as connection:
                found = _QUERIES.events_of_profile(
                    connection,
                    tenant_id=ground.tenant_id,
                    ext_id=ext_id,
                    since=since,
                    count_max=_EVENT_COUNT_MAX,
                )
                return len([row async for row in found])

        return read

    return [read_of(f"{run}-{number % person_count}") for number in range(READ_COUNT)]
