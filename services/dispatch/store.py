"""Everything that dispatch reads and writes but for its machine; statements in queries.sql."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson
from uuid_utils.compat import uuid7

from libs import audit
from libs.postgres.plans import plan_along_indexes
from libs.postgres.queries import load_queries
from services.dispatch.domain.account import Account, SealedCredentials
from services.dispatch.domain.delivery import (
    REACHED,
    Attempt,
    Choice,
    Decision,
    Delivery,
    Receipt,
    choice_of,
    dedupe_key_of,
)
from services.dispatch.domain.suppression import RECEIPT_CAUSES, BadRecipient
from services.dispatch.domain.template import Template
from services.dispatch.domain.values import Event, Values, values_of
from services.dispatch.errors import (
    DeliveryMissingError,
    EventMissingError,
    ProfileMissingError,
    RequestIdReusedError,
    TemplateExistsError,
    TemplateMissingError,
)
from services.dispatch.suppressions import Suppressions, suppress_recipients

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.dispatch.domain.account import NewAccount
    from services.dispatch.domain.delivery import NewReceipt, ReceiptRequest
    from services.dispatch.domain.template import NewTemplate

    # Given the stored secrets of an account, what is to be stored; raises to leave all as it was.
    Compose = Callable[[str, SealedCredentials | None], SealedCredentials | None]
    # Verifies what a provider said with the secrets of its account, if there is one.
    Read = Callable[[ReceiptRequest, Account | None], list[NewReceipt] | Exception]
    # Tells the machine, within the transaction, that there are receipts for deliveries.
    Settle = Callable[[Connection, UUID, Sequence[UUID]], Awaitable[None]]

_QUERIES = load_queries(__file__)
_FIRST_STEP: Final = 0
_WAITING: Final = frozenset({"pending", "retry_wait"})


class DispatchStore(Suppressions):
    """The tables of dispatch, and what it may read of decisions, profiles and events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert_deliveries(
        self, tenant_id: UUID, decision_ids: Collection[UUID]
    ) -> dict[UUID, tuple[UUID, bool]]:
        """Make the first delivery of each decision that acts, in one transaction.

        Returns:
            For each of these decisions, the delivery's id and whether it is new.
        """
        async with self._database.tenant(tenant_id) as connection:
            firsts = [
                Reached(decision, _FIRST_STEP, decision.choices[0])
                async for row in _QUERIES.select_decisions(
                    connection, tenant_id=tenant_id, decision_ids=list(decision_ids)
                )
                if (decision := decision_of(row)).choices
            ]
            keys = {first.decision.decision_id: first.dedupe_key(tenant_id) for first in firsts}
            new = await insert_reached(connection, tenant_id, firsts) if firsts else {}
            stored = new
            if len(new) < len(firsts):
                stored = {
                    row["dedupe_key"]: row["delivery_id"]
                    async for row in _QUERIES.select_delivery_ids(
                        connection, tenant_id=tenant_id, dedupe_keys=list(keys.values())
                    )
                }
        return {decision_id: (stored[key], key in new) for decision_id, key in keys.items()}

    async def get_delivery(
        self, tenant_id: UUID, delivery_id: UUID
    ) -> tuple[Delivery, list[Attempt], list[Receipt]]:
        """One delivery with its attempts and receipts, in order.

        Raises:
            DeliveryMissingError: the tenant has none of this id.
        """
        async with self._database.tenant(tenant_id) as connection:
            deliveries = await _select_deliveries(connection, tenant_id, [delivery_id])
            if not deliveries:
                raise DeliveryMissingError(delivery_id)
            which = {"tenant_id": tenant_id, "delivery_id": delivery_id}
            attempts = [
                Attempt(**row) async for row in _QUERIES.select_attempts(connection, **which)
            ]
            receipts = [
                Receipt(**row) async for row in _QUERIES.select_receipts(connection, **which)
            ]
        return deliveries[0], attempts, receipts

    async def list_deliveries(
        self,
        tenant_id: UUID,
        *,
        state: str | None,
        profile_id: UUID | None,
        before: UUID,
        count: int,
    ) -> list[Delivery]:
        """The newest deliveries that are older than `before`, the newest first."""
        which: dict[str, Any] = {
            "tenant_id": tenant_id,
            "state": state,
            "before": before,
            "count": count,
        }
        async with self._database.tenant(tenant_id) as connection:
            if profile_id is None:
                await plan_along_indexes(connection)
                rows = _QUERIES.list_delivery_ids(connection, **which)
            else:
                rows = _QUERIES.list_delivery_ids_of_profile(
                    connection, **which, profile_id=profile_id
                )
            ids = [row["delivery_id"] async for row in rows]
            return await _select_deliveries(connection, tenant_id, ids) if ids else []

    async def create_template(
        self, tenant_id: UUID, template: NewTemplate, origin: Origin
    ) -> Template:
        """Store a template; a repeated request gets its first answer.

        Raises:
            TemplateExistsError: the name is taken.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            row = await _QUERIES.insert_template(
                connection,
                tenant_id=tenant_id,
                template_id=uuid7(),
                name=template.name,
                channel=template.channel,
                provider_template_id=template.provider_template_id,
                data=orjson.dumps(dict(template.data)).decode(),
                request_id=request.request_id if request else None,
                request_digest=request.digest if request else None,
            )
            if row is None and request is not None:
                row = await _QUERIES.select_template_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if row is not None and row["request_digest"] != request.digest:
                    raise RequestIdReusedError(request.request_id)
            elif row is not None:
                content = {
                    "channel": template.channel,
                    "provider_template_id": template.provider_template_id,
                    "data": dict(template.data),
                }
                await audit.append(
                    connection,
                    kind="template_created",
                    actor=origin.actor,
                    call_id=origin.call_id,
                    details={
                        "template_id": str(row["template_id"]),
                        "name": template.name,
                        "version": row["version"],
                        "digest": hashlib.sha256(audit.canonical_row(content)).hexdigest(),
                    },
                )
        if row is None:
            raise TemplateExistsError(template.name)
        return _template(row)

    async def get_template(
        self, tenant_id: UUID, template_id: UUID, *, profile_ext_id: str, event_id: UUID | None
    ) -> tuple[Template, Values]:
        """A template, and the values of a person and an event.

        Raises:
            TemplateMissingError: the tenant has no such template.
            ProfileMissingError: the tenant has no profile with this ext_id.
            EventMissingError: the tenant has no such event.
        """
        async with self._database.tenant(tenant_id) as connection:
            template = await _QUERIES.select_template(
                connection, tenant_id=tenant_id, template_id=template_id
            )
            if template is None:
                raise TemplateMissingError(template_id)
            profile = await _QUERIES.select_document(
                connection, tenant_id=tenant_id, ext_id=profile_ext_id
            )
            if profile is None:
                raise ProfileMissingError
            event = None
            if event_id is not None:
                row = await _QUERIES.select_event(
                    connection, tenant_id=tenant_id, event_id=event_id
                )
                if row is None:
                    raise EventMissingError(event_id)
                event = Event(**{**row, "properties": orjson.loads(row["properties"])})
        document = orjson.loads(profile["document"])
        return _template(template), values_of(document, event, ZoneInfo(profile["time_zone"]))

    async def set_account(
        self, tenant_id: UUID, account: NewAccount, compose: Compose, origin: Origin
    ) -> Account:
        """Make or replace the account of this name, with an audit entry.

        Args:
            tenant_id: whose account it is.
            account: what it is to be.
            compose: called with the stored channel and secrets, under the account's lock.
            origin: who asks.

        Raises:
            What `compose` raises; nothing is stored then.
        """
        async with self._database.tenant(tenant_id) as connection:
            stored = await _QUERIES.lock_account(
                connection,
                tenant_id=tenant_id,
                account_id=uuid7(),
                name=account.name,
                channel=account.channel,
                concurrent_send_count_max=account.concurrent_send_count_max,
            )
            sealed = compose(stored["channel"], _sealed(stored))
            account_id = stored["account_id"]
            updated_at = await _QUERIES.update_account(
                connection,
                tenant_id=tenant_id,
                account_id=account_id,
                settings=orjson.dumps(dict(account.settings)).decode(),
                concurrent_send_count_max=account.concurrent_send_count_max,
                credential_names=list(sealed.names) if sealed else [],
                credentials=sealed.ciphertext if sealed else None,
                data_key=sealed.data_key if sealed else None,
                key_id=sealed.key_id if sealed else "",
                credential_version=sealed.version if sealed else 0,
            )
            await audit.append(
                connection,
                kind="channel_account_set",
                actor=origin.actor,
                call_id=origin.call_id,
                details={
                    "account_id": str(account_id),
                    "name": account.name,
                    "channel": account.channel,
                    "settings": sorted(account.settings),
                    "credentials_changed": sorted(account.credentials),
                    "credential_version": sealed.version if sealed else 0,
                },
            )
        return Account(
            account_id=account_id,
            name=account.name,
            channel=account.channel,
            settings=account.settings,
            sealed=sealed,
            concurrent_send_count_max=account.concurrent_send_count_max,
            updated_at=updated_at,
        )

    async def record_receipts(
        self,
        tenant_id: UUID,
        requests: Sequence[ReceiptRequest],
        *,
        read: Read,
        settle: Settle,
    ) -> list[bool | Exception]:
        """Store what providers said, and settle the deliveries that it is about.

        A receipt that names no delivery of its account is stored without one.

        Args:
            tenant_id: whose accounts the requests name.
            requests: of one transaction.
            read: called for each request with the account that it names.
            settle: called with the deliveries in doubt, under their locks, after the receipts are
                stored.

        Returns:
            For each request, whether all of it had been stored before, or why it is refused.
        """
        async with self._database.tenant(tenant_id) as connection:
            accounts = {
                row["account_id"]: _account(row)
                async for row in _QUERIES.select_accounts(
                    connection,
                    tenant_id=tenant_id,
                    account_ids=list({request.account_id for request in requests}),
                )
            }
            answers = [read(request, accounts.get(request.account_id)) for request in requests]
            rows = [
                (number, receipt)
                for number, answer in enumerate(answers)
                if not isinstance(answer, Exception)
                for receipt in answer
            ]
            new: set[int] = set()
            if rows:
                new = await _insert_receipts(connection, tenant_id, requests, rows, settle)
        return [
            answer if isinstance(answer, Exception) else number not in new
            for number, answer in enumerate(answers)
        ]


@dataclass(frozen=True, slots=True)
class Reached:
    """The choice of a decision whose turn it is."""

    decision: Decision
    step: int
    choice: Choice

    def dedupe_key(self, tenant_id: UUID) -> bytes:
        """What its delivery is known by."""
        return dedupe_key_of(
            tenant_id, self.decision.decision_id, step=self.step, choice=self.choice
        )


async def insert_reached(
    connection: Connection, tenant_id: UUID, reached: Sequence[Reached]
) -> dict[bytes, UUID]:
    """Make the deliveries of choices that have none; by dedupe key, those that are new."""
    rows = sorted(((each.dedupe_key(tenant_id), each) for each in reached), key=itemgetter(0))
    choices = [each.choice for _, each in rows]
    decisions = [each.decision for _, each in rows]
    return {
        row["dedupe_key"]: row["delivery_id"]
        async for row in _QUERIES.insert_deliveries(
            connection,
            tenant_id=tenant_id,
            delivery_ids=[uuid7() for _ in rows],
            decision_ids=[decision.decision_id for decision in decisions],
            steps=[each.step for _, each in rows],
            choices=[choice.number for choice in choices],
            channels=[choice.channel for choice in choices],
            account_ids=[choice.account_id for choice in choices],
            template_ids=[choice.template_id for choice in choices],
            profile_ids=[decision.profile_id for decision in decisions],
            profile_versions=[decision.profile_version for decision in decisions],
            purposes=[choice.purpose for choice in choices],
            recipient_refs=[choice.recipient_ref for choice in choices],
            dedupe_keys=[key for key, _ in rows],
            not_befores=[decision.not_before for decision in decisions],
            expires_ats=[decision.expires_at for decision in decisions],
        )
    }


async def _insert_receipts(
    connection: Connection,
    tenant_id: UUID,
    requests: Sequence[ReceiptRequest],
    rows: Sequence[tuple[int, NewReceipt]],
    settle: Settle,
) -> set[int]:
    """Store receipts, each with the number of its request; gives the numbers with new ones."""
    locked = {
        (row["account_id"], row["delivery_id"]): row["in_doubt"]
        async for row in _QUERIES.lock_deliveries(
            connection,
            tenant_id=tenant_id,
            delivery_ids=list({receipt.delivery_id for _, receipt in rows if receipt.delivery_id}),
        )
    }
    # In one order, so that two transactions with the same receipts cannot deadlock.
    rows = sorted(rows, key=lambda row: (requests[row[0]].account_id.int, row[1].digest))
    sources = [requests[number] for number, _ in rows]
    receipts = [receipt for _, receipt in rows]
    deliveries = [
        (source.account_id, receipt.delivery_id)
        for source, receipt in zip(sources, receipts, strict=True)
    ]
    numbers = {uuid7(): number for number, _ in rows}
    new = {
        row["receipt_id"]
        async for row in _QUERIES.insert_receipts(
            connection,
            tenant_id=tenant_id,
            receipt_ids=list(numbers),
            account_ids=[source.account_id for source in sources],
            raws=[source.body for source in sources],
            receipt_digests=[receipt.digest for receipt in receipts],
            # What another account's signature says of a delivery is no evidence.
            delivery_ids=[named[1] if named in locked else None for named in deliveries],
            kinds=[receipt.kind for receipt in receipts],
            provider_message_ids=[receipt.provider_message_id for receipt in receipts],
            occurred_ats=[receipt.occurred_at for receipt in receipts],
        )
    }
    evidenced = set(deliveries)
    in_doubt = [
        delivery_id
        for (account_id, delivery_id), is_in_doubt in locked.items()
        if is_in_doubt and (account_id, delivery_id) in evidenced
    ]
    if in_doubt:
        await settle(connection, tenant_id, in_doubt)
    bad = [
        BadRecipient(delivery_id, RECEIPT_CAUSES[receipt.kind])
        for receipt_id, receipt, (account_id, delivery_id) in zip(
            numbers, receipts, deliveries, strict=True
        )
        if receipt.suppresses_recipient
        and receipt_id in new
        and delivery_id is not None
        and (account_id, delivery_id) in locked
    ]
    if bad:
        await suppress_recipients(connection, tenant_id, "receipt", bad)
    return {numbers[receipt_id] for receipt_id in new}


async def _select_deliveries(
    connection: Connection, tenant_id: UUID, delivery_ids: Sequence[UUID]
) -> list[Delivery]:
    return [
        _delivery(row)
        async for row in _QUERIES.select_deliveries(
            connection, tenant_id=tenant_id, delivery_ids=delivery_ids, reached=REACHED
        )
    ]


def decision_of(row: Mapping[str, Any]) -> Decision:
    """A decision from its columns, of which `choices` is JSON."""
    choices = [choice_of(choice) for choice in orjson.loads(row["choices"])]
    return Decision(**{**row, "choices": choices})


def _delivery(row: asyncpg.Record) -> Delivery:
    values = dict(row)
    reached, due_at = values.pop("reached"), values.pop("due_at")
    return Delivery(
        **values,
        reached=REACHED[reached - 1] if reached else "",
        not_before=due_at if row["state"] in _WAITING else None,
    )


def _template(row: asyncpg.Record) -> Template:
    return Template(
        template_id=row["template_id"],
        version=row["version"],
        name=row["name"],
        channel=row["channel"],
        provider_template_id=row["provider_template_id"],
        data=orjson.loads(row["data"]),
        updated_at=row["updated_at"],
    )


def _account(row: asyncpg.Record) -> Account:
    return Account(
        account_id=row["account_id"],
        name=row["name"],
        channel=row["channel"],
        settings=orjson.loads(row["settings"]),
        sealed=_sealed(row),
        concurrent_send_count_max=row["concurrent_send_count_max"],
        updated_at=row["updated_at"],
    )


def _sealed(row: asyncpg.Record) -> SealedCredentials | None:
    if row["credentials"] is None:
        return None
    return SealedCredentials(
        names=tuple(row["credential_names"]),
        ciphertext=row["credentials"],
        data_key=row["data_key"],
        key_id=row["key_id"],
        version=row["credential_version"],
    )
