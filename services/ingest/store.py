"""Everything that ingest reads and writes; the statements stand in queries.sql."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from libs import audit
from libs.postgres.queries import load_queries
from services.ingest.domain.consent import Consent, Statement
from services.ingest.domain.event import StoredEvent
from services.ingest.domain.profile import (
    BirthDate,
    CurrentProfile,
    Profile,
    PushAddress,
    StoredProfile,
    VersionedProfile,
)
from services.ingest.domain.tenant import Tenant
from services.ingest.errors import (
    ConsentSupersededError,
    ProfileMissingError,
    RequestIdReusedError,
    TenantExistsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.ingest.domain.event import Event
    from services.ingest.domain.tenant import NewTenant

_QUERIES = load_queries(__file__)


class IngestStore:
    """The tables of ingest: marketing_event, cdp_profiles and their versions, consent, tenant."""

    def __init__(
        self, database: Database, ring: Callable[[UUID, Sequence[UUID]], None] | None = None
    ) -> None:
        """Use `database`; `ring` hears which events are new, once they are committed."""
        self._database = database
        self._ring = ring

    async def insert_events(self, tenant_id: UUID, events: Sequence[Event]) -> list[StoredEvent]:
        """Store events in one transaction; the answers are in the order of `events`.

        The same identity may stand twice in `events`: the first one is stored.
        """
        first: dict[UUID, Event] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        rows = sorted(first.values(), key=lambda event: event.event_id.int)
        async with self._database.tenant(tenant_id) as connection:
            done = await _insert_events(connection, tenant_id, rows)
            stored: dict[UUID, asyncpg.Record] = {}
            if done["inserted_count"] < len(rows):
                async for row in _QUERIES.select_events(
                    connection, tenant_id=tenant_id, event_ids=list(first)
                ):
                    stored[row["event_id"]] = row
        if self._ring is not None:
            self._ring(
                tenant_id,
                # In the order in which they came.
                [key for key in first if key not in stored or stored[key]["inserted"]],
            )
        new = StoredEvent(received_at=done["received_at"], duplicate=False, same_body=True)
        answers = []
        for event in events:
            row = stored.get(event.event_id)
            is_first = first[event.event_id] is event
            if is_first and (row is None or row["inserted"]):
                answers.append(new)
                continue
            digest = row["body_digest"] if row else first[event.event_id].body_digest
            answers.append(
                StoredEvent(
                    received_at=row["received_at"] if row else new.received_at,
                    duplicate=True,
                    same_body=digest == event.body_digest,
                )
            )
        return answers

    async def upsert_profiles(
        self, tenant_id: UUID, profiles: Sequence[VersionedProfile]
    ) -> list[StoredProfile]:
        """Create or replace profiles in one transaction; the answers are in their order.

        A profile that stands several times is written that often, in order.
        """
        answers: dict[int, StoredProfile] = {}
        async with self._database.tenant(tenant_id) as connection:
            for positions in _rounds(profiles):
                batch = [profiles[position] for position in positions]
                written = await _upsert_profiles(connection, tenant_id, batch)
                answers.update(zip(positions, written, strict=True))
        return [answers[position] for position in range(len(profiles))]

    async def get_profile(
        self, tenant_id: UUID, ext_id: str
    ) -> tuple[CurrentProfile, list[Consent]]:
        """One profile as it is now, with its consents.

        Raises:
            ProfileMissingError: the tenant has none with this ext_id.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await _QUERIES.select_profile(connection, tenant_id=tenant_id, ext_id=ext_id)
            if row is None:
                raise ProfileMissingError
            consents = [
                _consent(consent, recorded_at=consent["updated_at"])
                async for consent in _QUERIES.select_consents(
                    connection, tenant_id=tenant_id, profile_id=row["profile_id"]
                )
            ]
        return _current_profile(row), consents

    async def set_consent(
        self,
        tenant_id: UUID,
        ext_id: str,
        statement: Statement,
        origin: Origin,
    ) -> Consent:
        """Record a statement and its audit entry; a repeated request gets its first answer.

        Raises:
            ProfileMissingError: the tenant has no profile with this ext_id.
            RequestIdReusedError: the request's id was used with another digest.
            ConsentSupersededError: a newer statement stands.
        """
        async with self._database.tenant(tenant_id) as connection:
            profile_id = await _QUERIES.lock_profile(connection, tenant_id=tenant_id, ext_id=ext_id)
            if profile_id is None:
                raise ProfileMissingError
            request = origin.request
            if request is not None:
                first = await _QUERIES.select_consent_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    if first["request_digest"] != request.digest:
                        raise RequestIdReusedError(request.request_id)
                    return _consent(first, recorded_at=first["created_at"])
            current = await _QUERIES.upsert_consent(
                connection,
                tenant_id=tenant_id,
                profile_id=profile_id,
                channel=statement.channel,
                purpose=statement.purpose,
                state=statement.state,
                evidence=statement.evidence,
                consented_at=statement.consented_at,
            )
            if current is None:
                raise ConsentSupersededError(channel=statement.channel, purpose=statement.purpose)
            row = {
                "tenant_id": tenant_id,
                "profile_id": profile_id,
                "channel": statement.channel,
                "purpose": statement.purpose,
                "version": current["version"],
                "state": statement.state,
                "evidence": statement.evidence,
                "consented_at": current["consented_at"],
                "created_at": current["created_at"],
                "actor": origin.actor,
            }
            salt = os.urandom(audit.SALT_BYTES)
            entry_id = await audit.append(
                connection,
                kind="consent_changed",
                actor=origin.actor,
                call_id=origin.call_id,
                recorded_table="profile_consent_version",
                leaves=[audit.leaf(salt, audit.canonical_row(row))],
                details={},
            )
            try:
                await _QUERIES.insert_consent_version(
                    connection,
                    **row,
                    request_id=request.request_id if request else None,
                    request_digest=request.digest if request else None,
                    audit_entry_id=entry_id,
                    salt=salt,
                )
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "profile_consent_version_request_key":
                    raise
                # Two people's statements at once under one request id; for one person the lock
                # on the profile has already shown the first answer.
                assert request is not None
                raise RequestIdReusedError(request.request_id) from error
        return _consent(row, recorded_at=row["created_at"])

    async def create_tenant(self, tenant_id: UUID, tenant: NewTenant, origin: Origin) -> Tenant:
        """Store a tenant and its audit entry; a repeated request gets its first answer.

        Raises:
            TenantExistsError: the name is taken.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            try:
                row = await _QUERIES.insert_tenant(
                    connection,
                    tenant_id=tenant_id,
                    name=tenant.name,
                    display_name=tenant.display_name,
                    time_zone=tenant.time_zone,
                    request_id=request.request_id if request else None,
                    request_digest=request.digest if request else None,
                )
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "tenant_name_key":
                    raise
                raise TenantExistsError(tenant.name) from error
            if row is not None:
                await audit.append(
                    connection,
                    kind="tenant_created",
                    actor=origin.actor,
                    call_id=origin.call_id,
                    recorded_table=None,
                    leaves=[],
                    details={
                        "name": row["name"],
                        "time_zone": row["time_zone"],
                        "state": row["state"],
                    },
                )
                return Tenant(**row)
            first = dict(await _QUERIES.select_tenant(connection, tenant_id=tenant_id))
            # Only a repeated request can meet its own id.
            assert request is not None
            if first.pop("request_digest") != request.digest:
                raise RequestIdReusedError(request.request_id)
            return Tenant(**first)


async def _insert_events(
    connection: Connection, tenant_id: UUID, rows: list[Event]
) -> asyncpg.Record:
    return await _QUERIES.insert_events(
        connection,
        tenant_id=tenant_id,
        event_ids=[event.event_id for event in rows],
        sources=[event.source for event in rows],
        source_event_ids=[event.source_event_id for event in rows],
        event_types=[event.event_type for event in rows],
        profile_ext_ids=[event.profile_ext_id for event in rows],
        occurred_ats=[event.occurred_at for event in rows],
        properties=[event.properties for event in rows],
        body_digests=[event.body_digest for event in rows],
    )


def _rounds(profiles: Sequence[VersionedProfile]) -> list[list[int]]:
    """Positions in rounds, each ext_id once a round: one statement cannot change a row twice."""
    rounds: list[list[int]] = []
    seen: dict[str, int] = {}
    for position, versioned in enumerate(profiles):
        turn = seen.get(versioned.profile.ext_id, 0)
        seen[versioned.profile.ext_id] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(position)
    return rounds


async def _upsert_profiles(
    connection: Connection, tenant_id: UUID, batch: Sequence[VersionedProfile]
) -> list[StoredProfile]:
    rows = sorted(batch, key=lambda versioned: versioned.profile.ext_id)
    changed = {
        row["profile_id"]
        async for row in _QUERIES.upsert_profiles(
            connection,
            tenant_id=tenant_id,
            profiles=orjson.dumps([_profile_row(versioned) for versioned in rows]).decode(),
            ext_ids=[versioned.profile.ext_id for versioned in rows],
            documents=[versioned.document for versioned in rows],
        )
    }
    current = {
        row["ext_id"]: row
        async for row in _QUERIES.select_profile_versions(
            connection,
            tenant_id=tenant_id,
            ext_ids=[versioned.profile.ext_id for versioned in rows],
        )
    }
    return [
        _stored_profile(versioned, current[versioned.profile.ext_id], changed)
        for versioned in batch
    ]


def _stored_profile(
    versioned: VersionedProfile, row: asyncpg.Record, changed: set[UUID]
) -> StoredProfile:
    profile_id, version = row["profile_id"], row["version"]
    if profile_id in changed:
        return StoredProfile("created" if version == 1 else "updated", profile_id, version)
    same = row["document_digest"] == versioned.digest
    return StoredProfile("unchanged" if same else "stale", profile_id, version)


def _profile_row(versioned: VersionedProfile) -> dict[str, Any]:
    """The columns of cdp_profiles as JSON values."""
    profile = versioned.profile
    birth_date = profile.birth_date
    row = {name: getattr(profile, name) for name in Profile.__slots__ if name != "birth_date"}
    return row | {
        "profile_id": uuid7(),
        "birth_year": birth_date.year if birth_date else None,
        "birth_month": birth_date.month if birth_date else None,
        "birth_day": birth_date.day if birth_date else None,
        "document_digest": f"\\x{versioned.digest.hex()}",
    }


def _current_profile(row: asyncpg.Record) -> CurrentProfile:
    # The columns are named after the fields; what is read back differs in type only here.
    values = {name: row[name] for name in Profile.__slots__ if name != "birth_date"}
    for name in ("emails", "phones", "labels", "source_segment_ids"):
        values[name] = tuple(values[name])
    values["push_addresses"] = tuple(
        PushAddress(**address) for address in orjson.loads(values["push_addresses"])
    )
    for name in ("consent_hints", "attributes"):
        values[name] = orjson.loads(values[name])
    if row["birth_month"] is not None:
        values["birth_date"] = BirthDate(row["birth_year"], row["birth_month"], row["birth_day"])
    return CurrentProfile(
        profile_id=row["profile_id"],
        version=row["version"],
        updated_at=row["updated_at"],
        profile=Profile(**values),
    )


def _consent(row: Any, *, recorded_at: Any) -> Consent:
    return Consent(
        channel=row["channel"],
        purpose=row["purpose"],
        state=row["state"],
        evidence=row["evidence"],
        consented_at=row["consented_at"],
        version=row["version"],
        recorded_at=recorded_at,
    )
