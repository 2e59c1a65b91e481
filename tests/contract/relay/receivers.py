"""Decision and Dispatch as real servers, which record what they are handed and do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from leo.decision.v1 import decision_service_pb2 as decision
from leo.decision.v1.decision_service_pb2_grpc import (
    DecisionServiceServicer,
    add_DecisionServiceServicer_to_server,
)
from leo.dispatch.v1 import dispatch_service_pb2 as dispatch
from leo.dispatch.v1.dispatch_service_pb2_grpc import (
    DispatchServiceServicer,
    add_DispatchServiceServicer_to_server,
)
from libs.auth.caller import current_caller, current_tenant
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from tests.contract.issuers import jwks_url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Store: TypeAlias = Callable[[UUID, Sequence[UUID]], Awaitable[None]]


@dataclass
class Receiver:
    """The other side of a hop.

    Attributes:
        store: writes what makes an item no longer missing.
        calls: what was handed over, batch by batch.
        clients: who handed it over.
        poisonous: a batch with one of these fails as a whole.
        refused: these alone are refused.
        error: raised by each call, before anything else.
        gate: a call waits for it; open unless a test closes it.
        called: set by each call.
    """

    store: Store
    calls: list[tuple[UUID, list[UUID]]] = field(default_factory=list)
    clients: set[str] = field(default_factory=set)
    poisonous: set[UUID] = field(default_factory=set)
    refused: set[UUID] = field(default_factory=set)
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def received(self) -> list[UUID]:
        """Every item of every call."""
        return [item_id for _, ids in self.calls for item_id in ids]

    async def take(self, texts: Sequence[str]) -> list[Status | None]:
        """Take one batch; the error of each item, or None."""
        tenant_id, ids = current_tenant(), [UUID(text) for text in texts]
        self.calls.append((tenant_id, ids))
        self.clients.add(current_caller().client_id)
        self.called.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.poisonous.intersection(ids):
            raise RuntimeError("a defect of the receiver")
        await self.store(tenant_id, [item_id for item_id in ids if item_id not in self.refused])
        return [_refusal() if item_id in self.refused else None for item_id in ids]


# Of each service one RPC is called; the generated classes call for all of them.
class _Decision(DecisionServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def BatchActivate(self, request: Any, _context: Any) -> Any:  # noqa: N802
        errors = await self._receiver.take(request.event_ids)
        return decision.BatchActivateResponse(
            results=[
                decision.ActivationResult(event_id=event_id, error=error)
                for event_id, error in zip(request.event_ids, errors, strict=True)
            ]
        )


class _Dispatch(DispatchServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def BatchDispatch(self, request: Any, _context: Any) -> Any:  # noqa: N802
        errors = await self._receiver.take(request.decision_ids)
        return dispatch.BatchDispatchResponse(
            results=[
                dispatch.DispatchResult(decision_id=decision_id, error=error)
                for decision_id, error in zip(request.decision_ids, errors, strict=True)
            ]
        )


@asynccontextmanager
async def receiving(
    receiver: Receiver, realm: str, address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """Serve both services behind the door that they have; gives the address."""
    descriptors = [
        decision.DESCRIPTOR.services_by_name["DecisionService"],
        dispatch.DESCRIPTOR.services_by_name["DispatchService"],
    ]
    registrations = [
        Registration(
            descriptors[0],
            partial(add_DecisionServiceServicer_to_server, _Decision(receiver)),  # type: ignore[abstract]
        ),
        Registration(
            descriptors[1],
            partial(add_DispatchServiceServicer_to_server, _Dispatch(receiver)),  # type: ignore[abstract]
        ),
    ]
    settings = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
    async with TokenVerifier(settings) as verifier:
        server = build_server(
            registrations,
            interceptors=[AuthInterceptor(verifier, descriptors)],
            settings=ServerSettings(),
        )
        async with serving(server, address, ready=verifier.ready) as bound:
            yield bound


def _refusal() -> Status:
    status = Status(code=5, message="there is none")
    status.details.add().Pack(ErrorInfo(reason="THING_MISSING", domain="test.leo"))
    return status
