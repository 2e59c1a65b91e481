"""The calls by which a hop hands over a batch; each may be repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from leo.decision.v1 import decision_service_pb2 as decision
from leo.decision.v1.decision_service_pb2_grpc import DecisionServiceStub
from leo.dispatch.v1 import dispatch_service_pb2 as dispatch
from leo.dispatch.v1.dispatch_service_pb2_grpc import DispatchServiceStub
from leo_sdk import error_of_status

if TYPE_CHECKING:
    from libs.relay.channel import InternalChannel

BATCH_COUNT_MAX: Final = 500

# Hands over some ids of one tenant, BATCH_COUNT_MAX at most; gives those that the receiver refused,
# each with the reason. Raises LeoRpcError where the call fails as a whole.
Handover: TypeAlias = Callable[[UUID, Sequence[UUID]], Awaitable[Mapping[UUID, str]]]


def activation(channel: InternalChannel) -> Handover:
    """Hands ids of events to decision."""
    stub = DecisionServiceStub(channel.channel)

    async def hand_over(tenant_id: UUID, event_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        request = decision.BatchActivateRequest(event_ids=map(str, event_ids))
        response = await channel.call(stub.BatchActivate, request, tenant_id=tenant_id)
        return _refused(event_ids, response.results)

    return hand_over


def dispatching(channel: InternalChannel) -> Handover:
    """Hands ids of acting decisions to dispatch."""
    stub = DispatchServiceStub(channel.channel)

    async def hand_over(tenant_id: UUID, decision_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        request = dispatch.BatchDispatchRequest(decision_ids=map(str, decision_ids))
        response = await channel.call(stub.BatchDispatch, request, tenant_id=tenant_id)
        return _refused(decision_ids, response.results)

    return hand_over


def _refused(ids: Sequence[UUID], results: Sequence[Any]) -> dict[UUID, str]:
    return {
        item_id: error_of_status(result.error).reason or "UNKNOWN"
        for item_id, result in zip(ids, results, strict=True)
        if result.HasField("error")
    }
