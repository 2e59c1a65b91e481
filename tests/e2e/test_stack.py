"""`leo up` as an operator meets it: real processes, real signals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from leo.ingest.v1.ingest_service_pb2 import Tenant
from leo_sdk import LeoClient, StaticToken
from tests.faults.stack import LEO, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [
    *("postgres", "valkey", "issuer", "simulator"),
    *("ingest", "ingest-work", "segment", "decision", "decision-work"),
    *("dispatch", "dispatch-work", "edge"),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A data folder on which the tests of this module start and stop stacks."""
    folder = Path(tempfile.mkdtemp(prefix="leo-stack-"))
    folder.chmod(0o755)
    # So small that a start alone fills several logs.
    yield Stack(folder / "data", {"LEO_SUPERVISOR_LOG_BYTES_MAX": "4096"})
    subprocess.run([LEO, "down"], env=environment(folder / "data"), check=True)
    shutil.rmtree(folder)


def environment(data_folder: Path) -> dict[str, str]:
    return os.environ | {"LEO_DATA": str(data_folder)}


def run(stack: Stack, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LEO, *arguments],
        env=environment(stack.data_folder) | settings,
        check=False,
        capture_output=True,
        text=True,
    )


def start(stack: Stack) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LEO, "up", "--free-ports"],
        env=environment(stack.data_folder),
        stderr=subprocess.PIPE,
        text=True,
    )


def start_in_foreground(stack: Stack) -> subprocess.Popen[str]:
    """`leo up` as at a terminal, once everything answers."""
    process = start(stack)
    while not is_up(stack):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def is_up(stack: Stack) -> bool:
    return run(stack, "status").returncode == 0


def read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"it ended without a line with {word!r}")


def pids(stack: Stack) -> list[int]:
    status = stack.status()
    return [status["supervisor_pid"], *(process["pid"] for process in status["processes"])]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(gone: list[int]) -> None:
    while any(alive(pid) for pid in gone):
        time.sleep(0.05)


async def test_up_serves_and_a_second_up_does_nothing(stack: Stack) -> None:
    said = await stack.leo("up", "--detach", "--free-ports")
    assert "The stack is up" in said
    status = stack.status()
    assert status["healthy"] is True
    assert [process["name"] for process in status["processes"]] == NAMES
    before = pids(stack)
    for arguments in (("up",), ("up", "--detach")):
        assert "running already" in await stack.leo(*arguments)
    assert pids(stack) == before
    token = await stack.token("--preset", "admin")
    async with LeoClient(stack.process("ingest")["address"], StaticToken(token)) as client:
        tenant = await client.ingest.create_tenant(Tenant(name="hoa-sen"))
    by_name = await stack.token("--tenant", "hoa-sen", "--preset", "ingest")
    assert by_name.count(".") == 2
    shown = await stack.leo("psql", "-At", "-c", "SELECT tenant_id FROM tenant")
    assert shown.strip() == tenant.tenant_id
    async with httpx.AsyncClient() as http:
        door = await http.get(f"http://{stack.process('edge')['address']}/healthz")
    assert door.status_code == 200


def test_the_logs_of_a_running_stack_are_bounded(stack: Stack) -> None:
    logs = stack.data_folder / "logs"
    # What PostgreSQL refuses it writes down.
    run(stack, "psql", "-c", f"SELECT first_refused -- {'x' * 5000}")
    while not (logs / "postgres.log.1").exists():
        time.sleep(0.1)
    assert "first_refused" in (logs / "postgres.log.1").read_text()
    run(stack, "psql", "-c", "SELECT second_refused")
    now = (logs / "postgres.log").read_text()
    assert "first_refused" not in now
    assert "second_refused" in now
    assert "\0" not in now


async def test_a_process_that_dies_is_restarted_at_its_address(stack: Stack) -> None:
    for name in ("ingest", "valkey", "decision-work"):
        before = stack.process(name)
        stack.signal(name, signal.SIGKILL)
        await stack.wait_healthy(name, restarts=before["restarts"] + 1)
        after = stack.process(name)
        assert after["pid"] != before["pid"]
        assert after["address"] == before["address"]


async def test_a_supervisor_killed_leaves_no_orphan_and_the_data_stays(stack: Stack) -> None:
    before = pids(stack)
    os.kill(before[0], signal.SIGKILL)
    wait_gone(before)
    refused = run(stack, "status")
    assert refused.returncode == 1
    assert "leo up" in refused.stderr
    process = start_in_foreground(stack)
    names = await stack.leo("psql", "-At", "-c", "SELECT name FROM tenant")
    assert names.split() == ["hoa-sen"]
    before = pids(stack)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert said.rstrip().endswith("Stopped.")
    assert not any(alive(pid) for pid in before)


async def test_ctrl_c_twice_stops_everything_as_well(stack: Stack) -> None:
    process = start_in_foreground(stack)
    before = pids(stack)
    # A service that does not react holds up an orderly stop; the second signal does not wait.
    os.kill(stack.process("edge")["pid"], signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    read_until(process, "Stopping")
    assert stack.process("edge")["health"] == "stopping"
    assert run(stack, "status").returncode == 1
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert not any(alive(pid) for pid in before)


@pytest.mark.parametrize("how", ["Ctrl-C", "leo down", "kill -9"])
def test_the_end_of_a_supervisor_that_starts_leaves_nothing(stack: Stack, how: str) -> None:
    process = start(stack)
    read_until(process, "postgres")
    children = child_pids(process.pid)
    assert children
    status = stack.status()
    assert status["supervisor_pid"] == process.pid
    assert "Nothing done" in run(stack, "up").stdout
    if how == "leo down":
        assert "Stopped" in run(stack, "down").stdout
    else:
        process.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGKILL)
    process.communicate()
    if how == "kill -9":
        wait_gone(children)
    assert not any(alive(pid) for pid in children)
    assert "No stack" in run(stack, "down").stdout


def child_pids(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_taken_port_is_named_with_its_setting(stack: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        refused = run(stack, "up", LEO_INGEST_ADDRESS=taken)
    assert refused.returncode == 1
    assert taken in refused.stderr
    assert "LEO_INGEST_ADDRESS" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("status", "--json"), 1, "no stack is running"),
        (("token", "--preset", "ingest"), 1, "no stack is running"),
        (("psql", "-c", "SELECT 1"), 1, "no stack is running"),
        (("migrate",), 1, "no stack is running"),
        (("psql", "--as", "root"), 2, "auditor or owner"),
        (("migrate", "sideways"), 2, "up or down"),
        (("trace",), 2, "name the event"),
        (("up", "--sideways"), 2, "--sideways"),
        (("bench", "sideways"), 2, "sideways"),
    ],
)
def test_commands_say_what_is_missing(
    stack: Stack, arguments: tuple[str, ...], status: int, says: str
) -> None:
    refused = run(stack, *arguments)
    assert refused.returncode == status
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["up", "down", "status", "psql", "demo"])
def test_a_data_folder_that_cannot_be_one_is_named(
    stack: Stack, command: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    refused = run(stack, command, LEO_DATA=str(file))
    assert refused.returncode == 1
    assert f"{file} cannot be the data folder" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_damaged_credentials_are_named_before_anything_starts(
    stack: Stack, options: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "credentials.json").write_text('{"postgres": "half')
    refused = run(stack, "up", "--free-ports", *options, LEO_DATA=str(tmp_path))
    assert refused.returncode == 1
    assert "credentials.json is damaged" in refused.stderr
    assert "half" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "✓" not in refused.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [((), "credentials.json cannot be written"), (("--detach",), "is the disk full?")],
)
def test_a_full_disk_is_told(
    stack: Stack, options: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    # Files that may not grow are what a full disk is to a program; the measuring of coverage writes
    # one too, and would put its own traceback beside what is said.
    command = f'ulimit -f 0; exec "{LEO}" up --free-ports {" ".join(options)}'
    measured = {name for name in os.environ if name.startswith("COVERAGE_")}
    refused = subprocess.run(
        ["/bin/sh", "-c", command],
        env={k: v for k, v in environment(tmp_path / "data").items() if k not in measured},
        check=False,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


def test_help_tells_every_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "libs.cli", "--help"], check=True, capture_output=True, text=True
    ).stdout
    for command in ("up", "down", "status", "token", "psql", "migrate", "trace", "demo", "bench"):
        assert f" {command} " in told
