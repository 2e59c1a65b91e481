"""The lock of a data folder, and what a supervisor says of itself there."""

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING

import pytest

from libs.rpc.errors import StartError
from libs.supervisor.state import StackState, is_locked, lock, read_state, was_killed, write_state

if TYPE_CHECKING:
    from pathlib import Path


def test_one_supervisor_holds_a_folder(tmp_path: Path) -> None:
    with lock(tmp_path) as first:
        assert first
        assert is_locked(tmp_path)
        with lock(tmp_path) as second:
            assert not second
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_somebody_who_only_looks_is_not_taken_for_a_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "supervisor.lock").open("a") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        # The look is over by the second attempt.
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        with lock(tmp_path) as ours:
            assert ours


def test_what_a_killed_supervisor_said_is_not_taken_for_its_successors(tmp_path: Path) -> None:
    state = StackState(version="1", supervisor_pid=1, data_folder=str(tmp_path), processes=())
    with lock(tmp_path):
        write_state(tmp_path, state)
        assert read_state(tmp_path) == state
    assert not was_killed(tmp_path)
    write_state(tmp_path, state)  # as if the end of the block had never come
    assert was_killed(tmp_path)
    assert read_state(tmp_path) is None
    with lock(tmp_path):
        assert read_state(tmp_path) is None


@pytest.mark.parametrize("text", ["{half", "[]", '{"processes": []}'])
def test_a_state_of_another_version_is_told(tmp_path: Path, text: str) -> None:
    with lock(tmp_path):
        (tmp_path / "state.json").write_text(text)
        with pytest.raises(StartError, match="another version"):
            read_state(tmp_path)


def test_a_folder_that_cannot_be_one_is_named_with_its_setting(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below", tmp_path / ("x" * 300)):
        with pytest.raises(StartError, match=f"{folder} cannot be .* LEO_DATA"):
            is_locked(folder)
        with pytest.raises(StartError, match="LEO_DATA"), lock(folder):
            pass
