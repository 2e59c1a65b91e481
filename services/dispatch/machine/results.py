"""Results: what providers said, written under the fence of the claim."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from libs import audit
from libs.postgres.queries import load_queries
from services.dispatch.channels import CHANNELS
from services.dispatch.channels.contract import SendResult
from services.dispatch.domain.delivery import ACTOR
from services.dispatch.domain.suppression import BadRecipient
from services.dispatch.machine.moves import Move, move
from services.dispatch.machine.transitions import Next, after_result
from services.dispatch.suppressions import suppress_recipients

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from services.dispatch.machine.claim import Claimed
    from services.dispatch.machine.settings import MachineSettings

_QUERIES = load_queries(__file__)
# Rows of one transaction whose attempts nobody else ends.
EXPIRED_COUNT_MAX = 500
LEASE_RAN_OUT = SendResult(
    kind="unknown",
    provider_class="AMB",
    code="lease",
    reason="the worker did not come back: nobody knows whether the provider took it",
)
# Of the same code: the worker of then may still be heard of.
RESTORED = replace(
    LEASE_RAN_OUT,
    reason="the database is a backup that was made during the call: nobody knows its outcome",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """The end of one attempt, to be written."""

    delivery_id: UUID
    attempt: int
    epoch: int
    channel: str
    result: SendResult


class Results:
    """Writes results of one tenant at a time, each batch in one transaction."""

    def __init__(self, database: Database, settings: MachineSettings) -> None:
        self._database = database
        self._settings = settings

    async def write(self, tenant_id: UUID, done: Sequence[tuple[Claimed, SendResult]]) -> None:
        """Write what providers said; what lost its fence is kept as late and merged.

        Raises:
            LeoError: the database is away; nothing is written.
        """
        attempted = [
            Attempted(
                delivery_id=claimed.delivery_id,
                attempt=claimed.attempt,
                epoch=claimed.epoch,
                channel=claimed.channel.name,
                result=result,
            )
            for claimed, result in done
        ]
        paused = {
            claimed.account_id: (result.reason, claimed.account_updated_at)
            for claimed, result in done
            if result.pauses_account
        }
        # A call that was made is ended, also where the tenant is being removed meanwhile.
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            await self._write(connection, tenant_id, attempted)
            for account_id, (reason, updated_at) in paused.items():
                await _QUERIES.pause_account(
                    connection,
                    tenant_id=tenant_id,
                    account_id=account_id,
                    reason=reason,
                    updated_at=updated_at,
                )

    async def reconcile(self, tenant_id: UUID) -> int:
        """End attempts whose lease ran out, without an answer; how many there were."""
        return await self._end_unanswered(tenant_id, _QUERIES.select_expired, LEASE_RAN_OUT)

    async def end_restored(self, tenant_id: UUID) -> int:
        """End attempts that were under way when a backup was made; how many there were.

        None is made again: a key that the provider knew then it may not know any more.
        """
        return await self._end_unanswered(tenant_id, _QUERIES.select_sending, RESTORED, again=False)

    async def _end_unanswered(
        self, tenant_id: UUID, select: Any, result: SendResult, *, again: bool = True
    ) -> int:
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            unanswered = [
                Attempted(
                    delivery_id=row["delivery_id"],
                    attempt=row["attempt_count"],
                    epoch=row["epoch"],
                    channel=row["channel"],
                    result=result,
                )
                async for row in select(
                    connection, tenant_id=tenant_id, count_max=EXPIRED_COUNT_MAX
                )
            ]
            if unanswered:
                await self._write(connection, tenant_id, unanswered, again=again)
        return len(unanswered)

    async def _write(
        self,
        connection: Connection,
        tenant_id: UUID,
        attempted: Sequence[Attempted],
        *,
        again: bool = True,
    ) -> None:
        attempted = sorted(attempted, key=lambda item: item.delivery_id.int)
        now = await _QUERIES.now(connection)
        stored = {
            row["delivery_id"]: row
            async for row in _QUERIES.lock_deliveries(
                connection,
                tenant_id=tenant_id,
                delivery_ids=[item.delivery_id for item in attempted],
            )
        }
        fenced: list[Attempted] = []
        late: list[Attempted] = []
        for item in attempted:
            (fenced if _holds(item, stored[item.delivery_id]) else late).append(item)
        late = await _ended_by_lease(connection, tenant_id, late) if late else []
        if fenced or late:
            await _insert_attempts(connection, tenant_id, fenced=fenced, late=late, now=now)
        if fenced:
            await self._end(connection, tenant_id, fenced, stored, now, again=again)
        for item in late:
            await self._merge_late(connection, tenant_id, item, now)
        bad = [
            BadRecipient(item.delivery_id, "rejected")
            for item in (*fenced, *late)
            if item.result.suppresses_recipient
        ]
        if bad:
            await suppress_recipients(connection, tenant_id, "delivery", bad)

    async def _end(
        self,
        connection: Connection,
        tenant_id: UUID,
        fenced: Sequence[Attempted],
        stored: Mapping[UUID, asyncpg.Record],
        now: datetime,
        *,
        again: bool,
    ) -> None:
        """Move the deliveries of attempts that ended in time; `again` lets them be tried again."""
        doubtful = {item.delivery_id for item in fenced if stored[item.delivery_id]["in_doubt"]}
        # A late answer to an earlier attempt may have come while this one was under way.
        known = await _evidence(connection, tenant_id, doubtful) if doubtful else {}
        moves = []
        for item in fenced:
            row = stored[item.delivery_id]
            evidence = known.get(item.delivery_id)
            step = self._next(
                item,
                evidence,
                item.result,
                attempt=item.attempt,
                expires_at=row["expires_at"],
                now=now,
            )
            if step.state == "retry_wait" and not again:
                step = Next("outcome_unknown", step.reason, in_doubt=True)
            moves.append(_move(item, step, item.epoch))
        await move(connection, tenant_id, moves)

    async def _merge_late(
        self, connection: Connection, tenant_id: UUID, item: Attempted, now: datetime
    ) -> None:
        """Let a result that came after its lease speak for its own attempt."""
        known = await _evidence(connection, tenant_id, {item.delivery_id})
        evidence = known[item.delivery_id]
        # While another attempt is under way, that one's end asks for all evidence.
        if evidence["state"] not in ("outcome_unknown", "retry_wait"):
            return
        if item.result.kind == "unknown":
            return
        result = item.result
        if item.attempt < evidence["attempt_count"]:
            # What comes next is decided by the last answer.
            result = SendResult(
                kind=evidence["last_kind"],
                provider_class=evidence["last_class"],
                code="",
                reason=evidence["last_reason"],
            )
        step = self._next(
            item,
            evidence,
            result,
            attempt=evidence["attempt_count"],
            expires_at=evidence["expires_at"],
            now=now,
        )
        await move(connection, tenant_id, [_move(item, step, evidence["epoch"])])

    def _next(
        self,
        item: Attempted,
        evidence: asyncpg.Record | None,
        result: SendResult,
        *,
        attempt: int,
        expires_at: datetime,
        now: datetime,
    ) -> Next:
        in_doubt = evidence is not None and evidence["in_doubt"]
        if evidence is not None and evidence["is_accepted"]:
            return Next("accepted", "", in_doubt=in_doubt)
        return after_result(
            result,
            delivery_id=item.delivery_id,
            capabilities=CHANNELS[item.channel].capabilities,
            in_doubt=in_doubt,
            attempt=attempt,
            now=now,
            expires_at=expires_at,
            settings=self._settings,
        )


def _holds(item: Attempted, row: asyncpg.Record) -> bool:
    """Whether whoever ends this attempt still holds the delivery: the fence."""
    return bool(row["state"] == "sending" and row["epoch"] == item.epoch)


def _move(item: Attempted, step: Next, epoch: int) -> Move:
    return Move(
        delivery_id=item.delivery_id,
        epoch=epoch,
        state=step.state,
        reason=step.reason,
        in_doubt=step.in_doubt,
        due_at=step.due_at,
        provider_message_id=item.result.provider_message_id,
    )


async def _ended_by_lease(
    connection: Connection, tenant_id: UUID, attempted: Sequence[Attempted]
) -> list[Attempted]:
    """Those whose lease ran out before; the others were written, by a commit that said nothing."""
    ended = {
        (row["delivery_id"], row["attempt"])
        async for row in _QUERIES.select_ended_by_lease(
            connection,
            tenant_id=tenant_id,
            delivery_ids=[item.delivery_id for item in attempted],
            attempts=[item.attempt for item in attempted],
            lease_code=LEASE_RAN_OUT.code,
        )
    }
    return [item for item in attempted if (item.delivery_id, item.attempt) in ended]


async def _evidence(
    connection: Connection, tenant_id: UUID, delivery_ids: set[UUID]
) -> dict[UUID, asyncpg.Record]:
    return {
        row["delivery_id"]: row
        async for row in _QUERIES.select_evidence(
            connection, tenant_id=tenant_id, delivery_ids=list(delivery_ids)
        )
    }


async def _insert_attempts(
    connection: Connection,
    tenant_id: UUID,
    *,
    fenced: Sequence[Attempted],
    late: Sequence[Attempted],
    now: datetime,
) -> None:
    rows = [
        {
            "delivery_id": item.delivery_id,
            "attempt": item.attempt,
            "phase": phase,
            "epoch": item.epoch,
            "kind": item.result.kind,
            "provider_class": item.result.provider_class,
            "provider_code": item.result.code,
            "provider_message_id": item.result.provider_message_id,
            "reason": item.result.reason,
            "created_at": now,
        }
        for phase, items in (("result", fenced), ("late", late))
        for item in items
    ]
    salts = [os.urandom(audit.SALT_BYTES) for _ in rows]
    entry_id = await audit.append(
        connection,
        kind="attempts_ended",
        actor=ACTOR,
        call_id="",
        recorded_table="delivery_attempt",
        leaves=[leaf_of(tenant_id, row, salt) for row, salt in zip(rows, salts, strict=True)],
        details={},
    )
    await _QUERIES.insert_attempts(
        connection,
        tenant_id=tenant_id,
        audit_entry_id=entry_id,
        attempts=orjson.dumps(
            [
                row | {"leaf_no": leaf_no, "salt": f"\\x{salt.hex()}"}
                for leaf_no, (row, salt) in enumerate(zip(rows, salts, strict=True))
            ],
            # The driver's UUIDs are of a class of its own, which orjson does not know.
            default=str,
        ).decode(),
    )


def leaf_of(tenant_id: UUID, row: dict[str, Any], salt: bytes) -> bytes:
    """The leaf of an attempt's end in its audit entry's tree."""
    return audit.leaf(salt, audit.canonical_row({"tenant_id": tenant_id} | row))
