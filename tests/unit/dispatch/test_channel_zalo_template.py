from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import orjson
import pytest

from libs.http.client import HttpResponse
from services.dispatch.channels.contract import Account, ProviderClass, ReceivedReceipt
from services.dispatch.channels.zalo_template import (
    CHANNEL,
    CLASSES,
    REASONS,
    result_of,
    retry_time,
)
from services.dispatch.domain.account import Credentials
from services.dispatch.errors import ReceiptRefusedError

NOW = datetime(2026, 11, 25, 9, 30, 15, tzinfo=UTC)
DELIVERY_ID = UUID("019ab8a2-7c1e-7000-8000-000000000001")
ACCOUNT = Account(
    settings={"app_id": "1001", "base_url": "https://business.openapi.zalo.me"},
    credentials=Credentials({"access_token": "a-token", "oa_secret_key": "oasecret"}),
)
# The published example, byte for byte.
VECTOR = (
    b'{"event_name":"user_received_message","app_id":"1001","sender":{"id":"2002"},'
    b'"recipient":{"id":"84901234567"},"message":{"msg_id":"m1","tracking_id":"ord-1",'
    b'"delivery_time":"1700000000100"},"timestamp":"1700000000123"}'
)
VECTOR_MAC = "a04c8c84b8bf9ee7f803a867a1e41365bb05fe08a0e1d60de9202f2182238770"
RECEIPT_HEADERS = {"x-zevent-server": "ZNS"}


def answer(status: int = 200, body: bytes | None = None, **document: Any) -> HttpResponse:
    return HttpResponse(status, orjson.dumps(document) if body is None else body)


def signed(event: dict[str, Any], **headers: str) -> tuple[bytes, dict[str, str]]:
    body = orjson.dumps(event)
    text = b"1001" + body + str(event.get("timestamp")).encode() + b"oasecret"
    mac = hashlib.sha256(text).hexdigest()
    return body, {**RECEIPT_HEADERS, "x-zevent-signature": f"mac={mac}", **headers}


def event(**changes: Any) -> dict[str, Any]:
    message = {
        "msg_id": "m1",
        "tracking_id": str(DELIVERY_ID),
        "delivery_time": "1700000000100",
    }
    document = {
        "event_name": "user_received_message",
        "message": message,
        "timestamp": "1700000000123",
    }
    return document | changes


def read(event: dict[str, Any], **headers: str) -> ReceivedReceipt:
    (receipt,) = CHANNEL.read_receipt(*signed(event, **headers), ACCOUNT)
    return receipt


@pytest.mark.parametrize("prefix", ["mac=", ""])
def test_the_published_signature_is_good(prefix: str) -> None:
    assert len(VECTOR) == 218
    headers = {**RECEIPT_HEADERS, "x-zevent-signature": prefix + VECTOR_MAC}
    assert CHANNEL.read_receipt(VECTOR, headers, ACCOUNT) == [
        ReceivedReceipt(
            kind="delivered",
            delivery_id=None,
            provider_message_id="m1",
            occurred_at=datetime(2023, 11, 14, 22, 13, 20, 100_000, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize(
    "mac", ["", "mac=", VECTOR_MAC[:-1], VECTOR_MAC + "0", "mac=" + "0" * 64, "chữ ký"]
)
def test_another_signature_is_not(mac: str) -> None:
    with pytest.raises(ReceiptRefusedError) as refused:
        CHANNEL.read_receipt(VECTOR, {**RECEIPT_HEADERS, "x-zevent-signature": mac}, ACCOUNT)
    assert refused.value.metadata == {"problem": "signature"}


@pytest.mark.parametrize("position", range(0, 218, 7))
def test_no_byte_can_change(position: int) -> None:
    changed = bytearray(VECTOR)
    changed[position] ^= 1
    with pytest.raises(ReceiptRefusedError):
        CHANNEL.read_receipt(
            bytes(changed), {**RECEIPT_HEADERS, "x-zevent-signature": VECTOR_MAC}, ACCOUNT
        )


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff{", b"[]", b"[" * 10_000, b"{}", b'{"timestamp":1700000000123}'],
)
def test_what_tells_no_time_cannot_be_verified(body: bytes) -> None:
    with pytest.raises(ReceiptRefusedError) as refused:
        CHANNEL.read_receipt(body, {"x-zevent-signature": VECTOR_MAC}, ACCOUNT)
    assert refused.value.metadata == {"problem": "unreadable"}


@pytest.mark.parametrize("timestamp", ["", "x", "-1", "1e9", "٣", "9" * 15, None, 1, ["1"]])
def test_a_time_that_is_none_is_unreadable_although_it_is_signed(timestamp: Any) -> None:
    with pytest.raises(ReceiptRefusedError) as refused:
        CHANNEL.read_receipt(*signed(event(timestamp=timestamp)), ACCOUNT)
    assert refused.value.metadata == {"problem": "unreadable"}


def test_a_receipt_names_its_delivery() -> None:
    receipt = read(event())
    assert (receipt.kind, receipt.delivery_id) == ("delivered", DELIVERY_ID)


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({}, {"x-zevent-server": "OA"}),
        ({"event_name": "user_seen_message"}, {}),
        ({"event_name": "follow", "message": None}, {}),
        ({"message": "text"}, {}),
    ],
)
def test_what_is_no_receipt_of_a_template_says_nothing_of_a_delivery(
    changes: dict[str, Any], headers: dict[str, str]
) -> None:
    receipt = read(event(**changes), **headers)
    assert (receipt.kind, receipt.delivery_id) == ("other", None)
    assert receipt.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, 7, "", "a\x00b", "9" * 129, ["m1"]])
def test_a_receipt_may_lack_or_garble_everything(value: Any) -> None:
    message = {"msg_id": value, "tracking_id": value, "delivery_time": f"{value}!"}
    assert read(event(message=message)) == ReceivedReceipt(
        kind="delivered", delivery_id=None, provider_message_id="", occurred_at=None
    )


def test_success_with_an_id_is_an_acceptance() -> None:
    result = result_of(answer(error=0, message="Success", data={"msg_id": "a4d0"}), NOW)
    assert (result.kind, result.provider_class, result.code) == ("accepted", "OK", "0")
    assert result.provider_message_id == "a4d0"


@pytest.mark.parametrize("code", sorted(CLASSES))
def test_each_code_is_a_definite_no(code: int) -> None:
    result = result_of(answer(error=code, message="84901234567 no"), NOW)
    assert result.code == str(code)
    assert result.provider_class == CLASSES[code]
    assert result.kind == ("rejected" if CLASSES[code] in {"P", "C"} else "retry_at")
    assert result.reason == REASONS[CLASSES[code]]
    assert result.pauses_account == (code == -124)
    # The same inside an answer of 4xx, should Zalo ever give one.
    assert result_of(answer(403, error=code), NOW) == result


def test_each_class_has_a_code_and_is_one_of_the_contract() -> None:
    assert set(CLASSES.values()) == set(REASONS)
    assert set(REASONS) < set(get_args(ProviderClass))


@pytest.mark.parametrize("code", [-9999, 7])
def test_a_code_that_is_new_is_a_no_for_good(code: int) -> None:
    result = result_of(answer(error=code), NOW)
    assert (result.kind, result.provider_class) == ("rejected", "C")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (answer(503, b"<html>"), "http_503"),
        (answer(500, error=-100), "http_500"),
        (answer(502, error=0, data={"msg_id": "a4d0"}), "http_502"),
        (answer(404, b"<html>"), "http_404"),
        (answer(403, b""), "http_403"),
        (answer(302, b""), "http_302"),
        (answer(200, b""), "unreadable"),
        (answer(200, b'{"error":0,"mess'), "unreadable"),
        (answer(200, b"[]"), "unreadable"),
        (answer(200, b"<html>"), "unreadable"),
        (answer(200, b"[" * 10_000), "unreadable"),
        (answer(), "unreadable"),
        (answer(error="0", data={"msg_id": "a4d0"}), "unreadable"),
        (answer(error=True, data={"msg_id": "a4d0"}), "unreadable"),
        (answer(error=0), "unreadable"),
        (answer(error=0, data="a4d0"), "unreadable"),
        (answer(error=0, data={"msg_id": ""}), "unreadable"),
        (answer(error=0, data={"msg_id": 7}), "unreadable"),
    ],
)
def test_what_says_nothing_is_unknown(response: HttpResponse, code: str) -> None:
    result = result_of(response, NOW)
    assert (result.kind, result.provider_class, result.code) == ("unknown", "AMB", code)
    assert not result.provider_message_id


@pytest.mark.parametrize(("status", "provider_class"), [(401, "T"), (429, "RL")])
def test_two_statuses_are_definite_without_a_word_of_zalos(
    status: int, provider_class: str
) -> None:
    result = result_of(answer(status, b"no"), NOW)
    assert (result.kind, result.provider_class) == ("retry_at", provider_class)
    assert result.pauses_account == (status == 401)


@pytest.mark.parametrize(
    ("provider_class", "now", "then"),
    [
        # In Vietnam it is 16:30, 23:59, 00:00, 05:59:59, 06:00 and 23:00.
        ("RL", "2026-11-25T09:30:15", "2026-11-25T09:31:00"),
        ("RL", "2026-11-25T09:30:00", "2026-11-25T09:31:00"),
        ("RL", "2026-12-31T16:59:59", "2026-12-31T17:00:00"),
        ("Q", "2026-11-25T09:30:15", "2026-11-25T17:00:00"),
        ("Q", "2026-11-25T16:59:00", "2026-11-25T17:00:00"),
        ("Q", "2026-11-25T17:00:00", "2026-11-26T17:00:00"),
        ("D", "2026-11-25T17:00:00", "2026-11-25T23:00:00"),
        ("D", "2026-11-25T22:59:59", "2026-11-25T23:00:00"),
        ("D", "2026-11-25T23:00:00", "2026-11-26T23:00:00"),
        ("D", "2026-11-25T16:00:00", "2026-11-25T23:00:00"),
    ],
)
def test_another_try_has_its_time(provider_class: ProviderClass, now: str, then: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    found = retry_time(provider_class, moment)
    assert found == datetime.fromisoformat(then).replace(tzinfo=UTC)
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("provider_class", ["R", "T"])
def test_of_some_zalo_does_not_say_when(provider_class: ProviderClass) -> None:
    assert retry_time(provider_class, NOW) is None
