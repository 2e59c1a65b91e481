"""What is Zalo's own."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.dispatch.channels.zalo_template import VIETNAM, retry_time
from services.dispatch.domain.account import Credentials
from tests.contract.channels.rigs import ZaloRig

if TYPE_CHECKING:
    from services.dispatch.channels.contract import Clients, ProviderClass, SendResult
    from tests.contract.simulator.simulators import Receiver, Simulator

PATIENCE = timedelta(seconds=20)


@pytest.fixture
async def zalo(simulator: Simulator) -> ZaloRig:
    await simulator.set_local_time(12)
    return await ZaloRig.create(simulator)


async def send(zalo: ZaloRig, clients: Clients, **changes: Any) -> SendResult:
    return await zalo.channel.send(zalo.message(**changes), zalo.account, clients, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-32, ("retry_at", "RL")),
        (-100, ("retry_at", "R")),
        (-108, ("rejected", "P")),
        (-114, ("rejected", "P")),
        (-141, ("rejected", "P")),
        (-115, ("retry_at", "Q")),
        (-144, ("retry_at", "Q")),
        (-1472, ("retry_at", "Q")),
        (-133, ("retry_at", "D")),
        (-124, ("retry_at", "T")),
        (-112, ("rejected", "C")),
        (-131, ("rejected", "C")),
        (-1351, ("rejected", "C")),
        (-9999, ("rejected", "C")),
    ],
)
async def test_a_code_has_its_class(
    zalo: ZaloRig,
    clients: Clients,
    simulator: Simulator,
    code: int,
    expected: tuple[str, str],
) -> None:
    rows = simulator.witness()
    await simulator.add_faults({"kind": "error_code", "code": code})
    result = await send(zalo, clients)
    assert (result.kind, result.provider_class) == expected
    assert result.code == str(code)
    assert result.pauses_account == (code == -124)
    assert result.suppresses_recipient == (code in {-108, -141})
    assert simulator.witness() == rows


@pytest.mark.parametrize(("code", "provider_class"), [(-32, "RL"), (-147, "Q"), (-133, "D")])
async def test_what_goes_later_goes_at_zalos_time(
    zalo: ZaloRig,
    clients: Clients,
    simulator: Simulator,
    code: int,
    provider_class: ProviderClass,
) -> None:
    await simulator.add_faults({"kind": "error_code", "code": code})
    before = retry_time(provider_class, datetime.now(UTC))
    result = await send(zalo, clients)
    # A minute, a day or a morning may begin between the two.
    assert result.retry_at in {before, retry_time(provider_class, datetime.now(UTC))}


async def test_a_promotion_at_night_waits_for_the_morning(
    zalo: ZaloRig, clients: Clients, simulator: Simulator
) -> None:
    await simulator.set_local_time(23)
    result = await send(zalo, clients, provider_template_id="7896", data={})
    assert (result.kind, result.provider_class, result.code) == ("retry_at", "D", "-133")
    assert result.retry_at is not None
    assert result.retry_at.astimezone(VIETNAM).time().isoformat() == "06:00:00"
    assert (await send(zalo, clients)).kind == "accepted"


async def test_a_spent_quota_waits_for_the_next_day(clients: Clients, simulator: Simulator) -> None:
    await simulator.set_local_time(12)
    zalo = await ZaloRig.create(simulator, daily_quota=1)
    assert (await send(zalo, clients)).kind == "accepted"
    result = await send(zalo, clients)
    assert (result.kind, result.provider_class, result.code) == ("retry_at", "Q", "-144")
    assert result.retry_at is not None
    assert result.retry_at.astimezone(VIETNAM).time().isoformat() == "00:00:00"


async def test_the_calls_of_a_minute_are_counted_for_the_app(
    clients: Clients, simulator: Simulator
) -> None:
    await simulator.set_local_time(12)
    zalo = await ZaloRig.create(simulator, calls_per_minute_max=1)
    assert (await send(zalo, clients)).kind == "accepted"
    result = await send(zalo, clients)
    assert (result.kind, result.provider_class, result.code) == ("retry_at", "RL", "-32")


async def test_a_bad_token_pauses_the_account(zalo: ZaloRig, clients: Clients) -> None:
    stale = replace(
        zalo.account, credentials=Credentials({**zalo.account.credentials, "access_token": "stale"})
    )
    result = await zalo.channel.send(zalo.message(), stale, clients, timeout=PATIENCE)
    assert (result.kind, result.provider_class, result.code) == ("retry_at", "T", "-124")
    assert result.pauses_account


@pytest.mark.parametrize(
    ("settings", "credentials", "code"),
    [
        ({"base_url": "ftp://127.0.0.1/zalo"}, {}, "not_sent_address"),
        ({"base_url": "zalo"}, {}, "not_sent_address"),
        ({}, {"access_token": "a\r\nHost: b"}, "not_sent_header"),
        ({}, {"access_token": "mã"}, "not_sent_header"),
    ],
)
async def test_an_account_that_cannot_send_at_all_is_paused(
    zalo: ZaloRig,
    clients: Clients,
    settings: dict[str, str],
    credentials: dict[str, str],
    code: str,
) -> None:
    account = replace(
        zalo.account,
        settings={**zalo.account.settings, **settings},
        credentials=Credentials({**zalo.account.credentials, **credentials}),
    )
    result = await zalo.channel.send(zalo.message(), account, clients, timeout=PATIENCE)
    assert (result.kind, result.code) == ("retry_at", code)
    assert result.pauses_account
    assert "account's" in result.reason


async def test_a_bad_phone_number_is_the_persons(zalo: ZaloRig, clients: Clients) -> None:
    result = await send(zalo, clients, recipient="+842838123456")
    assert (result.kind, result.provider_class, result.code) == ("rejected", "P", "-108")


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("+376312345", "phone_foreign"),
        ("+12015550123", "phone_foreign"),
        *(
            (junk, "phone_invalid")
            for junk in ("84901234567", "0901234567", "", "+8", "+84", "+84abc", "+84 90 1234567")
        ),
    ],
)
async def test_a_foreign_number_and_junk_are_not_sent_to(
    zalo: ZaloRig, clients: Clients, simulator: Simulator, recipient: str, code: str
) -> None:
    result = await send(zalo, clients, recipient=recipient)
    assert (result.kind, result.provider_class, result.code) == ("rejected", "P", code)
    assert result.reason
    provider = (await simulator.state())["providers"][zalo.channel.name]
    assert (provider["accepted"], provider["refused"]) == (0, {})


@pytest.mark.parametrize(("length", "kind"), [(48, "accepted"), (49, "rejected")])
async def test_a_reference_has_at_most_48_characters(
    zalo: ZaloRig, clients: Clients, length: int, kind: str
) -> None:
    assert (await send(zalo, clients, reference="r" * length)).kind == kind


async def test_accents_that_stand_apart_are_joined(zalo: ZaloRig, clients: Clients) -> None:
    # Ten characters are allowed; apart there are more.
    name = unicodedata.normalize("NFD", "Nguyễn Hoà")
    result = await send(zalo, clients, data={"customer": name, "amount": "1"})
    assert result.kind == "accepted"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"provider_template_id": "1"}, "-109"),
        ({"data": {}}, "-111"),
        ({"data": {"customer": "An"}}, "-1122"),
        ({"data": {"customer": "Nguyen Hoang", "amount": "1"}}, "-1121"),
    ],
)
async def test_a_message_that_does_not_fit_its_template_is_refused(
    zalo: ZaloRig, clients: Clients, changes: dict[str, Any], code: str
) -> None:
    result = await send(zalo, clients, **changes)
    assert (result.kind, result.provider_class, result.code) == ("rejected", "C", code)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("server_error_before", "http_503"),
        ("server_error_after", "http_503"),
        ("reply_truncated", "unreadable"),
        ("reply_lost", "no_answer_lost"),
    ],
)
async def test_a_doubt_says_what_was_seen(
    zalo: ZaloRig, clients: Clients, simulator: Simulator, fault: str, code: str
) -> None:
    await simulator.add_faults({"kind": fault})
    result = await send(zalo, clients)
    assert (result.kind, result.code) == ("unknown", code)


async def test_a_receipt_that_is_repeated_reads_the_same(
    clients: Clients, simulator: Simulator, receiver: Receiver
) -> None:
    zalo = await ZaloRig.create(simulator, receiver.url)
    await simulator.add_faults({"kind": "receipt_duplicated"})
    await send(zalo, clients)
    receipts = []
    for _ in range(2):
        received = await receiver.next()
        headers = {name.lower(): value for name, value in received.headers.items()}
        receipts += zalo.channel.read_receipt(received.body, headers, zalo.account)
    assert receipts[0] == receipts[1]


async def test_a_reference_that_is_nobodys_names_no_delivery(
    clients: Clients, simulator: Simulator, receiver: Receiver
) -> None:
    zalo = await ZaloRig.create(simulator, receiver.url)
    await send(zalo, clients, reference=f"ord-{uuid4().hex[:8]}")
    received = await receiver.next()
    headers = {name.lower(): value for name, value in received.headers.items()}
    (receipt,) = zalo.channel.read_receipt(received.body, headers, zalo.account)
    assert receipt.delivery_id is None
