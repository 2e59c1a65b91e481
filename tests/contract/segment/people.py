"""People and what they consented to, put down as ingest would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class People:
    """Writes rows of one tenant past every policy, on a connection of leo_migrate.

    Attributes:
        connection: for what else a test looks at.
    """

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self.connection = connection
        self.tenant_id = tenant_id

    async def open(self) -> People:
        # Whose sessions start as the owner, whom policies hold.
        await self.connection.execute(f"SET ROLE {roles.MIGRATE}")
        return self

    async def person(
        self, ext_id: str, *, consents: Sequence[tuple[str, str, str]] = (), **columns: Any
    ) -> UUID:
        """Somebody in Huế; consents are channel, purpose and state."""
        profile_id: UUID = uuid7()
        values = {
            "ext_id": ext_id,
            "version": 2,
            "state": "active",
            "context": "production",
            "city": "Huế",
            "document_digest": bytes(32),
        } | columns
        await self._put("cdp_profiles", profile_id=profile_id, **values)
        for channel, purpose, state in consents:
            await self._put(
                "profile_consent",
                profile_id=profile_id,
                channel=channel,
                purpose=purpose,
                state=state,
                version=1,
                evidence="form",
                consented_at=datetime.now(UTC),
            )
        return profile_id

    async def crowd(self, count: int) -> None:
        """So many people p0, p1 …; every third one consented to email, every fifth to Zalo."""
        await self.connection.execute(
            """
            INSERT INTO cdp_profiles (
                tenant_id, profile_id, ext_id, version, state, context, city, phones, labels,
                attributes, document_digest
            )
            SELECT
                $1, gen_random_uuid(), 'p' || n, n % 7 + 1, 'active', 'production',
                (ARRAY['Huế', 'Hà Nội', 'Đà Nẵng', 'Cần Thơ'])[n % 4 + 1], ARRAY['+84901234567'],
                ARRAY['vip'], '{"points": 12}', sha256('document')
            FROM generate_series(0, $2::int - 1) AS n
            ORDER BY n
            """,
            self.tenant_id,
            count,
        )
        await self.connection.execute(
            """
            INSERT INTO profile_consent (
                tenant_id, profile_id, channel, purpose, state, version, evidence, consented_at
            )
            SELECT $1, p.profile_id, c.channel, 'marketing', 'granted', 1, 'form', leo_now()
            FROM cdp_profiles AS p
            CROSS JOIN (VALUES ('email', 3), ('zalo-template', 5)) AS c (channel, every)
            WHERE p.tenant_id = $1 AND substr(p.ext_id, 2)::int % c.every = 0
            """,
            self.tenant_id,
        )

    async def run(self, statement: str, *values: Any) -> None:
        """Run a statement past every policy."""
        await self.connection.execute(statement, *values)

    async def _put(self, table: str, **values: Any) -> None:
        values = {"tenant_id": self.tenant_id} | values
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values()
        )
