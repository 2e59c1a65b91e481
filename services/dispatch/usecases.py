"""What dispatch does, one function for each RPC; nothing here knows gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from libs.fields import Fields
from services.dispatch import channels, rendering
from services.dispatch.channels import contract
from services.dispatch.domain.account import Credentials, check_complete
from services.dispatch.domain.delivery import NewReceipt, receipt_digest_of
from services.dispatch.envelope import open_, seal
from services.dispatch.errors import (
    AccountMissingError,
    DecisionMissingError,
    FieldInvalidError,
    TemplateInvalidError,
    ValueMissingError,
    ValueUnusableError,
)
from services.dispatch.machine import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.postgres.batcher import Batcher
    from libs.rpc.errors import LeoError
    from libs.rpc.requests import Origin
    from services.dispatch.domain.account import Account, NewAccount, SealedCredentials
    from services.dispatch.domain.delivery import Attempt, Delivery, Receipt, ReceiptRequest
    from services.dispatch.domain.suppression import Cause, Recipient, Suppression
    from services.dispatch.domain.template import NewTemplate, Template
    from services.dispatch.doorbell import Doorbell
    from services.dispatch.envelope import KeyRing
    from services.dispatch.store import DispatchStore


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The first delivery of a decision; duplicate if it had been made before."""

    decision_id: UUID
    delivery_id: UUID
    duplicate: bool


CHANNEL_NAMES: Final = frozenset(channels.CHANNELS)
CHANNEL_TEXTS: Final = {name: channel.texts for name, channel in channels.CHANNELS.items()}
# What was read of a decision's id: good, or why not.
ReadDecision: TypeAlias = UUID | FieldInvalidError
DispatchAnswer: TypeAlias = "Dispatched | LeoError"
# Whether it had been stored before, or why it is refused.
ReceiptAnswer: TypeAlias = bool | Exception
ReceiptBatcher: TypeAlias = "Batcher[ReceiptRequest, ReceiptAnswer]"


async def batch_dispatch(
    store: DispatchStore, doorbell: Doorbell, tenant_id: UUID, decisions: Sequence[ReadDecision]
) -> list[DispatchAnswer]:
    """Make the deliveries of decisions in one transaction and answer for each."""
    good = {decision for decision in decisions if isinstance(decision, UUID)}
    made = await store.insert_deliveries(tenant_id, good) if good else {}
    if any(new for _, new in made.values()):
        doorbell.ring()
    answers: list[DispatchAnswer] = []
    told: set[UUID] = set()
    for decision in decisions:
        if isinstance(decision, FieldInvalidError):
            answers.append(decision)
        elif decision not in made:
            answers.append(DecisionMissingError(decision))
        else:
            delivery_id, new = made[decision]
            answers.append(Dispatched(decision, delivery_id, not new or decision in told))
            told.add(decision)
    return answers


async def get_delivery(
    store: DispatchStore, tenant_id: UUID, delivery_id: UUID
) -> tuple[Delivery, list[Attempt], list[Receipt]]:
    """One delivery with its attempts and receipts. Raises DeliveryMissingError."""
    return await store.get_delivery(tenant_id, delivery_id)


async def list_deliveries(
    store: DispatchStore,
    tenant_id: UUID,
    *,
    state: str | None,
    profile_id: UUID | None,
    before: UUID,
    size: int,
) -> tuple[list[Delivery], bool]:
    """A page of deliveries, the newest first, and whether there are more."""
    deliveries = await store.list_deliveries(
        tenant_id, state=state, profile_id=profile_id, before=before, count=size + 1
    )
    return deliveries[:size], len(deliveries) > size


async def create_template(
    store: DispatchStore, tenant_id: UUID, template: NewTemplate, origin: Origin
) -> Template:
    """Check and store a template.

    Raises:
        TemplateInvalidError: a text holds what is not let through.
        TemplateExistsError: the name is taken.
        RequestIdReusedError: the request's id was used with another body.
    """
    found = Fields("template")
    rules = CHANNEL_TEXTS[template.channel]
    for violation in rendering.check_template(template.data, rules):
        found.refuse(violation.field, violation.description)
    if found.violations:
        raise TemplateInvalidError(found.violations)
    return await store.create_template(tenant_id, template, origin)


async def render_template(
    store: DispatchStore,
    tenant_id: UUID,
    template_id: UUID,
    *,
    profile_ext_id: str,
    event_id: UUID | None,
) -> dict[str, str]:
    """What a person would get.

    Raises:
        TemplateMissingError, ProfileMissingError, EventMissingError: the tenant has none such.
        ValueMissingError: the person or the event lacks a value that the template needs.
        ValueUnusableError: no text can be made of a value.
    """
    template, values = await store.get_template(
        tenant_id, template_id, profile_ext_id=profile_ext_id, event_id=event_id
    )
    try:
        return rendering.render(template.data, values, CHANNEL_TEXTS.get(template.channel))
    except rendering.MissingValueError as error:
        raise ValueMissingError(error.name) from error
    except rendering.RenderError as error:
        raise ValueUnusableError(str(error)) from error


async def set_channel_account(
    store: DispatchStore, key_ring: KeyRing, tenant_id: UUID, account: NewAccount, origin: Origin
) -> Account:
    """Make or replace an account; a secret that is not named stays as it is.

    Raises:
        FieldInvalidError: the channel would lack a setting or a secret, or is another one.
    """
    channel = channels.CHANNELS[account.channel]

    def compose(stored_channel: str, sealed: SealedCredentials | None) -> SealedCredentials | None:
        found = Fields("account")
        if stored_channel != account.channel:
            found.refuse("channel", f"cannot change; the account sends by {stored_channel}")
        check_complete(
            found,
            account,
            kept=sealed.names if sealed else (),
            settings=channel.required_settings,
            credentials=channel.required_credentials,
        )
        channel.check_account(found, account)
        if found.violations:
            raise FieldInvalidError(found.violations)
        if not account.credentials:
            return sealed
        secrets = dict(account.credentials)
        if sealed is not None and not secrets.keys() >= set(sealed.names):
            stored = open_(sealed, tenant_id=tenant_id, channel=account.channel, key_ring=key_ring)
            secrets = {**stored, **secrets}
        return seal(
            secrets,
            tenant_id=tenant_id,
            channel=account.channel,
            version=sealed.version + 1 if sealed else 1,
            key_ring=key_ring,
        )

    return await store.set_account(tenant_id, account, compose, origin)


async def record_receipt(batcher: ReceiptBatcher, tenant_id: UUID, request: ReceiptRequest) -> bool:
    """Verify and store what a provider says later, and settle what it is about.

    It commits together with others that arrive at the same moment, before this returns.

    Returns:
        Whether all of it had been stored before.

    Raises:
        AccountMissingError: the tenant has no such account.
        ReceiptRefusedError: its provider did not sign this, or it cannot be read.
    """
    answer = await batcher.submit(tenant_id, request)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def record_receipts(
    store: DispatchStore, key_ring: KeyRing, tenant_id: UUID, requests: Sequence[ReceiptRequest]
) -> list[ReceiptAnswer]:
    """Record requests of a tenant's providers in one transaction and answer for each."""

    def read(request: ReceiptRequest, account: Account | None) -> list[NewReceipt] | Exception:
        if account is None:
            return AccountMissingError(request.account_id)
        try:
            receipts = channels.CHANNELS[account.channel].read_receipt(
                request.body, request.headers, _opened(account, tenant_id, key_ring)
            )
        except Exception as error:  # noqa: BLE001 - it is this caller's, and nobody else's
            return error
        return [
            NewReceipt(
                digest=receipt_digest_of(request.body, index),
                kind=receipt.kind,
                delivery_id=receipt.delivery_id,
                provider_message_id=receipt.provider_message_id,
                occurred_at=receipt.occurred_at,
                suppresses_recipient=receipt.suppresses_recipient,
            )
            for index, receipt in enumerate(receipts)
        ]

    return await store.record_receipts(tenant_id, requests, read=read, settle=settle)


async def suppress(
    store: DispatchStore,
    key_ring: KeyRing,
    tenant_id: UUID,
    recipient: Recipient,
    *,
    cause: Cause,
    origin: Origin,
) -> list[Suppression]:
    """Let nothing more be sent to an address, or to a person's; all that is in force there.

    Raises:
        ProfileMissingError: the tenant has no profile with this ext_id.
        AddressMissingError: the person has no address for the channel.
        RequestIdReusedError: the request's id was used with another body.
    """
    return await store.suppress(tenant_id, recipient, key_ring, cause=cause, origin=origin)


async def unsuppress(
    store: DispatchStore,
    key_ring: KeyRing,
    tenant_id: UUID,
    recipient: Recipient,
    *,
    origin: Origin,
) -> list[Suppression]:
    """Lift what is in force; what was lifted.

    Raises:
        ProfileMissingError: the tenant has no profile with this ext_id.
        RequestIdReusedError: the request's id was used with another body.
    """
    return await store.unsuppress(tenant_id, recipient, key_ring, origin=origin)


async def list_suppressions(
    store: DispatchStore,
    key_ring: KeyRing,
    tenant_id: UUID,
    *,
    recipient: Recipient | None,
    before: UUID,
    size: int,
) -> tuple[list[Suppression], bool]:
    """A page of what is in force, the newest first, and whether there is more.

    Raises:
        ProfileMissingError: the tenant has no profile with this ext_id.
    """
    found = await store.list_suppressions(
        tenant_id, recipient, key_ring, before=before, count=size + 1
    )
    return found[:size], len(found) > size


def _opened(account: Account, tenant_id: UUID, key_ring: KeyRing) -> contract.Account:
    credentials = Credentials({})
    if account.sealed is not None:
        credentials = open_(
            account.sealed, tenant_id=tenant_id, channel=account.channel, key_ring=key_ring
        )
    return contract.Account(settings=account.settings, credentials=credentials)
