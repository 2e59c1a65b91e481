"""The story of one event, or of one person in a launch, as v_journey tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from libs.cli.errors import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of v_journey."""

    at: datetime
    step: str
    outcome: str
    reason: str
    id: UUID
    parent_id: UUID | None
    channel: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that happened about one event, or one person in a launch.

    The first step is what began it.

    Attributes:
        event_id, launch_id: the one that it is about; the other is None.
        profile_id: the person in the launch.
    """

    tenant: str
    time_zone: str
    event_id: UUID | None
    launch_id: UUID | None
    profile_id: UUID | None
    steps: Sequence[Step]

    def of(self, step: str, parent_id: UUID | None = None) -> list[Step]:
        """The steps of one kind, of all or of one parent."""
        return [
            found
            for found in self.steps
            if found.step == step and parent_id in {None, found.parent_id}
        ]


async def story_of_event(connection: Any, event_id: str) -> Story:
    """Of an event by its id. Raises CommandError."""
    wanted = _id_of(event_id, "an event: it is a UUID, as ingest returned it")
    tenant_id = await connection.fetchval(
        "SELECT e.tenant_id FROM tenant AS t"
        " JOIN marketing_event AS e ON e.tenant_id = t.tenant_id AND e.event_id = $1",
        wanted,
    )
    if tenant_id is None:
        raise CommandError(f"no tenant has an event {wanted}")
    return await _read(connection, tenant_id, event_id=wanted)


async def story_of_source(connection: Any, source: str, source_event_id: str) -> Story:
    """Of an event by its name at its source. Raises CommandError."""
    rows = await connection.fetch(
        "SELECT tenant_id, event_id FROM marketing_event"
        " WHERE source = $1 AND source_event_id = $2",
        source,
        source_event_id,
    )
    if not rows:
        raise CommandError(f'no tenant has an event "{source_event_id}" of the source "{source}"')
    if len(rows) > 1:
        ids = ", ".join(str(row["event_id"]) for row in rows)
        raise CommandError(f"{len(rows)} tenants have such an event; trace one by its id: {ids}")
    return await _read(connection, rows[0]["tenant_id"], event_id=rows[0]["event_id"])


async def story_of_launch(connection: Any, launch_id: str, profile: str) -> Story:
    """Of a person in a launch, by profile_id or ext_id. Raises CommandError."""
    wanted = _id_of(launch_id, "a launch: it is a UUID, as LaunchCampaign returned it")
    tenant_id = await connection.fetchval(
        "SELECT n.tenant_id FROM tenant AS t"
        " JOIN campaign_launch AS n ON n.tenant_id = t.tenant_id AND n.launch_id = $1",
        wanted,
    )
    if tenant_id is None:
        raise CommandError(f"no tenant has a launch {wanted}")
    profile_id = await connection.fetchval(
        "SELECT profile_id FROM cdp_profiles WHERE tenant_id = $1 AND ext_id = $2"
        " UNION ALL"
        " SELECT profile_id FROM cdp_profiles WHERE tenant_id = $1 AND profile_id::text = $2"
        " LIMIT 1",
        tenant_id,
        profile,
    )
    if profile_id is None:
        raise CommandError("the launch's tenant has no such profile: name it by its id or ext_id")
    return await _read(connection, tenant_id, launch_id=wanted, profile_id=profile_id)


async def story_of_delivery(connection: Any, delivery_id: str) -> Story:
    """Of what a delivery came from. Raises CommandError."""
    wanted = _id_of(delivery_id, "a delivery: it is a UUID, as ListDeliveries has it")
    row = await connection.fetchrow(
        "SELECT d.tenant_id, d.trigger_kind, d.trigger_id, d.profile_id FROM tenant AS t"
        " JOIN delivery_log AS l ON l.tenant_id = t.tenant_id AND l.delivery_id = $1"
        " JOIN decision AS d ON d.tenant_id = l.tenant_id AND d.decision_id = l.decision_id",
        wanted,
    )
    if row is None:
        raise CommandError(f"no tenant has a delivery {wanted}")
    if row["trigger_kind"] == "launch":
        return await _read(
            connection,
            row["tenant_id"],
            launch_id=row["trigger_id"],
            profile_id=row["profile_id"],
        )
    return await _read(connection, row["tenant_id"], event_id=row["trigger_id"])


def _id_of(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f'"{text}" is not the id of {what}') from None


async def _read(
    connection: Any,
    tenant_id: UUID,
    *,
    event_id: UUID | None = None,
    launch_id: UUID | None = None,
    profile_id: UUID | None = None,
) -> Story:
    """Read a story by the one statement that tells it."""
    tenant = await connection.fetchrow(
        "SELECT name, time_zone FROM tenant WHERE tenant_id = $1", tenant_id
    )
    columns = "SELECT at, step, outcome, reason, id, parent_id, channel, details FROM v_journey"
    if event_id is not None:
        rows = await connection.fetch(
            f"{columns} WHERE tenant_id = $1 AND event_id = $2 ORDER BY at, rank",
            tenant_id,
            event_id,
        )
    else:
        rows = await connection.fetch(
            f"{columns} WHERE tenant_id = $1 AND launch_id = $2"
            " AND (profile_id = $3 OR step = 'launch') ORDER BY at, rank",
            tenant_id,
            launch_id,
            profile_id,
        )
    return Story(
        tenant=tenant["name"],
        time_zone=tenant["time_zone"],
        event_id=event_id,
        launch_id=launch_id,
        profile_id=profile_id,
        steps=[Step(**{**row, "details": orjson.loads(row["details"])}) for row in rows],
    )
