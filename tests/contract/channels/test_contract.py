"""What holds for every channel, with the provider that it has."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from services.dispatch.channels import CHANNELS
from services.dispatch.domain.account import Credentials
from services.dispatch.domain.delivery import REACHED
from services.dispatch.errors import ReceiptRefusedError
from tests.contract.channels.rigs import CANARY, RIGS

if TYPE_CHECKING:
    from services.dispatch.channels.contract import Clients, Message, SendResult
    from tests.contract.channels.rigs import Rig
    from tests.contract.simulator.simulators import Received, Receiver, Simulator

PATIENCE = timedelta(seconds=20)
# For answers that never come.
SHORT = timedelta(seconds=0.5)


async def send(
    rig: Rig, clients: Clients, message: Message, timeout: timedelta = PATIENCE
) -> SendResult:
    return await rig.channel.send(message, rig.account, clients, timeout=timeout)


def witnessed(simulator: Simulator, reference: str) -> list[str]:
    """The provider's ids of what it accepted under a reference."""
    rows = simulator.witness()
    return [row["message_id"] for row in rows if row["reference"] == reference]


def lower(received: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in received.headers.items()}


def test_every_channel_is_tested_here() -> None:
    assert set(RIGS) == set(CHANNELS)


async def test_an_accepted_message_has_the_providers_id(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    message = rig.message()
    result = await send(rig, clients, message)
    assert (result.kind, result.provider_class) == ("accepted", "OK")
    assert witnessed(simulator, message.reference) == [result.provider_message_id]


async def test_a_refused_message_is_a_definite_no(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    await simulator.add_faults(rig.refusal)
    message = rig.message()
    result = await send(rig, clients, message)
    assert (result.kind, result.provider_class) == ("rejected", "P")
    assert result.code
    assert result.reason
    assert not witnessed(simulator, message.reference)


async def test_a_throttled_message_may_go_later(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    await simulator.add_faults({"kind": "throttled", "count_max": 1})
    message = rig.message()
    result = await send(rig, clients, message)
    assert (result.kind, result.provider_class) == ("retry_at", "RL")
    assert result.retry_at is not None
    assert not witnessed(simulator, message.reference)
    assert (await send(rig, clients, message)).kind == "accepted"


@pytest.mark.parametrize(
    "kind", ["reply_hung", "reply_slow", "reply_lost", "reply_truncated", "server_error_after"]
)
async def test_a_lost_answer_is_unknown_and_its_receipt_settles_it(
    rig: Rig, clients: Clients, simulator: Simulator, receiver: Receiver, kind: str
) -> None:
    delay = {"delay_seconds": 60} if kind == "reply_slow" else {}
    await simulator.add_faults({"kind": kind, **delay})
    timeout = SHORT if kind in {"reply_hung", "reply_slow"} else PATIENCE
    message = rig.told()
    result = await send(rig, clients, message, timeout)
    assert (result.kind, result.provider_class) == ("unknown", "AMB")
    assert not result.provider_message_id
    # It was sent once, whatever the connection did.
    (provider_message_id,) = witnessed(simulator, message.reference)
    if rig.channel.capabilities.echo_window is not None:
        received = await receiver.next()
        receipts = rig.channel.read_receipt(received.body, lower(received), rig.account)
        # Some of them proves it, in the words of services/dispatch/machine/queries.sql.
        assert {receipt.kind for receipt in receipts} & set(REACHED)
        for receipt in receipts:
            assert receipt.delivery_id == UUID(message.reference)
            assert receipt.provider_message_id == provider_message_id


async def test_an_error_of_the_providers_server_is_no_acceptance(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    await simulator.add_faults({"kind": "server_error_before"})
    message = rig.message()
    result = await send(rig, clients, message)
    assert (result.kind, result.provider_class) == rig.server_error
    assert not witnessed(simulator, message.reference)


async def test_a_provider_that_is_away_was_sent_nothing(rig: Rig, clients: Clients) -> None:
    result = await rig.channel.send(rig.message(), rig.away(), clients, timeout=PATIENCE)
    assert (result.kind, result.code) == ("retry_at", "not_sent_connect")
    assert not result.pauses_account


async def test_the_same_message_again_is_a_second_one_without_a_key(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    message = rig.message()
    results = [await send(rig, clients, message) for _ in range(2)]
    assert [result.kind for result in results] == ["accepted", "accepted"]
    repeated = rig.channel.capabilities.idempotency is None
    assert len(witnessed(simulator, message.reference)) == (2 if repeated else 1)


async def test_messages_go_side_by_side(rig: Rig, clients: Clients, simulator: Simulator) -> None:
    messages = [rig.message() for _ in range(50)]
    results = await asyncio.gather(*(send(rig, clients, message) for message in messages))
    for message, result in zip(messages, results, strict=True):
        assert witnessed(simulator, message.reference) == [result.provider_message_id]


async def test_a_cancelled_call_is_cancelled(
    rig: Rig, clients: Clients, simulator: Simulator
) -> None:
    await simulator.add_faults({"kind": "reply_hung", "count_max": 1})
    message = rig.message()
    sending = asyncio.create_task(send(rig, clients, message))
    await simulator.wait_for_state(
        lambda state: state["providers"][rig.channel.name]["accepted"] == 1
    )
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await send(rig, clients, rig.message())).kind == "accepted"


async def test_a_receipt_is_read_with_its_own_accounts_secret_alone(
    rig: Rig, clients: Clients, simulator: Simulator, receiver: Receiver
) -> None:
    message = rig.told()
    result = await send(rig, clients, message)
    received = await receiver.next()
    headers = lower(received)
    *_, receipt = rig.channel.read_receipt(received.body, headers, rig.account)
    assert (receipt.kind, receipt.delivery_id) == (rig.told_kind, UUID(message.reference))
    assert receipt.provider_message_id == result.provider_message_id
    assert receipt.occurred_at is not None
    assert abs(receipt.occurred_at - received.received_at) < timedelta(minutes=1)
    other = await RIGS[rig.channel.name](simulator, "")
    with pytest.raises(ReceiptRefusedError):
        rig.channel.read_receipt(received.body, headers, other.account)
    with pytest.raises(ReceiptRefusedError):
        rig.channel.read_receipt(*rig.forged(received.body, headers), rig.account)


async def test_nothing_secret_or_personal_is_told(
    rig: Rig,
    clients: Clients,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = replace(
        rig.account, credentials=Credentials(dict.fromkeys(rig.account.credentials, "canary-wrong"))
    )
    told = [repr(rig.account), str(rig.account), repr(rig.message()), repr(clients)]
    with caplog.at_level(logging.DEBUG):
        for kind, timeout in (
            ("throttled", PATIENCE),
            ("reply_lost", PATIENCE),
            ("reply_truncated", PATIENCE),
            ("reply_hung", SHORT),
        ):
            await simulator.add_faults({"kind": kind, "count_max": 1})
            told.append(repr(await send(rig, clients, rig.message(), timeout)))
        await simulator.add_faults(rig.refusal)
        told.append(repr(await send(rig, clients, rig.message())))
        told.append(repr(await rig.channel.send(rig.message(), wrong, clients, timeout=PATIENCE)))
        with pytest.raises(ReceiptRefusedError) as refused:
            rig.channel.read_receipt(b'{"timestamp":"1"}', {"x": CANARY}, rig.account)
        told.append(repr(refused.value))
    printed = capfd.readouterr()
    for text in (*told, caplog.text, printed.out, printed.err):
        for secret in (CANARY, *rig.personal):
            assert secret not in text
