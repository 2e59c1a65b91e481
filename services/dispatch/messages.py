"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from leo.dispatch.v1 import dispatch_service_pb2 as pb
from libs import fields
from libs.addressing import ADDRESS_KINDS, normal_address
from libs.fields import Fields, check_batch_count
from libs.fields.paging import page_of, refusal_of
from libs.rpc import requests
from libs.rpc.messages import timestamp_of
from libs.rpc.status import status_of
from services.dispatch.domain.account import Credentials, NewAccount, check_account
from services.dispatch.domain.delivery import ReceiptRequest
from services.dispatch.domain.limits import (
    ADDRESS_LENGTH_MAX,
    CONCURRENT_SEND_COUNT_DEFAULT,
    DISPATCH_BATCH_COUNT_MAX,
    EXT_ID_LENGTH_MAX,
    HEADER_COUNT_MAX,
    HEADER_LENGTH_MAX,
    RECEIPT_BYTES_MAX,
)
from services.dispatch.domain.suppression import Cause, Recipient
from services.dispatch.domain.template import NewTemplate, check_new_template
from services.dispatch.errors import FieldInvalidError
from services.dispatch.usecases import CHANNEL_NAMES, CHANNEL_TEXTS, Dispatched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.dispatch.domain.account import Account
    from services.dispatch.domain.delivery import Attempt, Delivery, Receipt
    from services.dispatch.domain.suppression import Suppression
    from services.dispatch.domain.template import Template
    from services.dispatch.usecases import DispatchAnswer, ReadDecision

id_of = partial(fields.id_of, FieldInvalidError)
request_key_of = partial(requests.request_key_of, FieldInvalidError)
# Behind every UUIDv7: the first page starts there.
_LAST_ID: Final = UUID(int=2**128 - 1)
_CAUSES: Final[Mapping[int, Cause]] = {
    pb.Suppression.CAUSE_BOUNCED: "bounced",
    pb.Suppression.CAUSE_COMPLAINED: "complained",
    pb.Suppression.CAUSE_REJECTED: "rejected",
    pb.Suppression.CAUSE_REQUESTED: "requested",
}


def decisions_of(request: pb.BatchDispatchRequest) -> list[ReadDecision]:
    """The ids of a batch, each good or with its error. Raises FieldInvalidError."""
    check_batch_count(
        FieldInvalidError, "decision_ids", len(request.decision_ids), DISPATCH_BATCH_COUNT_MAX
    )
    return [_decision_of(index, text) for index, text in enumerate(request.decision_ids)]


def _decision_of(index: int, text: str) -> ReadDecision:
    try:
        return UUID(text)
    except ValueError:
        return FieldInvalidError.of(f"decision_ids[{index}]", "must be a UUID")


def dispatch_result(decision_id: str, answer: DispatchAnswer, call_id: str) -> pb.DispatchResult:
    """The answer to one decision; `decision_id` is as in the request."""
    if isinstance(answer, Dispatched):
        return pb.DispatchResult(
            decision_id=decision_id,
            delivery_id=str(answer.delivery_id),
            duplicate=answer.duplicate,
        )
    return pb.DispatchResult(decision_id=decision_id, error=status_of(answer, call_id=call_id))


def list_of(request: pb.ListDeliveriesRequest) -> dict[str, Any]:
    """What a list is asked for, as the use case takes it. Raises FieldInvalidError."""
    found = Fields()
    size, before = _page_of(request, found)
    profile_id = found.id("profile_id", request.profile_id)
    state = None
    if request.state != pb.Delivery.STATE_UNSPECIFIED:
        if request.state in pb.Delivery.State.values():
            state = pb.Delivery.State.Name(request.state).removeprefix("STATE_").lower()
        else:
            found.refuse("state", "is none of Delivery.State")
    found.raise_as(FieldInvalidError)
    return {"state": state, "profile_id": profile_id, "before": before, "size": size}


def _page_of(
    request: pb.ListDeliveriesRequest | pb.ListSuppressionsRequest, found: Fields
) -> tuple[int, UUID]:
    """How long a page is asked for, and before which id; what is wrong with it is noted."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=1)
        return page.size, UUID(page.after[0]) if page.after else _LAST_ID
    except ValueError as error:
        found.refuse(*refusal_of(error))
        return 0, _LAST_ID


def suppress_of(request: pb.SuppressRequest) -> tuple[Recipient, Cause]:
    """To whom nothing more is to be sent, and why. Raises FieldInvalidError."""
    found = Fields()
    recipient = _recipient_of(request.recipient, found)
    cause: Cause = "requested"
    if request.cause in _CAUSES:
        cause = _CAUSES[request.cause]
    elif request.cause != pb.Suppression.CAUSE_UNSPECIFIED:
        found.refuse("cause", "is none of Suppression.Cause")
    found.raise_as(FieldInvalidError)
    return recipient, cause


def recipient_of(message: pb.Recipient) -> Recipient:
    """Whom a request names. Raises FieldInvalidError."""
    found = Fields()
    recipient = _recipient_of(message, found)
    found.raise_as(FieldInvalidError)
    return recipient


def suppressions_of(request: pb.ListSuppressionsRequest) -> dict[str, Any]:
    """What a list is asked for, as the use case takes it. Raises FieldInvalidError."""
    found = Fields()
    size, before = _page_of(request, found)
    recipient = None
    if request.HasField("recipient"):
        recipient = _recipient_of(request.recipient, found)
    found.raise_as(FieldInvalidError)
    return {"recipient": recipient, "before": before, "size": size}


def _recipient_of(message: pb.Recipient, found: Fields) -> Recipient:
    """Whom a request names; what is wrong with it is noted, and never repeats an address."""
    address, ext_id = None, None
    if message.channel not in CHANNEL_NAMES:
        found.refuse("recipient.channel", f"must be one of: {', '.join(sorted(CHANNEL_NAMES))}")
    if message.WhichOneof("name") == "profile_ext_id":
        ext_id = message.profile_ext_id
        found.text("recipient.profile_ext_id", ext_id, length_max=EXT_ID_LENGTH_MAX, required=True)
    else:
        found.text(
            "recipient.address", message.address, length_max=ADDRESS_LENGTH_MAX, required=True
        )
        if not found.violations:
            address = normal_address(message.channel, message.address)
            if address is None:
                kind = ADDRESS_KINDS[message.channel]
                found.refuse("recipient.address", f"is no {kind} that can exist")
    return Recipient(channel=message.channel, address=address, profile_ext_id=ext_id)


def suppression_message(suppression: Suppression) -> pb.Suppression:
    """A suppression as stored."""
    return pb.Suppression(
        suppression_id=str(suppression.suppression_id),
        channel=suppression.channel,
        cause=pb.Suppression.Cause.Value(f"CAUSE_{suppression.cause.upper()}"),
        source=pb.Suppression.Source.Value(f"SOURCE_{suppression.source.upper()}"),
        delivery_id=str(suppression.delivery_id) if suppression.delivery_id else "",
        create_time=timestamp_of(suppression.created_at),
        lift_time=timestamp_of(suppression.lifted_at) if suppression.lifted_at else None,
    )


def delivery_message(delivery: Delivery) -> pb.Delivery:
    """A delivery as it is now."""
    return pb.Delivery(
        delivery_id=str(delivery.delivery_id),
        decision_id=str(delivery.decision_id),
        step=delivery.step,
        choice=delivery.choice,
        follows_delivery_id=str(delivery.follows) if delivery.follows else "",
        channel=delivery.channel,
        account_id=str(delivery.account_id),
        template_id=str(delivery.template_id),
        profile_id=str(delivery.profile_id),
        state=pb.Delivery.State.Value(f"STATE_{delivery.state.upper()}"),
        reason=delivery.reason,
        attempt_count=delivery.attempt_count,
        reached=delivery.reached,
        provider_message_id=delivery.provider_message_id,
        not_before_time=timestamp_of(delivery.not_before) if delivery.not_before else None,
        expire_time=timestamp_of(delivery.expires_at),
        create_time=timestamp_of(delivery.created_at),
        update_time=timestamp_of(delivery.updated_at),
    )


def attempt_message(attempt: Attempt) -> pb.Attempt:
    """One phase of an attempt."""
    return pb.Attempt(
        attempt=attempt.attempt,
        phase=attempt.phase,
        kind=attempt.kind or "",
        provider_class=attempt.provider_class,
        provider_code=attempt.provider_code,
        create_time=timestamp_of(attempt.created_at),
    )


def receipt_message(receipt: Receipt) -> pb.Receipt:
    """A receipt as stored."""
    return pb.Receipt(
        kind=receipt.kind,
        occur_time=timestamp_of(receipt.occurred_at),
        create_time=timestamp_of(receipt.received_at),
    )


def template_of(message: pb.Template) -> NewTemplate:
    """The template that a request wants. Raises FieldInvalidError."""
    template = NewTemplate(
        name=message.name,
        channel=message.channel,
        provider_template_id=message.provider_template_id,
        data={name: unicodedata.normalize("NFC", text) for name, text in message.data.items()},
    )
    found = Fields("template")
    check_new_template(found, template, texts=CHANNEL_TEXTS)
    found.raise_as(FieldInvalidError)
    return template


def template_message(template: Template) -> pb.Template:
    """A template as stored."""
    return pb.Template(
        template_id=str(template.template_id),
        version=template.version,
        name=template.name,
        channel=template.channel,
        provider_template_id=template.provider_template_id,
        data=template.data,
        update_time=timestamp_of(template.updated_at),
    )


def render_of(request: pb.RenderTemplateRequest) -> dict[str, Any]:
    """What is to be rendered, as the use case takes it. Raises FieldInvalidError."""
    found = Fields()
    template_id = found.id("template_id", request.template_id, required=True)
    found.text(
        "profile_ext_id", request.profile_ext_id, length_max=EXT_ID_LENGTH_MAX, required=True
    )
    event_id = found.id("event_id", request.event_id)
    found.raise_as(FieldInvalidError)
    return {
        "template_id": template_id,
        "profile_ext_id": request.profile_ext_id,
        "event_id": event_id,
    }


def account_of(message: pb.ChannelAccount) -> NewAccount:
    """The account that a request wants. Raises FieldInvalidError."""
    account = NewAccount(
        name=message.name,
        channel=message.channel,
        settings=dict(message.settings),
        credentials=Credentials(message.credentials),
        concurrent_send_count_max=message.concurrent_send_count_max
        or CONCURRENT_SEND_COUNT_DEFAULT,
    )
    found = Fields("account")
    check_account(found, account, channels=CHANNEL_NAMES)
    found.raise_as(FieldInvalidError)
    return account


def account_message(account: Account) -> pb.ChannelAccount:
    """An account as stored, without its secrets."""
    return pb.ChannelAccount(
        account_id=str(account.account_id),
        name=account.name,
        channel=account.channel,
        settings=account.settings,
        credentials_set=account.sealed.names if account.sealed else (),
        concurrent_send_count_max=account.concurrent_send_count_max,
        update_time=timestamp_of(account.updated_at),
    )


def receipt_of(request: pb.RecordReceiptRequest) -> ReceiptRequest:
    """A provider's request, not verified yet. Raises FieldInvalidError."""
    found = Fields()
    account_id = found.id("account_id", request.account_id, required=True)
    if not request.body:
        found.refuse("body", "is required")
    if len(request.body) > RECEIPT_BYTES_MAX:
        found.refuse(
            "body", f"takes {len(request.body)} bytes; at most {RECEIPT_BYTES_MAX} are allowed"
        )
    found.count("headers", len(request.headers), HEADER_COUNT_MAX)
    for index, header in enumerate(request.headers):
        found.text(
            f"headers[{index}].name", header.name, length_max=HEADER_LENGTH_MAX, required=True
        )
        found.text(f"headers[{index}].value", header.value, length_max=HEADER_LENGTH_MAX)
    if account_id is None or found.violations:
        raise FieldInvalidError(found.violations)
    return ReceiptRequest(
        account_id=account_id,
        body=request.body,
        headers={header.name.lower(): header.value for header in request.headers},
    )
