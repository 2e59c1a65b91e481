"""What the operator sees of the supervisor: one line for each thing that happens."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console as Terminal
from rich.markup import escape

if TYPE_CHECKING:
    from pathlib import Path

    from libs.supervisor.state import StackState

TAIL_LINE_COUNT = 15


class Console:
    """Lines on standard error, in colour where that is a terminal."""

    def __init__(self) -> None:
        self._terminal = Terminal(stderr=True, highlight=False, soft_wrap=True)

    def _print(self, text: str, end: str = "\n") -> None:
        # A terminal that is gone or a full disk is no reason to stop, or not to stop in order.
        with suppress(OSError):
            self._terminal.print(text, end=end)

    def starting(self, name: str) -> None:
        """A process or step begins."""
        if self._terminal.is_terminal:
            self._print(f"[dim]  … {name}[/dim]", end="\r")

    def started(self, name: str, address: str, seconds: float) -> None:
        """It answers."""
        self._print(f"[green]  ✓[/green] {name:<13} {address:<21} {seconds:5.1f} s")

    def failed(self, name: str, problem: str) -> None:
        """It could not be started."""
        self._print(f"[red]  ✗[/red] {name}: {escape(problem)}")

    def tail(self, log: Path) -> None:
        """The last lines of a log, after a failure."""
        if log.exists():
            lines = log.read_text(errors="replace").splitlines()[-TAIL_LINE_COUNT:]
            self._print(f"[dim]The end of {log}:[/dim]")
            for line in lines:
                self._print(f"    {escape(line)}")

    def died(self, name: str, status: int | None, wait_seconds: float) -> None:
        """A process ended that nobody had stopped."""
        how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
        self._print(f"[yellow]  ![/yellow] {name} died ({how}); again in {wait_seconds:.1f} s")

    def ready(self, state: StackState) -> None:
        """Everything answers."""
        self._print(
            f"[bold green]The stack is up:[/bold green] {state.doors}. "
            f"Logs in {state.data_folder}/logs. Ctrl-C stops it."
        )

    def note(self, text: str) -> None:
        """Something that is good to know."""
        self._print(f"[dim]{escape(text)}[/dim]")

    def problem(self, text: str) -> None:
        """Something that does not stop the stack and yet is to be mended."""
        self._print(f"[yellow]  ![/yellow] {escape(text)}")

    def stopping(self) -> None:
        """Everything is being stopped."""
        self._print("Stopping; once more to stop at once …")

    def stopped(self) -> None:
        """Nothing runs any more."""
        self._print("Stopped.")
