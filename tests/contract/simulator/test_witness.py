from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from libs.simulator.witness import count_by_reference, read_witness
from tests.contract.simulator.simulators import PROVIDER, OfficialAccount, running_simulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.simulator.simulators import Simulator

SENDER_COUNT = 20
ACKNOWLEDGED_COUNT_MIN = 300
LARGE = {"daily_quota": 1_000_000, "calls_per_minute_max": 1_000_000}


async def send_until_killed(simulator: Simulator, oa: OfficialAccount) -> list[str]:
    """Send without a pause, kill the simulator in the middle; the ids that it acknowledged."""
    acknowledged: list[str] = []

    async def send() -> None:
        while True:
            try:
                response = await simulator.send(oa)
            except httpx.TransportError:
                return
            acknowledged.append(response.json()["data"]["msg_id"])
            if len(acknowledged) == ACKNOWLEDGED_COUNT_MIN:
                simulator.process.kill()

    async with asyncio.TaskGroup() as senders:
        for _ in range(SENDER_COUNT):
            senders.create_task(send())
    await simulator.process.wait()
    return acknowledged


async def test_what_a_killed_simulator_acknowledged_is_witnessed(tmp_path: Path) -> None:
    oa = OfficialAccount(**LARGE)
    accounts_file = tmp_path / "accounts.json"
    accounts_file.write_text(json.dumps({PROVIDER: {oa.account_id: oa.document}}))
    accounts = {"LEO_SIMULATOR_ACCOUNTS_FILE": str(accounts_file)}
    async with running_simulator(tmp_path, **accounts) as simulator:
        acknowledged = await send_until_killed(simulator, oa)
    witnessed = [row.message_id for row in read_witness(simulator.witness_file)]
    assert len(acknowledged) >= ACKNOWLEDGED_COUNT_MIN
    assert set(acknowledged) <= set(witnessed)
    # What was accepted and not heard of was in flight.
    assert len(witnessed) <= len(acknowledged) + SENDER_COUNT
    async with running_simulator(tmp_path, **accounts) as simulator:
        assert await simulator.code(oa) == 0
    after = [row.message_id for row in read_witness(simulator.witness_file)]
    assert after[:-1] == witnessed
    assert len(set(after)) == len(after)


async def test_a_row_is_written_before_the_answer(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator:
        oa = await simulator.set_account(OfficialAccount())
        await simulator.add_faults({"kind": "reply_hung"})
        sending = asyncio.create_task(simulator.send(oa, tracking_id="unanswered"))
        while not count_by_reference(simulator.witness_file):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        simulator.process.kill()
        with pytest.raises(httpx.TransportError):
            await sending
        assert count_by_reference(simulator.witness_file) == {"unanswered": 1}


async def test_what_cannot_be_witnessed_is_not_accepted(tmp_path: Path) -> None:
    full = {"LEO_SIMULATOR_WITNESS_FILE": "/dev/full"}
    async with running_simulator(tmp_path, **full) as simulator:
        oa = await simulator.set_account(OfficialAccount(daily_quota=1))
        for _ in range(2):
            assert (await simulator.send(oa)).status_code == 500
        counts = (await simulator.state())["providers"][PROVIDER]
        assert counts == {"accepted": 0, "refused": {}, "faults": {}}


def row(reference: str) -> str:
    columns = ("provider", "account", "recipient_hash", "template", "message_id")
    document = {column: column for column in columns}
    document |= {"accepted_at": "2026-11-25T00:00:00Z", "reference": reference}
    return json.dumps(document)


def test_the_reader_counts_the_acceptances_of_each_delivery(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    assert count_by_reference(path) == {}
    path.write_text("".join(f"{row(reference)}\n" for reference in ("a", "b", "a")))
    assert count_by_reference(path) == {"a": 2, "b": 1}


def test_the_reader_leaves_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    path.write_text(f"{row('a')}\n{row('b')[:-5]}")
    assert count_by_reference(path) == {"a": 1}


def test_the_reader_names_a_line_that_is_no_acceptance(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    path.write_text(f"{row('a')}\n{{}}\n")
    with pytest.raises(ValueError, match="line 2 is no acceptance"):
        count_by_reference(path)
