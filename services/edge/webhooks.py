"""What providers say later, handed to dispatch byte for byte; the answer tells them nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Request, Response

from leo.dispatch.v1 import dispatch_service_pb2 as pb
from leo.dispatch.v1.dispatch_service_pb2_grpc import DispatchServiceStub
from leo_sdk import InvalidError, LeoRpcError, MissingError
from services.edge.body import read_body
from services.edge.errors import BodyTooLargeError

if TYPE_CHECKING:
    from datetime import timedelta

    from libs.relay import InternalChannel
    from services.edge.settings import EdgeSettings

# The headers of each provider that a signature needs; no other one is handed on.
SIGNATURE_HEADERS: Final = {
    # Our own mail server's word for whom a report was for.
    "email": ("x-original-to",),
    "zalo": ("x-zevent-signature", "x-zevent-server"),
}

OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
CONTENT_TOO_LARGE: Final = 413
UNAVAILABLE: Final = 503

log = structlog.get_logger(__name__)


class Dispatch:
    """The dispatch service, called in the edge's own name."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._stub = DispatchServiceStub(channel.channel)

    async def record_receipt(
        self, request: pb.RecordReceiptRequest, tenant_id: UUID, timeout: timedelta
    ) -> None:
        """Have a receipt verified and stored.

        Raises:
            LeoRpcError: it was refused, or dispatch is away.
        """
        await self._channel.call(
            self._stub.RecordReceipt, request, tenant_id=tenant_id, timeout=timeout
        )


def webhook_routes(settings: EdgeSettings) -> APIRouter:
    """The addresses that providers call; `application.state.dispatch` must be a Dispatch."""
    router = APIRouter()

    @router.post("/webhooks/{provider}/{tenant_id}/{account_id}")
    async def receive(request: Request, provider: str, tenant_id: str, account_id: str) -> Response:
        headers = SIGNATURE_HEADERS.get(provider)
        tenant = _uuid(tenant_id)
        if headers is None or tenant is None or _uuid(account_id) is None:
            return Response(status_code=NOT_FOUND)
        try:
            body = await read_body(request, settings.body_bytes_max)
        except BodyTooLargeError:
            return Response(status_code=CONTENT_TOO_LARGE)
        receipt = pb.RecordReceiptRequest(
            account_id=account_id,
            body=body,
            headers=[
                pb.Header(name=name, value=value)
                for name in headers
                for value in request.headers.getlist(name)
            ],
        )
        dispatch: Dispatch = request.app.state.dispatch
        try:
            await dispatch.record_receipt(receipt, tenant, settings.webhook_timeout)
        except LeoRpcError as error:
            status = _status_of(error)
            if status == UNAVAILABLE:
                log.warning(
                    "webhook not taken", provider=provider, reason=error.reason or error.code.name
                )
            return Response(status_code=status)
        return Response(status_code=OK)

    return router


def _status_of(error: LeoRpcError) -> int:
    """What the provider is told: whether to try again, and nothing about why."""
    if isinstance(error, InvalidError):
        forged = error.reason == "RECEIPT_REFUSED" and error.metadata.get("problem") == "signature"
        return UNAUTHORIZED if forged else BAD_REQUEST
    if isinstance(error, MissingError) or error.reason in {
        "TENANT_MISSING",
        "TENANT_REMOVED",
    }:
        return NOT_FOUND
    # Whatever else it is, it is ours, and may be over when the provider tries again.
    return UNAVAILABLE


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
