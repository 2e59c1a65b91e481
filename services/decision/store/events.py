"""Deciding about events: what is read, and the decisions that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.decision.domain.deciding import Event, Person
from services.decision.domain.record import StoredDecision, decision_row
from services.decision.store.decisions import insert_decisions
from services.decision.store.people import lock_people, note_last_acted, people_of
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.decision.domain.deciding import Verdict
    from services.decision.domain.rule_set import RuleSet
    from services.decision.store.rule_sets import RuleSets


class Events:
    """Events, the people they are about, and what was decided."""

    _database: Database
    _rule_sets: RuleSets

    async def decide_events(
        self,
        tenant_id: UUID,
        event_ids: Sequence[UUID],
        decide: Callable[[Event, Person | None, RuleSet, datetime], list[Verdict] | None],
        origin: Origin,
    ) -> tuple[dict[UUID, list[StoredDecision]], set[UUID], list[UUID]]:
        """Decide events in one transaction.

        Args:
            tenant_id, event_ids: which events.
            decide: gives the verdicts about one event, or None to leave it undecided.
            origin: who asks.

        Returns:
            The decisions by event; the events that had been decided before; and the ids of the
            decisions that act now.

        Raises:
            DecidedElsewhereError: do it again.
        """
        async with self._database.tenant(tenant_id) as connection:
            decisions = await _stored(connection, tenant_id, event_ids)
            before = set(decisions)
            events = await _events(
                connection,
                tenant_id,
                [event_id for event_id in dict.fromkeys(event_ids) if event_id not in before],
            )
            if not events:
                return decisions, before, []
            people = await _people(connection, tenant_id, events)
            await lock_people(connection, tenant_id, people.values())
            # Behind the locks on them: whoever decided about one of them before us has committed,
            # and our rules are not older than theirs.
            moment = await self._rule_sets.moment(connection, tenant_id)
            cooling = [
                asked.rule.rule_id
                for event_type in {event.event_type for event in events}
                for asked in moment.rules.about(event_type)
                if asked.rule.terms.cooldown is not None
            ]
            await note_last_acted(connection, tenant_id, people.values(), cooling)
            rows = []
            for event in events:
                person = people.get(event.profile_ext_id)
                verdicts = decide(event, person, moment.rules, moment.now) or ()
                if person is not None:
                    person.note(verdicts, moment.now)
                rows += [
                    decision_row(
                        "event",
                        event.event_id,
                        ordinal,
                        verdict,
                        person=person,
                        rule_set_version=moment.rules.version,
                        now=moment.now,
                    )
                    for ordinal, verdict in enumerate(verdicts)
                ]
            # Everybody inserts in the order of the ids, so that two batches cannot deadlock.
            rows.sort(key=lambda row: (row["trigger_id"].int, row["ordinal"]))
            if rows:
                await insert_decisions(connection, tenant_id, rows, origin)
        for row in rows:
            decisions.setdefault(row["trigger_id"], []).append(_decision(row))
        acting = [row["decision_id"] for row in rows if row["outcome"] == "acted"]
        return decisions, before, acting


async def _stored(
    connection: Connection, tenant_id: UUID, event_ids: Sequence[UUID]
) -> dict[UUID, list[StoredDecision]]:
    found: dict[UUID, list[StoredDecision]] = {}
    async for row in QUERIES.select_decisions(connection, tenant_id=tenant_id, event_ids=event_ids):
        found.setdefault(row["trigger_id"], []).append(_decision(row))
    return found


async def _events(
    connection: Connection, tenant_id: UUID, event_ids: Sequence[UUID]
) -> list[Event]:
    """The events in the order in which they happened: the first one begins a cooldown."""
    if not event_ids:
        return []
    found = [
        Event(**(dict(row) | {"properties": orjson.loads(row["properties"])}))
        async for row in QUERIES.select_events(connection, tenant_id=tenant_id, event_ids=event_ids)
    ]
    return sorted(found, key=lambda event: (event.occurred_at, event.event_id.int))


async def _people(
    connection: Connection, tenant_id: UUID, events: Sequence[Event]
) -> dict[str, Person]:
    """The people of the events by ext_id."""
    ext_ids = sorted({event.profile_ext_id for event in events})
    rows = [
        row async for row in QUERIES.select_people(connection, tenant_id=tenant_id, ext_ids=ext_ids)
    ]
    people = await people_of(connection, tenant_id, rows)
    return {row["ext_id"]: person for row, person in zip(rows, people, strict=True)}


def _decision(row: Mapping[str, Any]) -> StoredDecision:
    return StoredDecision(
        decision_id=row["decision_id"],
        event_id=row["trigger_id"],
        ordinal=row["ordinal"],
        outcome=row["outcome"],
        reason=row["reason"],
        rule_id=row["rule_id"],
        rule_version=row["rule_version"],
        profile_id=row["profile_id"],
        profile_version=row["profile_version"],
        not_before=row["not_before"],
        decided_at=row["decided_at"],
    )
