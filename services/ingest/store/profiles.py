"""Who people are, now and before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from uuid_utils.compat import uuid7

from services.ingest.domain.profile import (
    BirthDate,
    CurrentProfile,
    Profile,
    PushAddress,
    StoredProfile,
)
from services.ingest.errors import ProfileMissingError
from services.ingest.store.consents import consent_of
from services.ingest.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from services.ingest.domain.consent import Consent
    from services.ingest.domain.profile import VersionedProfile


class Profiles:
    """The tables cdp_profiles and cdp_profile_version."""

    _database: Database

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
            row = await QUERIES.select_profile(connection, tenant_id=tenant_id, ext_id=ext_id)
            if row is None:
                raise ProfileMissingError
            consents = [
                consent_of(consent, recorded_at=consent["updated_at"])
                async for consent in QUERIES.select_consents(
                    connection, tenant_id=tenant_id, profile_id=row["profile_id"]
                )
            ]
        return _current_profile(row), consents


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
        async for row in QUERIES.upsert_profiles(
            connection,
            tenant_id=tenant_id,
            profiles=orjson.dumps([_profile_row(versioned) for versioned in rows]).decode(),
            ext_ids=[versioned.profile.ext_id for versioned in rows],
            documents=[versioned.document for versioned in rows],
        )
    }
    current = {
        row["ext_id"]: row
        async for row in QUERIES.select_profile_versions(
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
