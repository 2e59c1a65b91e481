"""`leo bench`: figures of this version on this machine."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

import leo_sdk
from libs.bench.ingest import BenchError, measure_ingest
from libs.rpc.errors import StartError
from libs.supervisor.running import find_or_start, leo
from libs.supervisor.state import data_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libs.supervisor.running import RunningStack

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure this version on this machine."
)


@app.callback()
def bench() -> None:
    """Measure this version on this machine."""


@app.command()
def ingest(
    *,
    seconds: float = typer.Option(10.0, min=0.1, help="A measurement ends after so long, or"),
    rows: int = typer.Option(50_000, min=500, help="after so many events, whichever is first."),
    repeats: int = typer.Option(3, min=1, help="How often each way is measured, in turns."),
    here: bool = typer.Option(
        False, "--here", help="Use the stack of this data folder, not one of the bench's own."
    ),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Events a second to committed rows: one by one, as a stream and in batches.

    Beside each, in the same run, what a bare INSERT of the same rows reaches: as the role of
    ingest, in a tenant's context, without checks, conflicts or answers. The load comes from a
    process of its own; after each measurement the rows are counted in the database.
    """
    console = Console()
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with _stack(here=here, say=progress.print) as stack:
            report = asyncio.run(
                measure_ingest(
                    stack,
                    row_count_max=rows,
                    seconds_max=seconds,
                    repeat_count=repeats,
                    say=progress.print,
                )
            )
    except (BenchError, StartError, leo_sdk.LeoRpcError) as error:
        progress.print(f"[red]The bench failed:[/red] {error}")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print(console)


@contextmanager
def _stack(*, here: bool, say: Callable[[str], None]) -> Iterator[RunningStack]:
    """The stack to measure: a fresh one on free ports that is gone afterwards, or the one here."""
    if here:
        yield find_or_start(data_folder(), say=say)
        return
    folder = Path(tempfile.mkdtemp(prefix="leo-bench-"))
    # Under root PostgreSQL runs as another user, who must be able to walk to its folder.
    folder.chmod(0o711)
    try:
        yield find_or_start(folder, say=say, free_ports=True)
    finally:
        leo(folder, "down")
        shutil.rmtree(folder, ignore_errors=True)
        say(f"Removed {folder}.")
