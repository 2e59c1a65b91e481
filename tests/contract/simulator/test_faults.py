from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.contract.simulator.simulators import PHONE, PROVIDER, OfficialAccount, Simulator

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def outcome(sending: Awaitable[httpx.Response]) -> str:
    """What a caller sees, in one word."""
    try:
        response = await sending
    except httpx.RemoteProtocolError:
        return "lost"
    if response.status_code != 200:
        return str(response.status_code)
    try:
        return str(response.json()["error"])
    except ValueError:
        return "unreadable"


@pytest.mark.parametrize(
    ("fault", "seen", "accepted"),
    [
        ({"kind": "reply_lost"}, "lost", 1),
        ({"kind": "reply_truncated"}, "unreadable", 1),
        ({"kind": "server_error_after"}, "503", 1),
        ({"kind": "server_error_after", "status": 500}, "500", 1),
        ({"kind": "reply_slow", "delay_seconds": 0.01}, "0", 1),
        ({"kind": "server_error_before", "status": 502}, "502", 0),
        ({"kind": "throttled"}, "-32", 0),
        ({"kind": "error_code", "code": -118}, "-118", 0),
        # One that this simulator never gives by itself.
        ({"kind": "error_code", "code": -100}, "-100", 0),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
async def test_a_fault_happens_once_and_the_books_tell_the_truth(
    simulator: Simulator, fault: dict[str, Any], seen: str, accepted: int
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults(fault | {"count_max": 1})
    rows = len(simulator.witness())
    assert await outcome(simulator.send(oa, tracking_id="disturbed")) == seen
    assert [row["reference"] for row in simulator.witness()[rows:]] == ["disturbed"] * accepted
    assert await outcome(simulator.send(oa)) == "0"
    state = await simulator.state()
    counts = state["providers"][PROVIDER]
    assert counts["accepted"] == accepted + 1
    assert counts["faults"] == {fault["kind"]: 1}
    assert counts["refused"] == ({seen: 1} if seen.startswith("-") else {})
    (report,) = state["faults"]
    assert report == {
        "kind": fault["kind"],
        "matched_count": 1,
        "fired_count": 1,
        "spent": True,
    }


async def test_a_server_error_is_a_page_and_not_a_word_of_the_providers(
    simulator: Simulator,
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "server_error_before", "status": 502})
    response = await simulator.send(oa)
    assert response.headers["Content-Type"].startswith("text/html")
    assert "error" not in response.text


async def test_a_throttled_call_says_that_nothing_remains(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "throttled"})
    response = await simulator.send(oa)
    assert response.headers["X-RateLimit-Remain"] == "0"


async def test_a_slow_answer_takes_its_time(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "reply_slow", "delay_seconds": 0.2})
    response = await simulator.send(oa)
    assert response.elapsed.total_seconds() >= 0.2


async def test_an_answer_that_hangs_leaves_the_message_accepted(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "reply_hung", "count_max": 1})
    sending = asyncio.create_task(simulator.send(oa, tracking_id="hung"))
    await simulator.wait_for_state(lambda state: state["providers"][PROVIDER]["accepted"] == 1)
    assert simulator.witness()[-1]["reference"] == "hung"
    assert await outcome(simulator.send(oa)) == "0"
    assert not sending.done()
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_fault_picks_its_messages(simulator: Simulator) -> None:
    await simulator.set_local_time(12)
    oa = await simulator.set_account(OfficialAccount())
    other = await simulator.set_account(OfficialAccount())
    await simulator.add_faults(
        {"kind": "error_code", "code": -1, "account": other.account_id},
        {"kind": "error_code", "code": -2, "template": "7896"},
        {"kind": "error_code", "code": -3, "recipient": "84901111111"},
        {"kind": "error_code", "code": -4, "provider": "another"},
    )
    assert await simulator.code(other) == -1
    assert await simulator.code(oa, template_id="7896", template_data={}) == -2
    assert await simulator.code(oa, phone="0901111111") == -3
    assert await simulator.code(oa, phone=PHONE) == 0


async def test_a_fault_hits_each_third_of_its_messages_until_it_is_spent(
    simulator: Simulator,
) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "error_code", "code": -100, "every": 3, "count_max": 2})
    # A message that is refused for itself meets no fault.
    assert await simulator.code(oa, phone="1") == -108
    codes = [await simulator.code(oa) for _ in range(10)]
    assert codes == [0, 0, -100, 0, 0, -100, 0, 0, 0, 0]


async def test_a_seed_repeats_its_sequence(simulator: Simulator) -> None:
    faults = (
        {"kind": "reply_lost", "probability": 0.2},
        {"kind": "server_error_before", "probability": 0.2},
        {"kind": "server_error_after", "status": 500, "probability": 0.2},
        {"kind": "throttled", "probability": 0.2},
    )

    async def play(seed: int) -> list[str]:
        await simulator.admin("POST", "reset")
        oa = await simulator.set_account(OfficialAccount())
        await simulator.add_faults(*faults, seed=seed)
        return [await outcome(simulator.send(oa)) for _ in range(60)]

    first = await play(7)
    assert set(first) == {"0", "lost", "503", "500", "-32"}
    assert await play(7) == first
    assert await play(8) != first


async def test_faults_can_be_ended(simulator: Simulator) -> None:
    oa = await simulator.set_account(OfficialAccount())
    await simulator.add_faults({"kind": "server_error_before"})
    assert await outcome(simulator.send(oa)) == "503"
    (await simulator.admin("DELETE", "faults")).raise_for_status()
    assert await outcome(simulator.send(oa)) == "0"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"faults": []}, "faults: "),
        ({"faults": [{"kind": "flood"}]}, "faults.0.kind: "),
        ({"faults": [{"kind": "error_code"}]}, "takes a code"),
        ({"faults": [{"kind": "error_code", "code": 0}]}, "takes a code"),
        ({"faults": [{"kind": "reply_lost", "status": 500}]}, "takes no status"),
        ({"faults": [{"kind": "throttled", "delay_seconds": 1}]}, "takes no delay_seconds"),
        ({"faults": [{"kind": "reply_lost", "every": 0}]}, "faults.0.every: "),
        ({"faults": [{"kind": "reply_lost", "probability": 1.5}]}, "faults.0.probability: "),
        ({"faults": [{"kind": "reply_lost", "phone": "1"}]}, "faults.0.phone: "),
    ],
)
async def test_a_script_that_says_nothing_sensible_is_refused(
    simulator: Simulator, document: dict[str, Any], problem: str
) -> None:
    response = await simulator.admin("POST", "faults", document)
    assert response.status_code == 400
    assert any(problem in told for told in response.json()["problems"])
    assert (await simulator.state())["faults"] == []
