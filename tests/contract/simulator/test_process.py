from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.contract.auth.processes import free_address, start
from tests.contract.simulator.simulators import PHONE, PROVIDER, OfficialAccount, running_simulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.simulator.simulators import Receiver, Simulator


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_cleanly_with_answers_that_hang_and_webhooks_that_wait(
    tmp_path: Path, number: signal.Signals, receiver: Receiver
) -> None:
    async with running_simulator(tmp_path) as simulator:
        oa = await simulator.set_account(OfficialAccount(webhook_url=receiver.url))
        await simulator.add_faults(
            {"kind": "reply_hung"}, {"kind": "receipt_delayed", "delay_seconds": 3600}
        )
        sending = asyncio.create_task(simulator.send(oa))
        await simulator.wait_for_state(lambda state: state["webhooks"]["waiting"] == 1)
        simulator.process.send_signal(number)
        assert await simulator.process.wait() == 0
        with pytest.raises(httpx.TransportError):
            await sending
    log = (tmp_path / "log").read_text()
    assert "exception" not in log
    assert "Traceback" not in log


async def test_the_log_names_nobody(tmp_path: Path) -> None:
    environment = {"LEO_LOG_LEVEL": "DEBUG", "LEO_SIMULATOR_WITNESS_FILE": "/dev/full"}
    async with running_simulator(tmp_path, **environment) as simulator:
        oa = await simulator.set_account(
            OfficialAccount(webhook_url="http://127.0.0.1:1/nobody?canary=webhook")
        )
        assert (await simulator.send(oa)).status_code == 500
        assert await simulator.code(oa, phone="1") == -108
    log = (tmp_path / "log").read_text()
    assert "serving" in log
    for secret in (PHONE, PHONE[2:], oa.token, oa.secret, "canary"):
        assert secret not in log


async def test_a_reset_brings_back_the_accounts_of_the_file(tmp_path: Path) -> None:
    oa = OfficialAccount(daily_quota=1)
    accounts_file = tmp_path / "accounts.json"
    accounts_file.write_text(json.dumps({PROVIDER: {oa.account_id: oa.document}}))
    environment = {"LEO_SIMULATOR_ACCOUNTS_FILE": str(accounts_file)}
    async with running_simulator(tmp_path, **environment) as simulator:
        other = await simulator.set_account(OfficialAccount())
        assert [await simulator.code(oa), await simulator.code(other)] == [0, 0]
        await simulator.add_faults({"kind": "throttled"})
        await simulator.set_local_time(12)
        await simulator.admin("POST", "reset")
        assert await simulator.state() == {
            "providers": {
                name: {"accepted": 0, "refused": {}, "faults": {}} for name in ("email", PROVIDER)
            },
            "addresses": {"smtp": f"127.0.0.1:{await simulator.smtp_port()}"},
            "webhooks": {"waiting": 0},
            "faults": [],
            "clock_offset_seconds": 0.0,
        }
        assert [await simulator.code(oa), await simulator.code(other)] == [0, -124]


async def test_a_provider_can_be_moved(tmp_path: Path) -> None:
    environment = {"LEO_SIMULATOR_BASE_PATHS": json.dumps({PROVIDER: "/elsewhere"})}
    async with running_simulator(tmp_path, **environment) as simulator:
        oa = await simulator.set_account(OfficialAccount())
        assert (await simulator.send(oa)).status_code == 404
        url = f"{simulator.url}/elsewhere/message/template"
        response = await simulator.client.post(url, headers={"access_token": oa.token})
        assert response.json()["error"] == -112


@pytest.mark.parametrize(
    ("path", "document", "status", "problem"),
    [
        ("accounts/nobody/1", {}, 404, "provider: one of email, zalo-template"),
        (f"accounts/{PROVIDER}/1", {"app_id": "1"}, 400, "access_token: Field required"),
        (f"accounts/{PROVIDER}/1", [], 400, "document: "),
        ("clock", {"offset_seconds": "soon"}, 400, "offset_seconds: "),
    ],
)
async def test_a_setting_that_makes_no_sense_is_refused_by_its_place(
    simulator: Simulator, path: str, document: Any, status: int, problem: str
) -> None:
    response = await simulator.admin("PUT", path, document)
    assert response.status_code == status
    assert any(told.startswith(problem) for told in response.json()["problems"])


async def test_a_secret_in_the_wrong_place_is_not_repeated(simulator: Simulator) -> None:
    oa = OfficialAccount()
    oa.document["oa_secret_key"] = {"canary": "canary"}
    path = f"accounts/{PROVIDER}/{oa.account_id}"
    response = await simulator.admin("PUT", path, oa.document)
    assert response.status_code == 400
    assert "canary" not in response.text


async def refused_start(folder: Path, **environment: str) -> str:
    """Start a simulator that cannot start; its log."""
    log = folder / "log"
    environment = {
        "LEO_SIMULATOR_ADDRESS": free_address(),
        "LEO_SIMULATOR_WITNESS_FILE": str(folder / "witness.jsonl"),
    } | environment
    process = await start("libs.simulator", log, **environment)
    assert await process.wait() == 1
    assert "Traceback" not in log.read_text()
    return log.read_text()


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"LEO_SIMULATOR_ADDRESS": "0.0.0.0:7090"}, "loopback only"),
        ({"LEO_SIMULATOR_ADDRESS": "7090"}, "is no address"),
        ({"LEO_SIMULATOR_WEBHOOK_RETRY_SCALE": "0"}, "LEO_SIMULATOR_WEBHOOK_RETRY_SCALE: "),
        ({"LEO_SIMULATOR_CLOCK_OFFSET": "soon"}, "LEO_SIMULATOR_CLOCK_OFFSET: "),
        ({"LEO_SIMULATOR_BASE_PATHS": '{"zalo-template": "x"}'}, "LEO_SIMULATOR_BASE_PATHS: "),
        ({"LEO_SIMULATOR_BASE_PATHS": "/x"}, "LEO_SIMULATOR_BASE_PATHS is no JSON"),
        ({"LEO_SIMULATOR_BASE_PATHS": '{"nobody": "/x"}'}, "there are: email, zalo-template"),
        ({"LEO_SIMULATOR_ACCOUNTS_FILE": "/nowhere/accounts.json"}, "cannot be read"),
        ({"LEO_SIMULATOR_WITNESS_FILE": "/proc/witness.jsonl"}, "cannot be written"),
    ],
)
async def test_it_says_why_it_does_not_start(
    tmp_path: Path, environment: dict[str, str], problem: str
) -> None:
    assert problem in await refused_start(tmp_path, **environment)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "document: "),
        ('{"nobody": {}}', "there are: email, zalo-template"),
        ('{"zalo-template": {"1": {"app_id": "1"}}}', "access_token: "),
    ],
)
async def test_a_bad_accounts_file_stops_the_start(tmp_path: Path, text: str, problem: str) -> None:
    accounts_file = tmp_path / "accounts.json"
    accounts_file.write_text(text)
    environment = {"LEO_SIMULATOR_ACCOUNTS_FILE": str(accounts_file)}
    assert problem in await refused_start(tmp_path, **environment)


async def test_a_taken_port_stops_the_start(simulator: Simulator, tmp_path: Path) -> None:
    address = simulator.url.removeprefix("http://")
    log = await refused_start(tmp_path, LEO_SIMULATOR_ADDRESS=address)
    assert f"cannot listen on {address}" in log
