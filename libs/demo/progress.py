"""Says how far a long step is: a moving bar on a terminal, else a plain line every second."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_LINE_SECONDS = 1.0


class Advance(Protocol):
    """Says that so many more are done."""

    def __call__(self, count: int, /) -> None: ...


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Advance]:
    """Show how many of `total` are done while the block runs; gives the function that says it."""
    show = _bar if console.is_terminal else _lines
    with show(console, what, total) as advance:
        yield advance


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def _lines(console: Console, what: str, total: int) -> Iterator[Advance]:
    done = 0
    said_at = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said_at
        done += count
        if time.monotonic() - said_at >= _LINE_SECONDS:
            said_at = time.monotonic()
            console.print(f"{what}: {done} of {total}")

    console.print(f"{what} …")
    yield advance
    console.print(f"{what}: {done} of {total}, done")
