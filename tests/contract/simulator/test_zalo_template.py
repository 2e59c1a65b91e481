from __future__ import annotations

import hashlib
import hmac
import re
import time
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.simulator.simulators import (
    PHONE,
    PROVIDER,
    RECIPIENT_KEY,
    OfficialAccount,
    Simulator,
)

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_an_accepted_message_is_answered_as_zalo_answers_it(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    before = time.time_ns() // 1_000_000
    response = await simulator.send(oa, tracking_id="ord-88213")
    after = time.time_ns() // 1_000_000
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    answer = response.json()
    data = answer.pop("data")
    assert answer == {"error": 0, "message": "Success"}
    assert re.fullmatch(r"[0-9a-f]{32}", data.pop("msg_id"))
    sent_time = data.pop("sent_time")
    assert isinstance(sent_time, str)
    assert before <= int(sent_time) <= after
    # The figures are texts.
    quota = {"dailyQuota": "500", "remainingQuota": "499"}
    assert data == {"sending_mode": "1", "quota": quota}


async def test_an_acceptance_is_witnessed_without_the_phone_number(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    response = await simulator.send(oa, tracking_id="ord-1", phone="0901234567")
    row = simulator.witness()[-1]
    assert row.pop("accepted_at").endswith("+00:00")
    assert row == {
        "provider": PROVIDER,
        "account": oa.account_id,
        "reference": "ord-1",
        "recipient_hash": hmac.digest(RECIPIENT_KEY.encode(), PHONE.encode(), "sha256").hex(),
        "template": "7895",
        "message_id": response.json()["data"]["msg_id"],
    }
    assert hashlib.sha256(PHONE.encode()).hexdigest() not in simulator.witness_file.read_text()


async def test_the_same_tracking_id_again_is_a_second_message(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    first, second = [await simulator.send(oa, tracking_id="twice") for _ in range(2)]
    assert first.json()["data"]["msg_id"] != second.json()["data"]["msg_id"]
    assert [row["reference"] for row in simulator.witness()[-2:]] == ["twice", "twice"]


@pytest.mark.parametrize("phone", [PHONE, "+84901234567", "0901234567", "901234567"])
async def test_every_way_to_write_a_mobile_number_is_taken(
    simulator: Simulator, phone: str
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    assert await simulator.code(oa, phone=phone) == 0


DECOMPOSED = unicodedata.normalize("NFD", "Nguyễn Hoà")
GOOD_DATA = {"customer": "An", "amount": "1"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone": "84 901 234 567"}, -108),
        ({"phone": "842838123456"}, -108),
        ({"phone": "8490123456"}, -108),
        ({"phone": 84901234567}, -108),
        ({"phone": None}, -108),
        ({"template_id": "1"}, -109),
        ({"template_id": 7895}, -109),
        ({"template_id": None}, -109),
        ({"template_data": {}}, -111),
        ({"template_data": None}, -111),
        ({"template_data": "An"}, -112),
        ({"template_data": {"customer": "An"}}, -1122),
        ({"template_data": GOOD_DATA | {"customer": ""}}, -1122),
        ({"template_data": GOOD_DATA | {"customer": "Nguyen Hoang"}}, -1121),
        ({"template_data": GOOD_DATA | {"customer": DECOMPOSED}}, -1121),
        ({"template_data": GOOD_DATA | {"amount": "much"}}, -1124),
        ({"template_data": GOOD_DATA | {"day": "2026-11-25"}}, -1124),
        ({"template_data": GOOD_DATA | {"customer": ["An"]}}, -1124),
        ({"template_data": GOOD_DATA | {"customer": True}}, -1124),
        ({"tracking_id": "x" * 49}, -112),
        ({"tracking_id": ""}, -112),
        ({"tracking_id": None}, -112),
        ({"mode": "production"}, -112),
        ({"sending_mode": "9"}, -112),
        ({"mode": "development"}, -127),
    ],
)
async def test_a_bad_message_is_refused_with_its_code(
    simulator: Simulator, changes: dict[str, Any], code: int
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    rows = simulator.witness()
    response = await simulator.send(oa, **changes)
    assert response.status_code == 200
    answer = response.json()
    assert answer["error"] == code
    assert answer["message"]
    assert set(answer) == {"error", "message"}
    assert simulator.witness() == rows
    state = await simulator.state()
    assert state["providers"][PROVIDER]["refused"] == {str(code): 1}
    assert state["providers"][PROVIDER]["accepted"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"tracking_id": "x" * 48},
        {"sending_mode": "1"},
        {"template_data": GOOD_DATA | {"customer": unicodedata.normalize("NFC", DECOMPOSED)}},
        {"template_data": GOOD_DATA | {"amount": 100000}},
        {"template_data": GOOD_DATA | {"amount": "1.000.000"}},
        {"template_data": GOOD_DATA | {"day": "08:00:00 25/11/2026"}},
        {"template_data": GOOD_DATA | {"day": ""}},
        {"template_id": "7896", "template_data": {}},
    ],
)
async def test_what_is_just_right_is_accepted(
    simulator: Simulator, changes: dict[str, Any]
) -> None:
    await simulator.set_local_time(12)
    oa = await simulator.set_account(OfficialAccount())
    assert await simulator.code(oa, **changes) == 0


async def test_development_mode_reaches_admins(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount(admin_phones=[PHONE]))
    assert await simulator.code(oa, mode="development", phone="0901234567") == 0


@pytest.mark.parametrize(("state", "code"), [("pending_review", -131), ("disabled", -146)])
async def test_a_template_must_be_enabled(simulator: Simulator, state: str, code: int) -> None:
    template = {"template_id": "7895", "state": state}
    oa = await simulator.set_account(OfficialAccount(templates=[template]))
    assert await simulator.code(oa) == code


@pytest.mark.parametrize(
    "headers",
    [{}, {"access_token": "stale"}, {"Authorization": "Bearer {token}"}, {"access_token": ""}],
)
async def test_only_a_good_token_in_its_header_is_taken(
    simulator: Simulator, headers: dict[str, str]
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    headers = {name: value.format(token=oa.token) for name, value in headers.items()}
    url = f"{simulator.url}/zalo/message/template"
    response = await simulator.client.post(url, json={"phone": PHONE}, headers=headers)
    assert response.status_code == 200
    assert response.json()["error"] == -124


async def test_a_token_ends_when_the_account_gets_another(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    old = oa.token
    oa.token = oa.document["access_token"] = f"{old}-renewed"
    await simulator.set_account(oa)
    assert await simulator.code(oa) == 0
    oa.token = old
    assert await simulator.code(oa) == -124


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")],
)
async def test_a_body_that_is_no_json_object_is_refused(
    simulator: Simulator, content: bytes, content_type: str
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    headers = {"access_token": oa.token, "Content-Type": content_type}
    url = f"{simulator.url}/zalo/message/template"
    response = await simulator.client.post(url, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]) == (200, -112)


async def test_another_method_is_refused_in_the_body(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    url = f"{simulator.url}/zalo/message/template"
    response = await simulator.client.get(url, headers={"access_token": oa.token})
    assert (response.status_code, response.json()["error"]) == (200, -106)


@pytest.mark.parametrize(("hour", "code"), [(21, 0), (22, -133), (5, -133), (6, 0)])
async def test_promotions_are_not_sent_at_night(simulator: Simulator, hour: int, code: int) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.set_local_time(hour)
    assert await simulator.code(oa, template_id="7896", template_data={}) == code
    # A transaction has no night.
    assert await simulator.code(oa) == 0


async def test_the_calls_of_an_app_are_limited_by_the_minute(simulator: Simulator) -> None:
    await simulator.set_local_time(12)
    oa = await simulator.set_account(OfficialAccount(calls_per_minute_max=2))
    responses = [await simulator.send(oa, phone=phone) for phone in (PHONE, "1", PHONE)]
    assert [response.json()["error"] for response in responses] == [0, -108, -32]
    for response, remain in zip(responses, ("1", "0", "0"), strict=True):
        assert response.headers["X-RateLimit-Limit"] == "2"
        assert response.headers["X-RateLimit-Remain"] == remain
    await simulator.set_local_time(13)
    assert await simulator.code(oa) == 0


async def test_two_accounts_of_an_app_share_its_calls(simulator: Simulator) -> None:
    await simulator.set_local_time(12)
    first = await simulator.set_account(OfficialAccount(calls_per_minute_max=1))
    second = await simulator.set_account(
        OfficialAccount(calls_per_minute_max=1, app_id=first.app_id)
    )
    assert await simulator.code(first) == 0
    assert await simulator.code(second) == -32


def with_template(**changes: Any) -> OfficialAccount:
    return OfficialAccount(templates=[{"template_id": "7895", **changes}])


@pytest.mark.parametrize(
    ("oa", "code"),
    [
        (lambda: OfficialAccount(daily_quota=2), -144),
        (lambda: with_template(daily_quota=2), -147),
    ],
)
async def test_a_spent_quota_comes_back_the_next_day(
    simulator: Simulator, oa: Callable[[], OfficialAccount], code: int
) -> None:
    await simulator.set_local_time(12)
    account = await simulator.set_account(oa())
    # What is refused uses nothing up.
    assert await simulator.code(account, phone="1") == -108
    assert [await simulator.code(account) for _ in range(3)] == [0, 0, code]
    await simulator.set_local_time(12, days=1)
    assert await simulator.code(account) == 0


async def test_a_spent_balance_stays_spent(simulator: Simulator) -> None:
    await simulator.set_local_time(12)
    oa = with_template(price_vnd=200)
    oa.document["balance_vnd"] = 500
    await simulator.set_account(oa)
    assert [await simulator.code(oa) for _ in range(3)] == [0, 0, -115]
    await simulator.set_local_time(12, days=1)
    assert await simulator.code(oa) == -115
