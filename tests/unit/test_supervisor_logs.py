"""Logs of processes that run for weeks."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from libs.embedded.process import spawn
from libs.rpc.errors import StartError
from libs.supervisor.logs import bound_logs
from libs.supervisor.settings import KIB, SupervisorSettings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = SupervisorSettings(log_bytes_max=4 * KIB, log_count_max=2)
PIECE = "x" * 4 * KIB


def test_a_process_that_never_ends_fills_no_more_than_its_pieces(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    # It writes whenever it is told to, into the one file that it got at its start.
    fifo = tmp_path / "fifo"
    subprocess.run(["/usr/bin/mkfifo", str(fifo)], check=True)
    process = spawn(
        ["/bin/sh", "-c", f"exec 3<>{fifo}; while read line <&3; do echo $line; done"], log=log
    )
    with fifo.open("w") as said:
        for number in range(5):
            expected = f"{number}{PIECE}\n"
            said.write(expected)
            said.flush()
            while log.stat().st_size < len(expected):
                assert process.poll() is None
            assert log.read_text() == expected
            bound_logs(tmp_path, SETTINGS)
            assert log.stat().st_size == 0
    process.kill()
    process.wait()
    pieces = sorted(path.name for path in tmp_path.glob("service.log*"))
    assert pieces == ["service.log", "service.log.1", "service.log.2"]
    assert (tmp_path / "service.log.1").read_text().startswith("4x")
    assert (tmp_path / "service.log.2").read_text().startswith("3x")


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("short\n")
    bound_logs(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["service.log"]
    assert log.read_text() == "short\n"


def test_a_log_that_cannot_be_kept_is_not_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text(PIECE)
    (tmp_path / "service.log.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        bound_logs(tmp_path, SETTINGS)
    assert log.read_text() == PIECE


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEO_SUPERVISOR_LOG_BYTES_MAX", "5000")
    assert read_settings().log_bytes_max == 5000
    monkeypatch.setenv("LEO_SUPERVISOR_LOG_COUNT_MAX", "no")
    with pytest.raises(StartError, match=r"LEO_SUPERVISOR_LOG_COUNT_MAX: .*integer"):
        read_settings()
