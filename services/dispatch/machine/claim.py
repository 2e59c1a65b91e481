"""The claim: what may go out now is checked once more, rendered, and written down as intended."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import orjson
import structlog

from libs import audit, canonical
from libs.addressing import address_of
from libs.postgres.plans import plan_along_indexes
from libs.postgres.queries import load_queries
from libs.quiet_hours import QuietHours, quiet_until
from libs.relay.outage import Outage
from libs.unsubscribe import Withdrawal
from services.dispatch.channels import CHANNELS, contract
from services.dispatch.domain.account import SealedCredentials
from services.dispatch.domain.delivery import ACTOR
from services.dispatch.domain.suppression import IN_WORDS
from services.dispatch.domain.values import Event, values_of
from services.dispatch.envelope import EnvelopeError, open_
from services.dispatch.machine.moves import Move, move
from services.dispatch.machine.transitions import without_sending
from services.dispatch.rendering import MissingValueError, RenderError, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from libs.unsubscribe import UnsubscribeLinks
    from services.dispatch.domain.account import Credentials
    from services.dispatch.domain.delivery import State
    from services.dispatch.domain.suppression import Cause
    from services.dispatch.envelope import KeyRing
    from services.dispatch.machine.settings import MachineSettings

_QUERIES = load_queries(__file__)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One delivery whose intent is committed.

    Attributes:
        account_updated_at: tells whether somebody changed the account since.
        claimed_seconds: when its lease began at the latest, on this process's monotonic clock.
    """

    tenant_id: UUID
    delivery_id: UUID
    account_id: UUID
    channel: contract.Channel
    account: contract.Account
    message: contract.Message
    epoch: int
    attempt: int
    account_updated_at: datetime
    claimed_seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim brought.

    Attributes:
        claimed: to be sent now.
        found_count: rows that were due and looked at; fewer than asked means no more are.
        capacity: how many calls of the account may run at once.
        broken: rows that could not even be looked at, with the reason.
    """

    claimed: list[Claimed]
    found_count: int
    capacity: int
    broken: dict[UUID, str]


@dataclass(slots=True)
class _Sorted:
    """The due rows, by what becomes of them."""

    ready: list[tuple[asyncpg.Record, contract.Message]]
    ended: list[Move]
    waiting: list[Move]
    broken: dict[UUID, str]

    def end_suppressed(self, causes: Mapping[UUID, Cause]) -> None:
        """What was ready goes to an address that is suppressed."""
        for row, _ in self.ready:
            if cause := causes.get(row["delivery_id"]):
                reason = f"SUPPRESSED: {IN_WORDS[cause]}"
                self.ended.append(_end_of(row["delivery_id"], row, "suppressed", reason))
        self.ready = [each for each in self.ready if each[0]["delivery_id"] not in causes]


class Claims:
    """Claims deliveries of one account at a time, each in one transaction."""

    def __init__(
        self,
        database: Database,
        key_ring: KeyRing,
        settings: MachineSettings,
        links: UnsubscribeLinks | None = None,
    ) -> None:
        self._database = database
        self._key_ring = key_ring
        self._links = links
        self._settings = settings
        # By account: the version of the secrets, and the secrets.
        self._credentials: dict[UUID, tuple[int, Credentials]] = {}
        self._outages: dict[UUID, Outage] = {}

    async def claim(
        self, tenant_id: UUID, account_id: UUID, count_max: int, *, only: UUID | None = None
    ) -> Claim:
        """Take up to `count_max` due deliveries; when this returns, their intents are committed.

        Raises:
            LeoError: the database is away. Where the commit itself is in doubt nothing is sent:
                the leases run out.
        """
        # Before the transaction: the lease begins in it, and never later than this says.
        began = time.monotonic()
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            row = await _QUERIES.select_account(
                connection, tenant_id=tenant_id, account_id=account_id
            )
            # A suspended tenant's deliveries wait; those of one that is being removed go with it.
            if row is None or row["paused_reason"] or row["tenant_state"] != "active":
                return Claim([], 0, 1, {})
            try:
                channel, account = CHANNELS[row["channel"]], self._account(row, tenant_id)
                # Without one of these keys, a message would go where none may.
                key_ids = self._key_ids(row["suppression_key_ids"])
            except (KeyError, EnvelopeError) as error:
                # Not the rows' fault, nor the tenant's: it is over when this process has the key
                # or the channel again.
                self._outage_of(account_id).begin(str(error))
                return Claim([], 0, 1, {})
            self._outages.pop(account_id, None)
            due = [
                row
                async for row in _QUERIES.select_due(
                    connection,
                    tenant_id=tenant_id,
                    account_id=account_id,
                    count_max=count_max,
                    only=only,
                )
            ]
            found = _sort(due)
            if found.ready:
                await self._intend(connection, tenant_id, found, key_ids)
            if found.ended:
                await end(connection, tenant_id, found.ended)
            await move(connection, tenant_id, found.waiting)
        return Claim(
            [
                Claimed(
                    tenant_id=tenant_id,
                    delivery_id=ready["delivery_id"],
                    account_id=account_id,
                    channel=channel,
                    account=account,
                    message=self._with_link(tenant_id, channel, ready, message),
                    epoch=ready["epoch"] + 1,
                    attempt=ready["attempt_count"] + 1,
                    account_updated_at=row["updated_at"],
                    claimed_seconds=began,
                )
                for ready, message in found.ready
            ],
            len(due),
            row["concurrent_send_count_max"],
            found.broken,
        )

    async def due_ids(self, tenant_id: UUID, account_id: UUID, count_max: int) -> list[UUID]:
        """The ids of what is due, to be claimed one by one."""
        async with self._database.tenant(tenant_id) as connection:
            await plan_along_indexes(connection)
            return [
                row["delivery_id"]
                async for row in _QUERIES.select_due_ids(
                    connection, tenant_id=tenant_id, account_id=account_id, count_max=count_max
                )
            ]

    async def count_failure(self, tenant_id: UUID, delivery_id: UUID, reason: str) -> bool:
        """Note, in a transaction of its own, that a delivery failed before its intent.

        Returns:
            Whether it may be tried again.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await _QUERIES.count_failure(
                connection, tenant_id=tenant_id, delivery_id=delivery_id, reason=reason
            )
            if row is None:
                return False
            if row["failure_count"] < self._settings.failure_count_max:
                return True
            ended = _end_of(delivery_id, row, "dead_letter", reason)
            await end(connection, tenant_id, [ended])
        return False

    async def postpone(self, tenant_id: UUID, delivery_id: UUID, reason: str) -> None:
        """Let a delivery that failed before its intent wait."""
        async with self._database.tenant(tenant_id) as connection:
            await _QUERIES.postpone(
                connection,
                tenant_id=tenant_id,
                delivery_id=delivery_id,
                pause=self._settings.backoff_min,
                reason=reason,
            )

    def _key_ids(self, used: list[str]) -> list[str]:
        """The keys by which addresses are looked up: the active one, and all that are in use.

        Raises:
            EnvelopeError: one that is in use is not in the ring.
        """
        for key_id in used:
            self._key_ring.key(key_id)
        return list({self._key_ring.active_key_id, *used})

    async def _intend(
        self, connection: Connection, tenant_id: UUID, found: _Sorted, key_ids: list[str]
    ) -> None:
        """Write the intents of what is ready; what goes to a suppressed address ends instead."""
        keyed = [
            (row["delivery_id"], key_id, self._key_ring.hash_recipient(key_id, message.recipient))
            for row, message in found.ready
            for key_id in key_ids
        ]
        lease: timedelta = self._settings.lease
        causes = {
            row["delivery_id"]: row["cause"]
            async for row in _QUERIES.start_sending(
                connection,
                tenant_id=tenant_id,
                # All of one account, so of one channel.
                channel=found.ready[0][0]["channel"],
                delivery_ids=[delivery_id for delivery_id, _, _ in keyed],
                key_ids=[key_id for _, key_id, _ in keyed],
                hashes=[recipient_hash for _, _, recipient_hash in keyed],
                active_key_id=self._key_ring.active_key_id,
                lease=lease,
            )
        }
        if causes:
            found.end_suppressed(causes)
        ready = found.ready
        if not ready:
            return
        key = self._key_ring.key(self._key_ring.active_key_id)
        await _QUERIES.insert_intents(
            connection,
            tenant_id=tenant_id,
            delivery_ids=[row["delivery_id"] for row, _ in ready],
            attempts=[row["attempt_count"] + 1 for row, _ in ready],
            epochs=[row["epoch"] + 1 for row, _ in ready],
            request_hashes=[_request_hash(key, message) for _, message in ready],
            template_versions=[row["template_version"] for row, _ in ready],
        )

    def _with_link(
        self,
        tenant_id: UUID,
        channel: contract.Channel,
        row: asyncpg.Record,
        message: contract.Message,
    ) -> contract.Message:
        """The message with its link to unsubscribe, where its channel carries one."""
        if self._links is None or not channel.carries_unsubscribe_link:
            return message
        withdrawal = Withdrawal(
            tenant_id=tenant_id,
            ext_id=row["ext_id"],
            channel=row["channel"],
            purpose=row["purpose"],
            delivery_id=row["delivery_id"],
        )
        return replace(message, unsubscribe_url=self._links.url_of(withdrawal))

    def _outage_of(self, account_id: UUID) -> Outage:
        return self._outages.setdefault(
            account_id, Outage("opening an account", account_id=str(account_id))
        )

    def _account(self, row: asyncpg.Record, tenant_id: UUID) -> contract.Account:
        version, credentials = self._credentials.get(row["account_id"], (-1, None))
        if credentials is None or version != row["credential_version"]:
            sealed = SealedCredentials(
                names=tuple(row["credential_names"]),
                ciphertext=row["credentials"],
                data_key=row["data_key"],
                key_id=row["key_id"],
                version=row["credential_version"],
            )
            credentials = open_(
                sealed, tenant_id=tenant_id, channel=row["channel"], key_ring=self._key_ring
            )
            self._credentials[row["account_id"]] = (row["credential_version"], credentials)
        return contract.Account(settings=orjson.loads(row["settings"]), credentials=credentials)


def _sort(due: list[asyncpg.Record]) -> _Sorted:
    found = _Sorted([], [], [], {})
    for row in due:
        try:
            outcome = _check(row)
        except Exception as error:
            log.exception("claim failed", delivery_id=str(row["delivery_id"]))
            found.broken[row["delivery_id"]] = f"preparing it failed: {type(error).__name__}"
            continue
        if isinstance(outcome, contract.Message):
            found.ready.append((row, outcome))
        elif isinstance(outcome, datetime):
            found.waiting.append(
                Move(
                    delivery_id=row["delivery_id"],
                    epoch=row["epoch"],
                    state=row["state"],
                    reason="waits for quiet hours to end",
                    in_doubt=row["in_doubt"],
                    due_at=outcome,
                )
            )
        else:
            found.ended.append(_end_of(row["delivery_id"], row, *outcome))
    return found


def _end_of(delivery_id: UUID, row: asyncpg.Record, state: State, reason: str) -> Move:
    """How a delivery ends that is not sent (again)."""
    state, reason = without_sending(state, reason, in_doubt=row["in_doubt"])
    return Move(
        delivery_id=delivery_id,
        epoch=row["epoch"],
        state=state,
        reason=reason,
        in_doubt=row["in_doubt"],
    )


def _check(  # noqa: PLR0911
    row: asyncpg.Record,
) -> contract.Message | tuple[State, str] | datetime:
    """The message, or why it is not sent, or until when it waits."""
    if row["seen_document"] is None or row["latest_document"] is None:
        return "cancelled", "the person was erased"
    if row["profile_state"] != "active" or row["profile_context"] != "production":
        return "suppressed", f"PROFILE: it is {row['profile_state']}, {row['profile_context']} data"
    if row["consent"] != "granted":
        return "suppressed", f"CONSENT: {row['channel']}, {row['purpose']}: {row['consent']}"
    document = orjson.loads(row["seen_document"])
    latest = orjson.loads(row["latest_document"])
    recipient = address_of(row["recipient_ref"], document)
    if recipient is None or address_of(row["recipient_ref"], latest) != recipient:
        return "suppressed", "ADDRESS_CHANGED: it is another one since the decision"
    if row["expires_at"] <= row["now"]:
        return "expired", "it was no longer worth sending"
    if row["quiet_hours"] is not None:
        hours = QuietHours(*orjson.loads(row["quiet_hours"]))
        until = quiet_until(hours, row["now"], row["time_zone"])
        if until is not None and until < row["expires_at"]:
            return until
        if until is not None:
            return "expired", "quiet hours last longer than it is worth"
    event = None
    if row["event_type"] is not None:
        event = Event(
            event_type=row["event_type"],
            source=row["source"],
            occurred_at=row["occurred_at"],
            properties=orjson.loads(row["properties"]),
        )
    try:
        data = render(
            orjson.loads(row["template_data"]),
            values_of(document, event, ZoneInfo(row["time_zone"])),
            CHANNELS[row["channel"]].texts,
        )
    except MissingValueError as error:
        return "suppressed", f"MISSING_VALUE: {error.name}"
    except RenderError as error:
        return "dead_letter", f"RENDER: {error}"
    return contract.Message(
        purpose=row["purpose"],
        recipient=recipient,
        provider_template_id=row["provider_template_id"],
        data=data,
        reference=str(row["delivery_id"]),
        unsubscribe_url="",
    )


async def end(connection: Connection, tenant_id: UUID, ended: list[Move]) -> None:
    """End what is not sent. That leaves no row of its own: the audit entry names it."""
    await move(connection, tenant_id, ended)
    await audit.append(
        connection,
        kind="deliveries_ended",
        actor=ACTOR,
        call_id="",
        details={
            "deliveries": [[str(each.delivery_id), each.state, each.reason] for each in ended]
        },
    )


def _request_hash(key: bytes, message: contract.Message) -> bytes:
    """A keyed hash of what goes out: it can be compared, and tells nothing by itself."""
    said = canonical.dumps(
        [message.recipient, message.provider_template_id, dict(message.data), message.reference]
    )
    return hashlib.sha256(hmac.digest(key, said, "sha256")).digest()
