"""`leo bench`: figures of this version on this machine."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import typer
import uvloop
from rich.console import Console
from rich.markup import escape

import leo_sdk
from libs.bench.audit import measure_audit
from libs.bench.audit_cost import WITHOUT_AUDIT, measure_audit_cost
from libs.bench.database import measure_database
from libs.bench.errors import BenchError
from libs.bench.ingest import measure_ingest
from libs.bench.launch import measure_launch
from libs.bench.main_job import measure_main_job
from libs.bench.retention import measure_retention
from libs.bench.workload import Channel  # noqa: TC001 - typer reads the annotation
from libs.rpc.errors import StartError
from libs.supervisor.running import find_or_start, leo
from libs.supervisor.state import data_folder
from libs.supervisor.table import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from libs.supervisor.running import RunningStack

# What would take its share of the machine as soon as events come in.
DECIDING: Final = ("ingest-work", "decision", "decision-work")
# The service that does nothing of its own accord. Once it is healthy, the schema is there.
IDLE: Final = "segment"
ALL_BUT_IDLE: Final = tuple(row.name for row in SERVICES if row.name != IDLE)

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
    process of its own; after each measurement the rows are counted in the database. Nothing decides
    about the events meanwhile, but where --here is given; `leo bench main-job` measures all of it.
    """
    _report(
        lambda stack, say: measure_ingest(
            stack, row_count_max=rows, seconds_max=seconds, repeat_count=repeats, say=say
        ),
        here=here,
        as_json=as_json,
        leave_out=DECIDING,
    )


@app.command("main-job")
def main_job(
    *,
    tenants: int = typer.Option(2, min=1, help="So many tenants, each with"),
    profiles: int = typer.Option(2000, min=1, help="so many people, who all agreed to messages."),
    events: int = typer.Option(6000, min=100, help="The rate is measured over so many events,"),
    seconds: float = typer.Option(10.0, min=0.1, help="latency at a tenth of it for so long."),
    channel: Channel = typer.Option(  # noqa: B008 - the channel is a text, and never changes
        "zalo-template", help="By which the messages go."
    ),
    here: bool = typer.Option(
        False, "--here", help="Use the stack of this data folder, not one of the bench's own."
    ),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Events a second to messages accepted by the (simulated) provider, latency, and cost.

    Each tenant has 20 rules, of which one acts on each event; receipts come in by webhook. The
    provider's own log says when a message was accepted. The books must balance after each part.
    """
    _report(
        lambda stack, say: measure_main_job(
            stack,
            tenant_count=tenants,
            profile_count=profiles,
            event_count=events,
            seconds=seconds,
            channel=channel,
            say=say,
        ),
        here=here,
        as_json=as_json,
    )


@app.command()
def launch(
    *,
    profiles: int = typer.Option(10_000, min=1, help="So many people, who all agreed to messages."),
    channel: Channel = typer.Option(  # noqa: B008 - the channel is a text, and never changes
        "zalo-template", help="By which the messages go."
    ),
    here: bool = typer.Option(
        False, "--here", help="Use the stack of this data folder, not one of the bench's own."
    ),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Seconds to freeze a segment, to estimate a launch, and from the launch to accepted."""
    _report(
        lambda stack, say: measure_launch(stack, profile_count=profiles, channel=channel, say=say),
        here=here,
        as_json=as_json,
    )


@app.command()
def audit(
    *,
    seals: int = typer.Option(1_000_000, min=1, help="The chain has so many seals;"),
    rows: int = typer.Option(500_000, min=1, help="another tenant so many recorded rows."),
    repeats: int = typer.Option(3, min=1, help="How often each is verified."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Seconds to verify a long chain, and recorded rows a second.

    Both tenants are written past the services, into a stack of the bench's own: entries and seals
    by COPY, decisions in batches. What is measured is what `leo audit verify` does.
    """
    _report(
        lambda stack, say: measure_audit(
            stack, seal_count=seals, row_count=rows, repeat_count=repeats, say=say
        ),
        here=False,
        as_json=as_json,
        # The sealer would seal what is written past it, and look through all of it meanwhile.
        leave_out=ALL_BUT_IDLE,
    )


@app.command("audit-cost")
def audit_cost(
    *,
    tenants: int = typer.Option(2, min=1, help="So many tenants, each with"),
    profiles: int = typer.Option(2000, min=1, help="so many people, who all agreed to messages."),
    events: int = typer.Option(6000, min=100, help="A round is so many events,"),
    repeats: int = typer.Option(8, min=1, help="and there are so many with the chain and without."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """The rate of the main job with the audit chain and without it, in turns.

    Two stacks of the bench's own. In the one without, the services compute no leaf and no root,
    append no entry, nothing is sealed, and the database looks for no entry that a row names.
    """
    _report(
        lambda audited, unaudited, say: measure_audit_cost(
            audited,
            unaudited,
            tenant_count=tenants,
            profile_count=profiles,
            event_count=events,
            repeat_count=repeats,
            say=say,
        ),
        here=False,
        as_json=as_json,
        stacks=({}, WITHOUT_AUDIT),
    )


@app.command()
def retention(
    *,
    stories: int = typer.Option(60_000, min=1, help="So many old stories are removed."),
    rate: float = typer.Option(200.0, min=1.0, help="Single calls a second meanwhile,"),
    seconds: float = typer.Option(15.0, min=0.1, help="and so long before, and again after."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """What single calls of ingest notice of `leo retention run`, and how fast rows go.

    The old stories (an event with its decision, delivery, attempt and receipt) are written past the
    services into a stack of the bench's own; nothing decides about the new events.
    """
    _report(
        lambda stack, say: measure_retention(
            stack, story_count=stories, call_rate=rate, seconds=seconds, say=say
        ),
        here=False,
        as_json=as_json,
        leave_out=DECIDING,
    )


@app.command()
def database(
    *,
    deliveries: int = typer.Option(1000, min=1, help="So many one by one, ten times in batches;"),
    events: int = typer.Option(50_000, min=1, help="so many events, in batches."),
    repeats: int = typer.Option(5, min=1, help="How often each way is measured, in turns."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """What the services' stores reach at the database, beside a bare INSERT of the same rows.

    Without RPCs: the stores of dispatch and of ingest are called in one process, on a durable
    server where nothing else runs. After each measurement the rows are counted.
    """
    _report(
        lambda stack, say: measure_database(
            stack, delivery_count=deliveries, event_count=events, repeat_count=repeats, say=say
        ),
        here=False,
        as_json=as_json,
        leave_out=ALL_BUT_IDLE,
        # The services' own code runs on the loop that it has in the services.
        run=uvloop.run,
    )


class _Figures(Protocol):
    def as_json(self) -> dict[str, Any]: ...
    def print(self, console: Console) -> None: ...


def _report(
    measure: Callable[..., Coroutine[Any, Any, _Figures]],
    *,
    here: bool,
    as_json: bool,
    leave_out: Sequence[str] = (),
    stacks: Sequence[Mapping[str, str]] = ({},),
    run: Callable[[Coroutine[Any, Any, _Figures]], _Figures] = asyncio.run,
) -> None:
    """Measure, and show what was found.

    Args:
        measure: takes the stacks, and what shows progress.
        here: on the stack of this data folder.
        leave_out: services that the stacks do without.
        stacks: the further variables of each.
    """
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with ExitStack() as running:
            found = [
                running.enter_context(
                    _stack(here=here, leave_out=leave_out, settings=settings, say=progress.print)
                )
                for settings in stacks
            ]
            report = run(measure(*found, progress.print))
    except (BenchError, StartError, leo_sdk.LeoRpcError) as error:
        progress.print(f"[red]The bench failed:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print(Console())


@contextmanager
def _stack(
    *,
    here: bool,
    leave_out: Sequence[str],
    settings: Mapping[str, str],
    say: Callable[[str], None],
) -> Iterator[RunningStack]:
    """The stack to measure: a fresh one on free ports that is gone afterwards, or the one here."""
    if here:
        yield find_or_start(data_folder(), say=say)
        return
    # Told to end, it must not leave a stack behind: this lets the block below end it.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="leo-bench-"))
    # Under root PostgreSQL runs as another user, who must be able to walk to its folder.
    folder.chmod(0o711)
    try:
        without = {"LEO_SUPERVISOR_LEAVE_OUT": json.dumps(list(leave_out))}
        yield find_or_start(folder, say=say, free_ports=True, settings={**settings, **without})
    finally:
        leo(folder, "down")
        shutil.rmtree(folder, ignore_errors=True)
        say(f"Removed {folder}.")
