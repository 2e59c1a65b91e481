"""What other services would have written: people, events, templates, accounts, segments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from uuid_utils.compat import uuid7

from leo.decision.v1 import decision_service_pb2 as pb
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNEL = "zalo-template"
PURPOSE = "care"


class World:
    """Writes rows of one tenant past every policy, on a connection of leo_migrate.

    Attributes:
        choice: a way to reach people by CHANNEL, once `open` was called.
    """

    choice: pb.Choice

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def open(self) -> World:
        # Whose sessions start as the owner, whom policies hold.
        await self._connection.execute(f"SET ROLE {roles.MIGRATE}")
        self.choice = pb.Choice(
            channel=CHANNEL,
            template_id=str(await self.template()),
            account_id=str(await self.account()),
        )
        return self

    async def template(self, channel: str = CHANNEL, **texts: str) -> UUID:
        template_id: UUID = uuid7()
        await self._put(
            "message_template",
            template_id=template_id,
            version=1,
            name=template_id.hex,
            channel=channel,
            data=orjson.dumps(texts).decode(),
        )
        return template_id

    async def account(self, channel: str = CHANNEL) -> UUID:
        account_id: UUID = uuid7()
        await self._put(
            "channel_account",
            account_id=account_id,
            name=account_id.hex,
            channel=channel,
            concurrent_send_count_max=1,
        )
        return account_id

    async def segment(self, condition: str) -> str:
        segment_id: UUID = uuid7()
        await self._put(
            "segment", segment_id=segment_id, name=segment_id.hex, condition=condition, version=4
        )
        return str(segment_id)

    async def person(
        self,
        ext_id: str,
        *,
        consents: Sequence[tuple[str, str]] = ((CHANNEL, PURPOSE),),
        **columns: Any,
    ) -> UUID:
        """Somebody in Huế with a phone, who consented to what is named."""
        profile_id: UUID = uuid7()
        values = {
            "ext_id": ext_id,
            "version": 2,
            "state": "active",
            "context": "production",
            "city": "Huế",
            "phones": ["+84901234567"],
            "document_digest": bytes(32),
        } | columns
        await self._put("cdp_profiles", profile_id=profile_id, **values)
        for channel, purpose in consents:
            await self._put(
                "profile_consent",
                profile_id=profile_id,
                channel=channel,
                purpose=purpose,
                state="granted",
                version=1,
                evidence="form",
                consented_at=datetime.now(UTC),
            )
        return profile_id

    async def event(self, ext_id: str, event_type: str = "purchase", **properties: Any) -> UUID:
        """A minute ago, something that the person did."""
        event_id = uuid4()
        await self._put(
            "marketing_event",
            event_id=event_id,
            source="shop",
            event_type=event_type,
            profile_ext_id=ext_id,
            occurred_at=datetime.now(UTC) - timedelta(minutes=1),
            properties=orjson.dumps(properties).decode(),
            body_digest=bytes(32),
        )
        return event_id

    async def delivery(self, decision_id: str) -> UUID:
        """What dispatch makes of an acting decision at first."""
        delivery_id: UUID = uuid7()
        (row,) = [row for row in await self.decisions() if str(row["decision_id"]) == decision_id]
        await self._put(
            "delivery_log",
            delivery_id=delivery_id,
            decision_id=row["decision_id"],
            choice=0,
            channel=CHANNEL,
            account_id=UUID(self.choice.account_id),
            template_id=UUID(self.choice.template_id),
            profile_id=row["profile_id"],
            profile_version=row["profile_version"],
            purpose=PURPOSE,
            recipient_ref="phone:0",
            dedupe_key=delivery_id.bytes * 2,
            state="pending",
            due_at=row["decided_at"],
            expires_at=row["expires_at"],
        )
        return delivery_id

    def rule(self, campaign_id: str, **changes: Any) -> pb.Rule:
        """A rule about every purchase."""
        values: dict[str, Any] = {
            "campaign_id": campaign_id,
            "name": "thanks",
            "trigger": pb.Rule.TRIGGER_EVENT,
            "event_type": "purchase",
            "purpose": PURPOSE,
            "choices": [self.choice],
        }
        return pb.Rule(**(values | changes))

    def launched_rule(self, campaign_id: str, **changes: Any) -> pb.Rule:
        """A rule that goes out by a launch."""
        launched = {"name": "hello", "event_type": "", "trigger": pb.Rule.TRIGGER_LAUNCH}
        return self.rule(campaign_id, **(launched | changes))

    async def crowd(self, count: int) -> None:
        """So many people p0, p1 … in Huế with a phone, who consented to PURPOSE."""
        await self._connection.execute(
            """
            INSERT INTO cdp_profiles (
                tenant_id, profile_id, ext_id, version, state, context, city, phones,
                document_digest
            )
            SELECT
                $1, gen_random_uuid(), 'p' || n, 2, 'active', 'production', 'Huế',
                ARRAY['+84901234567'], sha256('document')
            FROM generate_series(0, $2::int - 1) AS n
            ORDER BY n
            """,
            self.tenant_id,
            count,
        )
        await self._connection.execute(
            """
            INSERT INTO profile_consent (
                tenant_id, profile_id, channel, purpose, state, version, evidence, consented_at
            )
            SELECT $1, profile_id, $2, $3, 'granted', 1, 'form', leo_now()
            FROM cdp_profiles
            WHERE tenant_id = $1 AND ext_id LIKE 'p%'
            """,
            self.tenant_id,
            CHANNEL,
            PURPOSE,
        )

    async def snapshot(self) -> UUID:
        """Everybody, as segment would freeze them; the digest is not a real one."""
        snapshot_id: UUID = uuid7()
        segment_id = UUID(await self.segment("true"))
        await self._put(
            "audit_entry",
            entry_id=snapshot_id,
            kind="snapshot_created",
            actor="test",
            call_id="call",
            member_count=0,
            root=bytes(32),
            details="{}",
        )
        # The members come first, and the row that closes them last.
        async with self._connection.transaction():
            await self._connection.execute(
                """
                INSERT INTO segment_snapshot_member (
                    tenant_id, snapshot_id, chunk_no, member_count, profile_nos, profile_versions,
                    consent_keys, consents
                )
                SELECT $1, $2, chunk_no, count(*), array_agg(profile_no ORDER BY profile_no),
                    array_agg(version ORDER BY profile_no), '{}', ''
                FROM (
                    SELECT
                        profile_no, version,
                        (row_number() OVER (ORDER BY profile_no) - 1) / 10000 AS chunk_no
                    FROM cdp_profiles
                    WHERE tenant_id = $1
                ) AS member
                GROUP BY chunk_no
                """,
                self.tenant_id,
                snapshot_id,
            )
            await self._connection.execute(
                """
                INSERT INTO segment_snapshot (
                    tenant_id, snapshot_id, segment_id, segment_version, condition, member_count,
                    digest, taken_at, audit_entry_id
                )
                SELECT $1, $2, $3, 4, 'true', count(*), sha256('members'), leo_now(), $2
                FROM cdp_profiles
                WHERE tenant_id = $1
                """,
                self.tenant_id,
                snapshot_id,
                segment_id,
            )
        return snapshot_id

    async def run(self, statement: str, *values: Any) -> None:
        """Run a statement past every policy."""
        await self._connection.execute(statement, *values)

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """The first value of a statement, past every policy."""
        return await self._connection.fetchval(statement, *values)

    async def decisions(self) -> list[Any]:
        """The tenant's rows of decision, by event and ordinal."""
        rows: list[Any] = await self._connection.fetch(
            "SELECT * FROM decision WHERE tenant_id = $1 ORDER BY trigger_id, ordinal",
            self.tenant_id,
        )
        return rows

    async def entries(self, kind: str) -> list[Any]:
        """The tenant's audit entries of a kind, the oldest first."""
        rows: list[Any] = await self._connection.fetch(
            "SELECT * FROM audit_entry WHERE tenant_id = $1 AND kind = $2 ORDER BY entry_id",
            self.tenant_id,
            kind,
        )
        return rows

    async def store_terms(self, rule_id: str, **terms: Any) -> None:
        """Make a rule's next version past the door, which would not let everything in."""
        await self._connection.execute(
            """
            WITH stored AS (
                INSERT INTO activation_rule_version (tenant_id, rule_id, version, document)
                SELECT tenant_id, rule_id, version + 1, document || $3
                FROM activation_rule_version
                WHERE tenant_id = $1 AND rule_id = $2
                ORDER BY version DESC LIMIT 1
                RETURNING version
            ), bumped AS (
                UPDATE rule_set SET version = version + 1 WHERE tenant_id = $1
            )
            UPDATE activation_rule AS r SET version = stored.version
            FROM stored WHERE r.tenant_id = $1 AND r.rule_id = $2
            """,
            self.tenant_id,
            UUID(rule_id),
            orjson.dumps(terms).decode(),
        )

    async def change_segment(self, segment_id: str, condition: str) -> None:
        await self._connection.execute(
            "UPDATE segment SET condition = $3, version = version + 1"
            " WHERE tenant_id = $1 AND segment_id = $2",
            self.tenant_id,
            UUID(segment_id),
            condition,
        )

    async def set_time_zone(self, time_zone: str) -> None:
        await self._connection.execute(
            "UPDATE tenant SET time_zone = $2 WHERE tenant_id = $1", self.tenant_id, time_zone
        )

    async def _put(self, table: str, **values: Any) -> None:
        values = {"tenant_id": self.tenant_id} | values
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values()
        )


def hours(count: float) -> Duration:
    """A span on the wire."""
    span = Duration()
    span.FromTimedelta(timedelta(hours=count))
    return span


# Everything that a rule may say beside what it must.
FULL: dict[str, Any] = {
    "condition": "event.properties.amount > 500000",
    "cooldown": hours(36),
    "priority": -7,
    "quiet_hours": pb.QuietHours(start="22:00", end="07:00"),
    "hold_out_percent": 5,
    "time_to_live": hours(1.5),
    "valid_from_time": Timestamp(seconds=1_790_000_000, nanos=123_456_000),
    "valid_until_time": Timestamp(seconds=1_890_000_000),
}
