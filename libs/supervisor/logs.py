"""Bounds the logs of processes that run for weeks.

A process keeps writing to the file that it got at its start, and the servers and our own processes
share no way to be given another one. So a log is copied and then cut off in place, as logrotate's
copytruncate does; a line that is written in between is lost. Own code, because logrotate is the
system's and not everywhere, and Python's rotating handlers want to be the writer.
"""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from libs.supervisor.settings import SupervisorSettings


def bound_logs(folder: Path, settings: SupervisorSettings) -> None:
    """Put aside what has grown too large of the logs of a folder: as `<log>.1`, the newest piece.

    Raises:
        OSError: a piece could not be written; then nothing was cut off.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size >= settings.log_bytes_max:
            _put_aside(log, settings.log_count_max)


def _put_aside(log: Path, count_max: int) -> None:
    pieces = [log.with_name(f"{log.name}.{number}") for number in range(1, count_max + 1)]
    unfinished = log.with_name(f"{log.name}.new")
    # First, since the disk may be full.
    pieces[-1].unlink(missing_ok=True)
    shutil.copyfile(log, unfinished)
    for newer, older in reversed(list(pairwise(pieces))):
        if newer.exists():
            newer.replace(older)
    unfinished.replace(pieces[0])
    # Its writer appends, and so goes on at the new end.
    os.truncate(log, 0)
