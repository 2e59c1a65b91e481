"""DispatchService on the wire: translation only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from leo.dispatch.v1 import dispatch_service_pb2 as pb
from leo.dispatch.v1.dispatch_service_pb2_grpc import DispatchServiceServicer
from libs.auth.caller import current_origin, current_tenant
from libs.fields.paging import token_of
from libs.postgres.batcher import Batcher
from libs.rpc.call import current_call
from services.dispatch import messages, usecases
from services.dispatch.domain.limits import RECEIPT_BATCH_COUNT_MAX

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    from services.dispatch.doorbell import Doorbell
    from services.dispatch.envelope import KeyRing
    from services.dispatch.store import DispatchStore

    Context: TypeAlias = ServicerContext[Any, Any]


class DispatchServicer(DispatchServiceServicer):
    """One method for each RPC of DispatchService."""

    def __init__(self, store: DispatchStore, key_ring: KeyRing, doorbell: Doorbell) -> None:
        self._store = store
        self._key_ring = key_ring
        self._doorbell = doorbell
        self._receipts = Batcher(
            partial(usecases.record_receipts, store, key_ring), count_max=RECEIPT_BATCH_COUNT_MAX
        )

    async def BatchDispatch(
        self, request: pb.BatchDispatchRequest, context: Context
    ) -> pb.BatchDispatchResponse:
        answers = await usecases.batch_dispatch(
            self._store, self._doorbell, current_tenant(), messages.decisions_of(request)
        )
        call_id = current_call().call_id
        return pb.BatchDispatchResponse(
            results=[
                messages.dispatch_result(decision_id, answer, call_id)
                for decision_id, answer in zip(request.decision_ids, answers, strict=True)
            ]
        )

    async def GetDelivery(
        self, request: pb.GetDeliveryRequest, context: Context
    ) -> pb.GetDeliveryResponse:
        delivery, attempts, receipts = await usecases.get_delivery(
            self._store, current_tenant(), messages.id_of("delivery_id", request.delivery_id)
        )
        return pb.GetDeliveryResponse(
            delivery=messages.delivery_message(delivery),
            attempts=[messages.attempt_message(attempt) for attempt in attempts],
            receipts=[messages.receipt_message(receipt) for receipt in receipts],
        )

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Context
    ) -> pb.ListDeliveriesResponse:
        deliveries, more = await usecases.list_deliveries(
            self._store, current_tenant(), **messages.list_of(request)
        )
        return pb.ListDeliveriesResponse(
            deliveries=[messages.delivery_message(delivery) for delivery in deliveries],
            next_page_token=token_of(str(deliveries[-1].delivery_id)) if more else "",
        )

    async def CreateTemplate(
        self, request: pb.CreateTemplateRequest, context: Context
    ) -> pb.CreateTemplateResponse:
        template = await usecases.create_template(
            self._store,
            current_tenant(),
            messages.template_of(request.template),
            current_origin(messages.request_key_of(request)),
        )
        return pb.CreateTemplateResponse(template=messages.template_message(template))

    async def RenderTemplate(
        self, request: pb.RenderTemplateRequest, context: Context
    ) -> pb.RenderTemplateResponse:
        data = await usecases.render_template(
            self._store, current_tenant(), **messages.render_of(request)
        )
        return pb.RenderTemplateResponse(data=data)

    async def SetChannelAccount(
        self, request: pb.SetChannelAccountRequest, context: Context
    ) -> pb.SetChannelAccountResponse:
        account = await usecases.set_channel_account(
            self._store,
            self._key_ring,
            current_tenant(),
            messages.account_of(request.account),
            current_origin(None),
        )
        return pb.SetChannelAccountResponse(account=messages.account_message(account))

    async def RecordReceipt(
        self, request: pb.RecordReceiptRequest, context: Context
    ) -> pb.RecordReceiptResponse:
        duplicate = await usecases.record_receipt(
            self._receipts, current_tenant(), messages.receipt_of(request)
        )
        return pb.RecordReceiptResponse(duplicate=duplicate)

    async def Suppress(self, request: pb.SuppressRequest, context: Context) -> pb.SuppressResponse:
        recipient, cause = messages.suppress_of(request)
        found = await usecases.suppress(
            self._store,
            self._key_ring,
            current_tenant(),
            recipient,
            cause=cause,
            origin=current_origin(messages.request_key_of(request)),
        )
        return pb.SuppressResponse(
            suppressions=[messages.suppression_message(each) for each in found]
        )

    async def Unsuppress(
        self, request: pb.UnsuppressRequest, context: Context
    ) -> pb.UnsuppressResponse:
        lifted = await usecases.unsuppress(
            self._store,
            self._key_ring,
            current_tenant(),
            messages.recipient_of(request.recipient),
            origin=current_origin(messages.request_key_of(request)),
        )
        return pb.UnsuppressResponse(
            suppressions=[messages.suppression_message(each) for each in lifted]
        )

    async def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: Context
    ) -> pb.ListSuppressionsResponse:
        found, more = await usecases.list_suppressions(
            self._store, self._key_ring, current_tenant(), **messages.suppressions_of(request)
        )
        return pb.ListSuppressionsResponse(
            suppressions=[messages.suppression_message(each) for each in found],
            next_page_token=token_of(str(found[-1].suppression_id)) if more else "",
        )
