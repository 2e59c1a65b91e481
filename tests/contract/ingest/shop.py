"""A tenant with rows of any age, and a retention that goes over it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid4, uuid7

from services.ingest.removal import Retention
from services.ingest.settings import RemovalSettings, RetentionSettings
from tests.contract.database.rows import TABLES

if TYPE_CHECKING:
    from libs.postgres.database import Database

STORIES = timedelta(days=400)
VERSIONS = timedelta(days=500)
CONSENTS = timedelta(days=1000)
OLD = timedelta(days=401)
YOUNG = timedelta(days=399)


def id_of(age: timedelta) -> UUID:
    """A UUIDv7 of then."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    tail = uuid4().int & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | (uuid7().int & 0xFFF) << 64 | 1 << 63 | tail)


@dataclass
class Shop:
    """Writes rows of any age as the owner of a database would."""

    superuser: Any
    tenant_id: UUID

    async def insert(self, table: str, **values: Any) -> None:
        """One row; a timedelta is an age."""
        now = datetime.now(UTC)
        row = {
            name: now - value if isinstance(value, timedelta) and name != "cooldown" else value
            for name, value in ({"tenant_id": self.tenant_id} | values).items()
        }
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.superuser.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values()
        )

    async def event(self, age: timedelta) -> UUID:
        event_id: UUID = uuid4()
        await self.insert(
            "marketing_event",
            event_id=event_id,
            source="test",
            event_type="purchase",
            profile_ext_id="one",
            occurred_at=age,
            received_at=age,
            properties="{}",
            body_digest=bytes(32),
        )
        return event_id

    async def entry(self) -> UUID:
        """An audit entry for rows to name."""
        entry_id: UUID = uuid7()
        await self.insert(
            "audit_entry",
            entry_id=entry_id,
            kind="test",
            actor="test",
            call_id="",
            member_count=0,
            root=bytes(32),
            details="{}",
        )
        return entry_id

    async def decision(self, trigger_id: UUID, age: timedelta, **changes: Any) -> UUID:
        decision_id = id_of(age)
        values: dict[str, Any] = {
            "trigger_kind": "event",
            "profile_id": self.tenant_id,
            "profile_version": 1,
            "ordinal": 0,
            "rule_set_version": 1,
            "rule_id": self.tenant_id,
            "outcome": "acted",
            "reason": "test",
            "decided_at": age,
            "expires_at": age,
            "audit_entry_id": self.tenant_id,
            "leaf_no": 0,
        }
        await self.insert(
            "decision", decision_id=decision_id, trigger_id=trigger_id, **(values | changes)
        )
        return decision_id

    async def delivery(self, decision_id: UUID, age: timedelta, **changes: Any) -> UUID:
        """A delivery with an attempt and two receipts."""
        delivery_id = id_of(age)
        values: dict[str, Any] = {
            "choice": 0,
            "channel": "email",
            "account_id": self.tenant_id,
            "template_id": self.tenant_id,
            "profile_id": self.tenant_id,
            "profile_version": 1,
            "purpose": "marketing",
            "recipient_ref": "email:0",
            "dedupe_key": uuid4().bytes * 2,
            "state": "accepted",
            "attempt_count": 1,
            "due_at": age,
            "expires_at": age,
            "created_at": age,
            "updated_at": age,
        }
        await self.insert(
            "delivery_log",
            delivery_id=delivery_id,
            decision_id=decision_id,
            **(values | changes),
        )
        for phase, kind, leaf_no in (("intent", None, None), ("result", "accepted", 7)):
            await self.insert(
                "delivery_attempt",
                delivery_id=delivery_id,
                attempt=1,
                phase=phase,
                epoch=1,
                kind=kind,
                created_at=age,
                audit_entry_id=self.tenant_id if leaf_no else None,
                leaf_no=leaf_no,
            )
        for _ in range(2):
            await self.receipt(age, delivery_id=delivery_id)
        return delivery_id

    async def receipt(self, age: timedelta, **changes: Any) -> UUID:
        receipt_id = id_of(age)
        await self.insert(
            "delivery_receipt",
            receipt_id=receipt_id,
            account_id=self.tenant_id,
            receipt_digest=uuid4().bytes * 2,
            kind="delivered",
            received_at=age,
            **changes,
        )
        return receipt_id

    async def story(self, age: timedelta, **delivery: Any) -> UUID:
        """An event with an acting decision and what came of it; the event's id."""
        event_id = await self.event(age)
        await self.delivery(await self.decision(event_id, age), age, **delivery)
        return event_id

    async def counts(self) -> dict[str, int]:
        return {
            table: await self.superuser.fetchval(
                f"SELECT count(*) FROM {table} WHERE tenant_id = $1", self.tenant_id
            )
            for table in TABLES
        }

    async def event_ids(self) -> set[UUID]:
        """Those of the test; fill.sql's are young."""
        rows = await self.superuser.fetch(
            "SELECT event_id FROM marketing_event WHERE tenant_id = $1 AND event_type = 'purchase'",
            self.tenant_id,
        )
        return {row["event_id"] for row in rows}

    async def entries(self, kind: str = "rows_removed") -> list[dict[str, Any]]:
        rows = await self.superuser.fetch(
            "SELECT details FROM audit_entry WHERE tenant_id = $1 AND kind = $2 ORDER BY entry_id",
            self.tenant_id,
            kind,
        )
        return [json.loads(row["details"]) for row in rows]

    async def breaches(self) -> int:
        """Beside those of fill.sql, whose rows never balanced."""
        count: int = await self.superuser.fetchval(
            "SELECT count(*) FROM ledger_breach(interval '0') WHERE tenant_id = $1", self.tenant_id
        )
        return count


def retention_of(database: Database, finder: Database, batch_count: int = 500) -> Retention:
    return Retention(
        database,
        finder,
        RetentionSettings(
            stories=STORIES,
            snapshots=STORIES,
            profile_versions=VERSIONS,
            consent_versions=CONSENTS,
        ),
        RemovalSettings(batch_count=batch_count, batch_pause=timedelta(0)),
    )


async def removed(retention: Retention, **options: Any) -> dict[str, int]:
    """What one run removed of the one tenant."""
    (report,) = await retention.remove(**options)
    assert report.problem == ""
    return report.row_counts


async def profile(shop: Shop, *superseded: timedelta) -> UUID:
    """A person whose versions were each superseded so long ago, and one that holds."""
    profile_id: UUID = uuid7()
    await shop.insert(
        "cdp_profiles",
        profile_id=profile_id,
        ext_id=str(profile_id),
        version=len(superseded) + 1,
        state="active",
        context="test",
        document_digest=bytes(32),
    )
    for version, age in enumerate((timedelta(days=2000), *superseded), start=1):
        await shop.insert(
            "cdp_profile_version",
            profile_id=profile_id,
            version=version,
            document="{}",
            document_digest=bytes(32),
            created_at=age,
        )
    return profile_id
