"""What the supervisor is told from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.rpc.errors import StartError
from libs.supervisor.settings import read_settings
from libs.supervisor.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path


def test_services_that_are_left_out_are_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEO_SUPERVISOR_LEAVE_OUT", '["decision", "ingest-work"]')
    leave_out = read_settings().leave_out
    everything = Stack(tmp_path, free_ports=True).processes
    left = Stack(tmp_path, free_ports=True, leave_out=leave_out).processes
    assert set(everything) - set(left) == {"decision", "ingest-work"}


def test_a_service_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEO_SUPERVISOR_LEAVE_OUT", '["postgres"]')
    with pytest.raises(StartError, match=r"LEO_SUPERVISOR_LEAVE_OUT: .*there is no 'postgres'"):
        read_settings()
