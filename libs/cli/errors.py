"""Failures of commands that are nobody's defect."""

from __future__ import annotations


class CommandError(Exception):
    """Why a command cannot do its work, in one sentence that says what to do."""

    exit_status = 1


class UsageError(CommandError):
    """The command was given what it cannot mean."""

    exit_status = 2


class NoStackError(CommandError):
    """The command needs a running stack."""

    def __init__(self) -> None:
        super().__init__("no stack is running here; start one with `leo up`")
