"""What people allow, and every change of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import asyncpg

from libs import audit
from services.ingest.domain.consent import Consent
from services.ingest.errors import (
    ConsentSupersededError,
    ProfileMissingError,
    RequestIdReusedError,
)
from services.ingest.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Database
    from libs.rpc.requests import Origin
    from services.ingest.domain.consent import Statement


class Consents:
    """The tables profile_consent and profile_consent_version."""

    _database: Database

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
            profile_id = await QUERIES.lock_profile(connection, tenant_id=tenant_id, ext_id=ext_id)
            if profile_id is None:
                raise ProfileMissingError
            request = origin.request
            if request is not None:
                first = await QUERIES.select_consent_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    if first["request_digest"] != request.digest:
                        raise RequestIdReusedError(request.request_id)
                    return consent_of(first, recorded_at=first["created_at"])
            current = await QUERIES.upsert_consent(
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
                await QUERIES.insert_consent_version(
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
        return consent_of(row, recorded_at=row["created_at"])


def consent_of(row: Any, *, recorded_at: Any) -> Consent:
    return Consent(
        channel=row["channel"],
        purpose=row["purpose"],
        state=row["state"],
        evidence=row["evidence"],
        consented_at=row["consented_at"],
        version=row["version"],
        recorded_at=recorded_at,
    )
