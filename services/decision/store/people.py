"""The people whom decisions are about: as they are now, one decision after the other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson

from services.decision.domain.deciding import Person
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from libs.postgres.database import Connection


async def people_of(
    connection: Connection, tenant_id: UUID, rows: Sequence[Mapping[str, Any]]
) -> list[Person]:
    """People with their consents, in the order of these rows of cdp_profiles."""
    consents: dict[UUID, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    async for row in QUERIES.select_consents(
        connection, tenant_id=tenant_id, profile_ids=[row["profile_id"] for row in rows]
    ):
        consents[row["profile_id"]][row["channel"]][row["purpose"]] = row["state"]
    return [
        Person(
            profile_id=row["profile_id"],
            profile_no=row["profile_no"],
            version=row["version"],
            row=dict(row) | {"attributes": orjson.loads(row["attributes"])},
            consents=consents.get(row["profile_id"], {}),
        )
        for row in rows
    ]


async def lock_people(connection: Connection, tenant_id: UUID, people: Collection[Person]) -> None:
    """Let nobody else decide about them until the transaction ends."""
    numbers = sorted(person.profile_no for person in people)
    async for _ in QUERIES.lock_people(connection, tenant_id=tenant_id, profile_nos=numbers):
        pass


async def note_last_acted(
    connection: Connection,
    tenant_id: UUID,
    people: Collection[Person],
    rule_ids: Collection[UUID],
) -> None:
    """Tell people when these rules acted for them last; behind the locks on them, it stays true."""
    by_id = {person.profile_id: person for person in people}
    if rule_ids and by_id:
        async for row in QUERIES.select_last_acted(
            connection, tenant_id=tenant_id, rule_ids=list(rule_ids), profile_ids=list(by_id)
        ):
            by_id[row["profile_id"]].last_acted[row["rule_id"]] = row["acted_at"]
