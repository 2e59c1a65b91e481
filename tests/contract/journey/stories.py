"""Events and what became of them, written as rows, so that every history can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from uuid_utils.compat import uuid7

from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

# Long ago, so that no grace hides anything, and in a zone that is not the tenant's.
START: Final = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
AHEAD: Final = datetime(2126, 3, 1, tzinfo=UTC)
HASH: Final = bytes(32)
# Attempt, phase, epoch, kind.
AttemptRow = tuple[int, str, int, str | None]


@dataclass(frozen=True, kw_only=True)
class History:
    """What became of one delivery: where it stands, and the rows that led there."""

    state: str
    attempts: Sequence[AttemptRow] = ()
    receipts: Sequence[str] = ()
    reason: str = ""


def attempt(number: int, kind: str, *, epoch: int | None = None) -> list[AttemptRow]:
    """The two rows of an attempt that got its result."""
    return [
        (number, "intent", epoch or number, None),
        (number, "result", epoch or number, kind),
    ]


HEALTHY: Final[Mapping[str, History]] = {
    "waits": History(state="pending"),
    "was suppressed": History(state="suppressed", reason="consent was withdrawn"),
    "expired": History(state="expired"),
    "was cancelled": History(state="cancelled"),
    "cannot be rendered": History(state="dead_letter"),
    "was accepted": History(
        state="accepted", attempts=attempt(1, "accepted"), receipts=["delivered", "read"]
    ),
    "was refused": History(state="failed", attempts=attempt(1, "rejected"), receipts=["failed"]),
    "waits for another attempt": History(state="retry_wait", attempts=attempt(1, "retry_at")),
    "was accepted at last": History(
        state="accepted",
        attempts=[*attempt(1, "retry_at"), *attempt(2, "retry_at"), *attempt(3, "accepted")],
    ),
    "expired between attempts": History(state="expired", attempts=attempt(1, "retry_at")),
    "is in doubt": History(state="outcome_unknown", attempts=attempt(1, "unknown")),
    "stays in doubt after a no": History(
        state="outcome_unknown", attempts=[*attempt(1, "unknown"), *attempt(2, "rejected")]
    ),
    "was settled by a receipt": History(
        state="accepted", attempts=attempt(1, "unknown"), receipts=["delivered"]
    ),
    "was settled by a late yes": History(
        state="accepted", attempts=[*attempt(1, "unknown"), (1, "late", 1, "accepted")]
    ),
    "was settled by a late no": History(
        state="failed", attempts=[*attempt(1, "unknown"), (1, "late", 1, "rejected")]
    ),
    "will stay unknown": History(state="closed_unknown", attempts=attempt(1, "unknown")),
}


@dataclass(kw_only=True)
class Told:
    """The ids of one event's story, or of one person's in a launch, which is then `event_id`."""

    tenant_id: UUID
    profile_id: UUID
    event_id: UUID
    decision_id: UUID
    delivery_id: UUID | None = None
    receipt_ids: list[UUID] = field(default_factory=list)


class Teller:
    """Writes rows past every policy, as a migration would."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def open(self) -> Teller:
        """Become leo_migrate, whose sessions start as the owner."""
        await self._connection.execute(f"SET ROLE {roles.MIGRATE}")
        return self

    async def put(self, table: str, **values: Any) -> None:
        """Insert one row."""
        numbers = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({numbers})", *values.values()
        )

    async def run_as_migrate(self, statement: str, *values: Any) -> None:
        """Run a statement past every policy."""
        await self._connection.execute(statement, *values)

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """The first value that a statement gives."""
        return await self._connection.fetchval(statement, *values)

    async def fetch(self, statement: str) -> list[Any]:
        """The rows that a statement gives."""
        return list(await self._connection.fetch(statement))

    async def run(self, statement: str) -> None:
        """Run a statement as the owner of the tables."""
        await self._connection.execute(f"SET ROLE {roles.OWNER}; {statement}")
        await self._connection.execute(f"SET ROLE {roles.MIGRATE}")

    async def tenant(self) -> UUID:
        """A tenant with one rule, one template and one account, all of them under its own id."""
        tenant: UUID = uuid7()
        await self.put(
            "tenant",
            tenant_id=tenant,
            name=f"tenant-{tenant.hex}",
            time_zone="Asia/Ho_Chi_Minh",
            state="active",
        )
        await self.put(
            "audit_entry",
            tenant_id=tenant,
            entry_id=tenant,
            kind="decisions_made",
            actor="test",
            call_id="call",
            member_count=0,
            root=HASH,
            details="{}",
        )
        await self.put(
            "campaign", tenant_id=tenant, campaign_id=tenant, name="spring", state="active"
        )
        await self.put(
            "activation_rule",
            tenant_id=tenant,
            rule_id=tenant,
            campaign_id=tenant,
            name="thank-you",
            version=1,
        )
        await self.put(
            "message_template",
            tenant_id=tenant,
            template_id=tenant,
            version=1,
            name="thanks",
            channel="zalo-template",
            data="{}",
        )
        await self.put(
            "channel_account",
            tenant_id=tenant,
            account_id=tenant,
            name="main",
            channel="zalo-template",
            concurrent_send_count_max=1,
        )
        return tenant

    async def profile(self, tenant_id: UUID) -> UUID:
        """A person whose every name and address says PERSONAL."""
        profile_id: UUID = uuid7()
        await self.put(
            "cdp_profiles",
            tenant_id=tenant_id,
            profile_id=profile_id,
            ext_id=f"PERSONAL-{profile_id}",
            version=1,
            state="active",
            context="test",
            given_name="PERSONAL",
            phones=["PERSONAL"],
            document_digest=HASH,
        )
        return profile_id

    async def event(
        self, tenant_id: UUID, *, profile_id: UUID, received_at: datetime = START
    ) -> UUID:
        event_id: UUID = uuid7()
        await self.put(
            "marketing_event",
            tenant_id=tenant_id,
            event_id=event_id,
            source="shop",
            source_event_id=f"order-{event_id}",
            event_type="purchase",
            profile_ext_id=f"PERSONAL-{profile_id}",
            occurred_at=received_at - timedelta(minutes=1),
            received_at=received_at,
            properties='{"note": "PERSONAL"}',
            body_digest=HASH,
        )
        return event_id

    async def decision(
        self, tenant_id: UUID, event_id: UUID, *, profile_id: UUID | None, **values: Any
    ) -> UUID:
        """A decision to act, where `values` do not say otherwise."""
        decision_id: UUID = uuid7()
        await self.put(
            "decision",
            **{
                "tenant_id": tenant_id,
                "decision_id": decision_id,
                "trigger_kind": "event",
                "trigger_id": event_id,
                "profile_id": profile_id,
                "profile_version": 1,
                "ordinal": 0,
                "rule_set_version": 1,
                "campaign_id": tenant_id,
                "rule_id": tenant_id,
                "rule_version": 1,
                "outcome": "acted",
                "reason": "every condition holds",
                "expires_at": AHEAD,
                "inputs": '{"profile": "PERSONAL"}',
                "decided_at": START + timedelta(milliseconds=20),
                "audit_entry_id": tenant_id,
                "leaf_no": 0,
                "salt": HASH,
            }
            | values,
        )
        return decision_id

    async def delivery(self, told: Told, history: History, **values: Any) -> UUID:
        """A delivery with its attempts and receipts, half a second apart."""
        delivery_id: UUID = uuid7()
        intents = [row for row in history.attempts if row[1] == "intent"]
        waits = history.state in {"pending", "retry_wait"}
        sending = history.state == "sending"
        await self.put(
            "delivery_log",
            **{
                "tenant_id": told.tenant_id,
                "delivery_id": delivery_id,
                "decision_id": told.decision_id,
                "choice": 0,
                "channel": "zalo-template",
                "account_id": told.tenant_id,
                "template_id": told.tenant_id,
                "profile_id": told.profile_id,
                "profile_version": 1,
                "purpose": "marketing",
                "recipient_ref": "phone:0",
                "dedupe_key": delivery_id.bytes * 2,
                "state": history.state,
                "reason": history.reason,
                "due_at": AHEAD if waits else START,
                "expires_at": AHEAD,
                "epoch": max((row[2] for row in intents), default=0),
                "attempt_count": len(intents),
                "lease_until": START + timedelta(seconds=15) if sending else None,
                "created_at": START + timedelta(milliseconds=40),
                "updated_at": START + timedelta(milliseconds=500 * (len(history.attempts) + 1)),
            }
            | values,
        )
        for index, row in enumerate(history.attempts, start=1):
            await self.attempt_row(
                told.tenant_id, delivery_id, row, at=START + timedelta(milliseconds=500 * index)
            )
        for index, kind in enumerate(history.receipts, start=1):
            await self.receipt(told, delivery_id, kind, at=START + timedelta(minutes=index))
        return delivery_id

    async def attempt_row(
        self, tenant_id: UUID, delivery_id: UUID, row: AttemptRow, *, at: datetime = START
    ) -> None:
        number, phase, epoch, kind = row
        await self.put(
            "delivery_attempt",
            tenant_id=tenant_id,
            delivery_id=delivery_id,
            attempt=number,
            phase=phase,
            epoch=epoch,
            kind=kind,
            provider_class="" if kind is None else "P",
            provider_code="" if kind in {None, "unknown"} else "-124",
            created_at=at,
        )

    async def receipt(
        self, told: Told, delivery_id: UUID, kind: str, *, at: datetime = START
    ) -> UUID:
        receipt_id: UUID = uuid7()
        await self.put(
            "delivery_receipt",
            tenant_id=told.tenant_id,
            receipt_id=receipt_id,
            account_id=told.tenant_id,
            receipt_digest=receipt_id.bytes * 2,
            delivery_id=delivery_id,
            kind=kind,
            raw=b"PERSONAL",
            occurred_at=at - timedelta(seconds=1),
            received_at=at,
        )
        told.receipt_ids.append(receipt_id)
        return receipt_id

    async def story(self, tenant_id: UUID, history: History, **values: Any) -> Told:
        """An event of a new person that was acted on, and its delivery."""
        told = await self.acted(tenant_id)
        told.delivery_id = await self.delivery(told, history, **values)
        return told

    async def acted(self, tenant_id: UUID) -> Told:
        """An event of a new person, and the decision to act; nothing came of it yet."""
        profile_id = await self.profile(tenant_id)
        event_id = await self.event(tenant_id, profile_id=profile_id)
        decision_id = await self.decision(tenant_id, event_id, profile_id=profile_id)
        return Told(
            tenant_id=tenant_id,
            profile_id=profile_id,
            event_id=event_id,
            decision_id=decision_id,
        )

    async def launch(
        self, tenant_id: UUID, profile_ids: Sequence[UUID], *, state: str = "succeeded"
    ) -> UUID:
        """A launch to these people, of whom none is decided about, and to one who was erased."""
        launch_id: UUID = uuid7()
        await self.put(
            "segment",
            tenant_id=tenant_id,
            segment_id=launch_id,
            name=launch_id.hex,
            condition="true",
            version=1,
        )
        await self._connection.execute(
            "INSERT INTO activation_rule_version (tenant_id, rule_id, version, document)"
            " VALUES ($1, $1, 1, '{}') ON CONFLICT DO NOTHING",
            tenant_id,
        )
        numbers = [
            await self.fetchval(
                "SELECT profile_no FROM cdp_profiles WHERE tenant_id = $1 AND profile_id = $2",
                tenant_id,
                profile_id,
            )
            for profile_id in profile_ids
        ]
        member_count = len(numbers) + 1
        async with self._connection.transaction():
            await self.put(
                "segment_snapshot_member",
                tenant_id=tenant_id,
                snapshot_id=launch_id,
                chunk_no=0,
                member_count=member_count,
                profile_nos=[*numbers, 2**40],
                profile_versions=[1] * member_count,
                consent_keys=[],
                consents=b"",
            )
            await self.put(
                "segment_snapshot",
                tenant_id=tenant_id,
                snapshot_id=launch_id,
                segment_id=launch_id,
                segment_version=1,
                condition="true",
                member_count=member_count,
                digest=HASH,
                taken_at=START,
                audit_entry_id=tenant_id,
            )
        await self.put(
            "campaign_launch",
            tenant_id=tenant_id,
            launch_id=launch_id,
            campaign_id=tenant_id,
            rule_id=tenant_id,
            rule_version=1,
            snapshot_id=launch_id,
            state=state,
            actor="test",
            created_at=START,
        )
        return launch_id

    async def launched(self, tenant_id: UUID, history: History) -> Told:
        """A launch to two new people: one was acted for, with a delivery, and one not."""
        profile_id, other_id = await self.profile(tenant_id), await self.profile(tenant_id)
        launch_id = await self.launch(tenant_id, [profile_id, other_id])
        of_launch = {"trigger_kind": "launch"}
        decision_id = await self.decision(tenant_id, launch_id, profile_id=profile_id, **of_launch)
        await self.decision(
            tenant_id, launch_id, profile_id=other_id, outcome="hold_out", **of_launch
        )
        told = Told(
            tenant_id=tenant_id,
            profile_id=profile_id,
            event_id=launch_id,
            decision_id=decision_id,
        )
        told.delivery_id = await self.delivery(told, history)
        return told

    async def healthy(self, tenant_id: UUID) -> None:
        """Every history that can come about, side by side."""
        for history in HEALTHY.values():
            await self.story(tenant_id, history)
        await self._not_acted(tenant_id)
        await self._fallback(tenant_id)
        await self._resent(tenant_id)
        await self._apart(tenant_id)
        await self.launched(tenant_id, HEALTHY["was accepted"])
        await self.launch(tenant_id, [await self.profile(tenant_id)], state="running")

    async def _not_acted(self, tenant_id: UUID) -> None:
        profile_id = await self.profile(tenant_id)
        nobody = await self.event(tenant_id, profile_id=uuid7())
        await self.decision(tenant_id, nobody, profile_id=None, rule_id=None, outcome="no_profile")
        event_id = await self.event(tenant_id, profile_id=profile_id)
        for ordinal, outcome in enumerate(("cooldown", "no_consent")):
            await self.decision(
                tenant_id, event_id, profile_id=profile_id, ordinal=ordinal, outcome=outcome
            )

    async def _fallback(self, tenant_id: UUID) -> None:
        told = await self.story(tenant_id, HEALTHY["was refused"])
        await self.delivery(told, HEALTHY["waits"], choice=1)

    async def _resent(self, tenant_id: UUID) -> None:
        told = await self.story(tenant_id, HEALTHY["will stay unknown"])
        await self.delivery(told, HEALTHY["was accepted"], resend_of=told.delivery_id)

    async def _apart(self, tenant_id: UUID) -> None:
        """One rule acts twice for one person, exactly its cooldown apart."""
        told = await self.acted(tenant_id)
        await self.delivery(told, HEALTHY["was accepted"])
        told.event_id = await self.event(tenant_id, profile_id=told.profile_id)
        told.decision_id = await self.decision(
            tenant_id,
            told.event_id,
            profile_id=told.profile_id,
            cooldown=timedelta(hours=1),
            decided_at=START + timedelta(milliseconds=20, hours=1),
        )
        await self.delivery(told, HEALTHY["was accepted"])
