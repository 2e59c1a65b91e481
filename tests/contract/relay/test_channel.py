"""Our services call each other by names of their own, for a tenant that they name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from leo.decision.v1.decision_service_pb2 import BatchActivateRequest
from leo.decision.v1.decision_service_pb2_grpc import DecisionServiceStub
from leo_sdk import InternalError, StateError, UnauthenticatedError, UnavailableError
from libs.auth.errors import TokenInvalidError
from libs.postgres.errors import TenantMissingError
from libs.relay import InternalChannel, InternalSettings, activation
from tests.contract.auth.processes import free_address
from tests.contract.relay.receivers import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


async def store_nothing(_tenant_id: UUID, _ids: Sequence[UUID]) -> None:
    """Take everything."""


async def call(channel: InternalChannel, tenant_id: UUID) -> Any:
    stub = DecisionServiceStub(channel.channel)
    request = BatchActivateRequest(event_ids=[str(uuid4())])
    return await channel.call(stub.BatchActivate, request, tenant_id=tenant_id)


async def test_a_call_names_its_service_and_its_tenant(
    realm: str, internal: InternalSettings
) -> None:
    receiver = Receiver(store_nothing)
    first, second = uuid4(), uuid4()
    async with (
        receiving(receiver, realm) as address,
        InternalChannel(address, internal) as channel,
    ):
        await asyncio.gather(call(channel, first), call(channel, second))
    assert {tenant_id for tenant_id, _ in receiver.calls} == {first, second}
    assert receiver.clients == {internal.client_id}


async def test_a_refused_token_is_renewed_once(realm: str, internal: InternalSettings) -> None:
    receiver = Receiver(store_nothing, error=TokenInvalidError("expired", "it is over"))
    async with (
        receiving(receiver, realm) as address,
        InternalChannel(address, internal) as channel,
    ):
        with pytest.raises(UnauthenticatedError):
            await call(channel, uuid4())
    assert len(receiver.calls) == 2


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(TenantMissingError(uuid4()), StateError), (RuntimeError("a secret"), InternalError)],
)
async def test_a_failure_is_raised_as_its_kind_and_not_tried_again(
    realm: str, internal: InternalSettings, raised: Exception, kind: type[Exception]
) -> None:
    receiver = Receiver(store_nothing, error=raised)
    async with (
        receiving(receiver, realm) as address,
        InternalChannel(address, internal) as channel,
    ):
        with pytest.raises(kind) as caught:
            await call(channel, uuid4())
    assert "a secret" not in str(caught.value)
    assert len(receiver.calls) == 1


async def test_nobody_at_the_address_is_told_at_once(internal: InternalSettings) -> None:
    async with InternalChannel(free_address(), internal) as channel:
        with pytest.raises(UnavailableError):
            await call(channel, uuid4())


async def test_a_wrong_secret_is_told_and_never_shown(internal: InternalSettings) -> None:
    wrong = internal.model_copy(update={"client_secret": SecretStr("wrong")})
    async with InternalChannel(free_address(), wrong) as channel:
        with pytest.raises(UnauthenticatedError) as caught:
            await call(channel, uuid4())
    assert caught.value.reason == "TOKEN_REFUSED"
    assert "wrong" not in repr(wrong)


async def test_a_refused_item_comes_back_with_its_reason(
    realm: str, internal: InternalSettings
) -> None:
    refused, good = uuid4(), uuid4()
    receiver = Receiver(store_nothing, refused={refused})
    async with (
        receiving(receiver, realm) as address,
        InternalChannel(address, internal) as channel,
    ):
        answer = await activation(channel)(uuid4(), [good, refused])
    assert answer == {refused: "THING_MISSING"}
