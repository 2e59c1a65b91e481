from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from libs.simulator.providers.zalo_template.accounts import ZaloAccount
from libs.simulator.providers.zalo_template.receipts import sign_event
from tests.contract.simulator.simulators import (
    PHONE,
    PROVIDER,
    OfficialAccount,
    Receiver,
    Simulator,
    running_receiver,
)

if TYPE_CHECKING:
    from typing import Any

    from aiohttp import web


async def with_webhook(
    simulator: Simulator, receiver: Receiver, *faults: dict[str, Any]
) -> OfficialAccount:
    oa = await simulator.set_account(OfficialAccount(webhook_url=receiver.url))
    if faults:
        await simulator.add_faults(*faults)
    return oa


def test_the_signature_is_zalos() -> None:
    account = ZaloAccount.model_validate(
        {"app_id": "1001", "access_token": "token", "oa_secret_key": "oasecret"}
    )
    body, headers = sign_event(
        account,
        {
            "event_name": "user_received_message",
            "app_id": "1001",
            "sender": {"id": "2002"},
            "recipient": {"id": "84901234567"},
            "message": {
                "msg_id": "m1",
                "tracking_id": "ord-1",
                "delivery_time": "1700000000100",
            },
            "timestamp": "1700000000123",
        },
    )
    assert len(body) == 218
    assert headers["X-ZEvent-Signature"] == (
        "mac=a04c8c84b8bf9ee7f803a867a1e41365bb05fe08a0e1d60de9202f2182238770"
    )


async def test_an_accepted_message_is_told_to_its_webhook(
    simulator: Simulator, receiver: Receiver
) -> None:
    oa = await with_webhook(simulator, receiver)
    response = await simulator.send(oa, tracking_id="ord-88213", phone="0901234567")
    received = await receiver.next()
    assert received.is_signed_by(oa)
    assert received.headers["X-ZEvent-Server"] == "ZNS"
    assert received.headers["Content-Type"] == "application/json"
    event = received.event
    assert list(event) == [
        "event_name",
        "app_id",
        "sender",
        "recipient",
        "message",
        "timestamp",
    ]
    timestamp = event.pop("timestamp")
    assert isinstance(timestamp, str)
    assert abs(received.received_at - to_datetime(timestamp)) < timedelta(minutes=1)
    assert event == {
        "event_name": "user_received_message",
        "app_id": oa.app_id,
        "sender": {"id": oa.account_id},
        "recipient": {"id": PHONE},
        "message": {
            "msg_id": response.json()["data"]["msg_id"],
            "tracking_id": "ord-88213",
            "delivery_time": timestamp,
        },
    }


def to_datetime(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


async def test_a_refused_message_has_no_receipt(simulator: Simulator, receiver: Receiver) -> None:
    oa = await with_webhook(simulator, receiver)
    await simulator.send(oa, phone="1", tracking_id="refused")
    await simulator.send(oa, tracking_id="accepted")
    assert (await receiver.next()).reference == "accepted"
    state = await simulator.wait_for_state(lambda state: not state["webhooks"]["waiting"])
    assert state["webhooks"]["delivered"] == 1


async def test_what_is_not_answered_with_200_is_tried_again(
    simulator: Simulator, receiver: Receiver
) -> None:
    oa = await with_webhook(simulator, receiver)
    receiver.answer_with(500, 302, 204)
    await simulator.send(oa)
    tries = [await receiver.next() for _ in range(4)]
    assert [received.event.pop("num_retry", None) for received in tries] == [None, 1, 2, 3]
    assert all(received.is_signed_by(oa) for received in tries)
    assert len({received.reference for received in tries}) == 1
    state = await simulator.wait_for_state(lambda state: not state["webhooks"]["waiting"])
    assert state["webhooks"] == {"waiting": 0, "failed_tries": 3, "delivered": 1}


async def test_an_answer_after_two_seconds_is_too_late(
    simulator: Simulator, receiver: Receiver
) -> None:
    oa = await with_webhook(simulator, receiver)

    async def never() -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    receiver.answers.append(never)
    await simulator.send(oa)
    first, second = [await receiver.next() for _ in range(2)]
    assert second.event["num_retry"] == 1
    assert second.received_at - first.received_at > timedelta(seconds=1.9)


async def test_a_receiver_that_is_away_gets_it_when_it_is_back(
    simulator: Simulator, receiver: Receiver
) -> None:
    oa = OfficialAccount(webhook_url="http://127.0.0.1:1/nobody")
    await simulator.set_account(oa)
    await simulator.send(oa)
    state = await simulator.wait_for_state(lambda state: "given_up" in state["webhooks"])
    assert state["webhooks"] == {"waiting": 0, "failed_tries": 6, "given_up": 1}


async def test_receipts_can_be_repeated(simulator: Simulator, receiver: Receiver) -> None:
    oa = await with_webhook(simulator, receiver, {"kind": "receipt_duplicated"})
    await simulator.send(oa)
    first, second = [await receiver.next() for _ in range(2)]
    assert first.body == second.body
    state = await simulator.wait_for_state(lambda state: not state["webhooks"]["waiting"])
    assert state["webhooks"]["delivered"] == 2
    assert state["providers"][PROVIDER]["accepted"] == 1


async def test_receipts_can_be_dropped(simulator: Simulator, receiver: Receiver) -> None:
    oa = await with_webhook(simulator, receiver, {"kind": "receipt_dropped", "count_max": 1})
    await simulator.send(oa, tracking_id="dropped")
    await simulator.send(oa, tracking_id="told")
    assert (await receiver.next()).reference == "told"
    state = await simulator.wait_for_state(lambda state: not state["webhooks"]["waiting"])
    assert state["webhooks"] == {"waiting": 0, "dropped": 1, "delivered": 1}


async def test_receipts_can_be_late(simulator: Simulator, receiver: Receiver) -> None:
    fault = {"kind": "receipt_delayed", "delay_seconds": 0.3}
    oa = await with_webhook(simulator, receiver, fault)
    await simulator.send(oa)
    received = await receiver.next()
    delay = received.received_at - to_datetime(received.event["timestamp"])
    assert delay >= timedelta(seconds=0.3)


async def test_receipts_can_overtake_each_other(simulator: Simulator, receiver: Receiver) -> None:
    fault = {"kind": "receipt_reordered", "count_max": 1, "delay_seconds": 3600}
    oa = await with_webhook(simulator, receiver, fault)
    await simulator.send(oa, tracking_id="first")
    await simulator.send(oa, tracking_id="second")
    assert [(await receiver.next()).reference for _ in range(2)] == ["second", "first"]


async def test_a_receipt_that_was_overtaken_comes_once(
    simulator: Simulator, receiver: Receiver
) -> None:
    oa = await with_webhook(
        simulator,
        receiver,
        {"kind": "receipt_reordered", "count_max": 1, "delay_seconds": 0.05},
        {"kind": "receipt_delayed", "every": 2, "delay_seconds": 0.3},
    )
    for reference in ("first", "second", "late"):
        await simulator.send(oa, tracking_id=reference)
    received = [(await receiver.next()).reference for _ in range(3)]
    assert sorted(received[:2]) == ["first", "second"]
    assert received[2] == "late"


async def test_a_receipt_that_nothing_overtakes_comes_all_the_same(
    simulator: Simulator, receiver: Receiver
) -> None:
    fault = {"kind": "receipt_reordered", "delay_seconds": 0.05}
    oa = await with_webhook(simulator, receiver, fault)
    await simulator.send(oa, tracking_id="alone")
    assert (await receiver.next()).reference == "alone"


async def test_a_reset_forgets_the_receipts_that_wait(simulator: Simulator) -> None:
    async with running_receiver() as receiver:
        oa = await with_webhook(
            simulator, receiver, {"kind": "receipt_delayed", "delay_seconds": 0.2, "count_max": 1}
        )
        await simulator.send(oa, tracking_id="forgotten")
        await simulator.admin("POST", "reset")
        oa = await with_webhook(
            simulator, receiver, {"kind": "receipt_delayed", "delay_seconds": 0.3}
        )
        await simulator.send(oa, tracking_id="remembered")
        assert (await receiver.next()).reference == "remembered"


@pytest.mark.parametrize("kind", ["reply_lost", "server_error_after", "reply_truncated"])
async def test_a_receipt_comes_although_the_answer_did_not(
    simulator: Simulator, receiver: Receiver, kind: str
) -> None:
    oa = await with_webhook(simulator, receiver, {"kind": kind})
    sending = asyncio.create_task(simulator.send(oa, tracking_id="doubtful"))
    assert (await receiver.next()).reference == "doubtful"
    await asyncio.wait([sending])
    assert sending.done()
    sending.exception()
