"""Starting child processes, and servers that never answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.embedded import EmbeddedValkey, valkey
from libs.embedded.errors import EmbeddedError
from libs.embedded.process import free_port, spawn
from libs.supervisor import service
from libs.supervisor.service import ServiceProcess

if TYPE_CHECKING:
    from pathlib import Path


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"/no/such/program cannot be started: .*No such file"):
        spawn(["/no/such/program"], log=tmp_path / "log")


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(EmbeddedError, match=f"/bin/true cannot be started: {tmp_path / 'logs'}"):
        spawn(["/bin/true"], log=tmp_path / "logs" / "true.log")


async def test_a_valkey_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    monkeypatch.setattr(valkey, "_program", lambda: silent)
    monkeypatch.setattr(valkey, "START_TIMEOUT_SECONDS", 0.5)
    server = EmbeddedValkey(tmp_path / "data")
    with pytest.raises(EmbeddedError, match=r"does not answer within 0.5 s: it said nothing"):
        await server.start()
    assert server.process is not None
    assert server.process.poll() is not None


@pytest.mark.parametrize("probe", ["grpc", "/healthz"])
async def test_a_service_that_never_answers_is_given_up_and_ended(
    probe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = write_service(tmp_path, "print('waiting', flush=True)\nsignal.pause()", probe=probe)
    monkeypatch.setattr(service, "START_TIMEOUT_SECONDS", 2)
    with pytest.raises(EmbeddedError, match="does not answer within 2 s: waiting"):
        await silent.start()
    assert silent.process is not None
    assert silent.process.poll() is not None


async def test_a_service_that_ends_at_once_says_why(tmp_path: Path) -> None:
    ending = write_service(tmp_path, "sys.exit('LEO_X is missing')", probe="grpc")
    with pytest.raises(EmbeddedError, match="it ended while starting: LEO_X is missing"):
        await ending.start()


async def test_a_service_is_not_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = write_service(tmp_path, "sys.exit('ours')", probe="grpc")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write_service(tmp_path / "elsewhere", "sys.exit('a stranger')", probe="grpc")
    with pytest.raises(EmbeddedError, match="it ended while starting: ours"):
        await ours.start()


def write_service(folder: Path, program: str, *, probe: str) -> ServiceProcess:
    (folder / "written.py").write_text(f"import signal, sys\n{program}")
    return ServiceProcess(
        "written",
        "serve",
        address=f"127.0.0.1:{free_port()}",
        probe=probe,
        environment={"PYTHONPATH": str(folder)},
        log=folder / "logs" / "written.log",
    )
