"""The RPCs of DispatchService."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from leo.dispatch.v1.dispatch_service_pb2 import (
    BatchDispatchRequest,
    ChannelAccount,
    CreateTemplateRequest,
    Delivery,
    DispatchResult,
    GetDeliveryRequest,
    GetDeliveryResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListSuppressionsRequest,
    ListSuppressionsResponse,
    Recipient,
    RenderTemplateRequest,
    SetChannelAccountRequest,
    Suppression,
    SuppressRequest,
    Template,
    UnsuppressRequest,
)
from leo.dispatch.v1.dispatch_service_pb2_grpc import DispatchServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    import grpc

    from leo_sdk.calls import Calls


class DispatchClient:
    """Templates, channel accounts, deliveries and suppressions: `LeoClient.dispatch`."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._calls = calls
        self._stub = DispatchServiceStub(channel)

    async def batch_dispatch(
        self, decision_ids: Sequence[str], *, timeout: timedelta | None = None
    ) -> list[DispatchResult]:
        """Make the deliveries of 1 to 500 decisions that act; one result each, in their order."""
        request = BatchDispatchRequest(decision_ids=decision_ids)
        response = await self._calls.unary(self._stub.BatchDispatch, request, timeout)
        return list(response.results)

    async def get_delivery(
        self, delivery_id: str, *, timeout: timedelta | None = None
    ) -> GetDeliveryResponse:
        """One delivery with its attempts and receipts.

        Raises:
            MissingError: DELIVERY_MISSING.
        """
        request = GetDeliveryRequest(delivery_id=delivery_id)
        return await self._calls.unary(self._stub.GetDelivery, request, timeout)

    async def list_deliveries(
        self,
        *,
        state: Delivery.State.ValueType = Delivery.STATE_UNSPECIFIED,
        profile_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListDeliveriesResponse:
        """A page of the tenant's deliveries, the newest first.

        Args:
            state: in this state only.
            profile_id: to this person only.
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListDeliveriesRequest(
            state=state, profile_id=profile_id, page_size=page_size, page_token=page_token
        )
        return await self._calls.unary(self._stub.ListDeliveries, request, timeout)

    async def create_template(
        self,
        template: Template,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Template:
        """Check and store a message template; the template as stored.

        Args:
            request_id: UUID4. Give one if you may repeat the call yourself: a repeat returns the
                first answer. The client's own tries share one in any case.

        Raises:
            InvalidError: FIELD_INVALID, TEMPLATE_INVALID, or REQUEST_ID_REUSED with another body.
            ExistsError: TEMPLATE_EXISTS, the name is taken.
        """
        request = CreateTemplateRequest(template=template, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.CreateTemplate, request, timeout)
        return response.template

    async def render_template(
        self,
        template_id: str,
        profile_ext_id: str,
        *,
        event_id: str = "",
        timeout: timedelta | None = None,
    ) -> dict[str, str]:
        """What a person would get, as texts by name; nothing is sent.

        Args:
            event_id: an event whose values the template needs.

        Raises:
            MissingError: TEMPLATE_MISSING, PROFILE_MISSING or EVENT_MISSING.
            StateError: VALUE_MISSING or VALUE_UNUSABLE, the person would get nothing.
        """
        request = RenderTemplateRequest(
            template_id=template_id, profile_ext_id=profile_ext_id, event_id=event_id
        )
        response = await self._calls.unary(self._stub.RenderTemplate, request, timeout)
        return dict(response.data)

    async def set_channel_account(
        self, account: ChannelAccount, *, timeout: timedelta | None = None
    ) -> ChannelAccount:
        """Store an account at a provider by its name; the account without its secrets."""
        request = SetChannelAccountRequest(account=account)
        response = await self._calls.unary(self._stub.SetChannelAccount, request, timeout)
        return response.account

    async def suppress(
        self,
        recipient: Recipient,
        *,
        cause: Suppression.Cause.ValueType = Suppression.CAUSE_UNSPECIFIED,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> list[Suppression]:
        """Let nothing more be sent to an address, or to a person's; all that is in force there.

        Args:
            recipient: an address, or all that its channel could reach a person at now.
            cause: why; CAUSE_REQUESTED if unspecified.
            request_id: UUID4. Give one if you may repeat the call yourself: a repeat changes
                nothing, also after unsuppress. The client's own tries share one in any case.

        Raises:
            MissingError: PROFILE_MISSING.
            StateError: ADDRESS_MISSING, the person has none for the channel.
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
        """
        request = SuppressRequest(
            recipient=recipient, cause=cause, request_id=request_id or str(uuid4())
        )
        response = await self._calls.unary(self._stub.Suppress, request, timeout)
        return list(response.suppressions)

    async def unsuppress(
        self,
        recipient: Recipient,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> list[Suppression]:
        """Lift what is in force; what was lifted, which may be nothing.

        Args:
            recipient: as in suppress.
            request_id: as in suppress.

        Raises:
            MissingError: PROFILE_MISSING.
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
        """
        request = UnsuppressRequest(recipient=recipient, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.Unsuppress, request, timeout)
        return list(response.suppressions)

    async def list_suppressions(
        self,
        *,
        recipient: Recipient | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListSuppressionsResponse:
        """A page of what is in force, the newest first; addresses are not told.

        Args:
            recipient: of these addresses only.
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.

        Raises:
            MissingError: PROFILE_MISSING.
        """
        request = ListSuppressionsRequest(
            recipient=recipient, page_size=page_size, page_token=page_token
        )
        return await self._calls.unary(self._stub.ListSuppressions, request, timeout)
