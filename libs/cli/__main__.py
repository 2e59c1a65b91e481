"""The commands of `leo`. Each is imported when it is called, so that `leo --help` is quick."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import NoReturn

import typer

from libs.cli.errors import CommandError
from libs.rpc.errors import StartError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Run, look into and measure LEO Activation on this machine.\n\n"
    "The data lives in [bold].leo[/bold] of the current folder, or where LEO_DATA says. "
    "Exit status: 0 done, 1 not done (one sentence says why), 2 not understood.",
)


@app.command()
def up(
    *,
    detach: bool = typer.Option(
        False, "--detach", help="Return when it is up; `leo down` ends it."
    ),
    free_ports: bool = typer.Option(
        False, "--free-ports", help="Listen on free ports: for a second stack beside this one."
    ),
) -> None:
    """Start the stack: PostgreSQL, Valkey, migrations, issuer, services and edge.

    In the foreground; Ctrl-C stops every process. On a data folder whose stack runs already it
    says so and does nothing.
    """
    from libs.cli import stack

    stack.up(detach=detach, free_ports=free_ports)


@app.command()
def down() -> None:
    """Stop the running stack of this data folder and wait until it is gone."""
    from libs.cli import stack

    stack.down()


@app.command()
def status(
    *, as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON.")
) -> None:
    """Show each process: pid, address, health, restarts. Exit status 0 if all are healthy."""
    from libs.cli import stack

    stack.status(as_json=as_json)


@app.command()
def token(
    *,
    tenant: str = typer.Option(
        "", help="The tenant, by name or id. The platform's RPCs need none."
    ),
    scope: list[str] = typer.Option([], help="A scope, such as leo.events.write; may be repeated."),
    preset: str = typer.Option("", help="Scopes by name: ingest, activation, read, admin or all."),
) -> None:
    """Print a development token, good for five minutes.

    grpcurl -plaintext -H "authorization: Bearer $(leo token --tenant demo --preset ingest)" …
    """
    from libs.cli import tokens

    tokens.token(tenant=tenant, scopes=scope, preset=preset)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def psql(
    context: typer.Context,
    *,
    role: str = typer.Option(
        "auditor", "--as", help="auditor (reads everything, writes nothing) or owner."
    ),
) -> None:
    """Open the embedded database; everything else is handed to psql.

    leo psql -c "SELECT event_type, count(*) FROM marketing_event GROUP BY 1"
    """
    from libs.cli import database

    database.psql(role, context.args)


@app.command()
def trace(
    event_id: str = typer.Argument("", help="The event's id, as ingest returned it."),
    *,
    source: str = typer.Option("", help="Instead of the id: the source that the event is of,"),
    source_event_id: str = typer.Option("", help="and its id there."),
    launch: str = typer.Option("", help="Instead of an event: a launch, and of its people"),
    profile: str = typer.Option("", help="this one, by profile_id or ext_id."),
    delivery: str = typer.Option("", help="Instead: a delivery, and all that led to it."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Tell what became of an event, or of a person in a launch.

    Each decision, delivery, attempt and receipt, and why.
    """
    from libs.cli import trace as command

    named = command.Named(
        event_id=event_id,
        source=source,
        source_event_id=source_event_id,
        launch=launch,
        profile=profile,
        delivery=delivery,
    )
    command.trace(named, as_json=as_json)


@app.command()
def migrate(
    direction: str = typer.Argument("up", help="up, or down by one migration."),
) -> None:
    """Bring the schema of the running stack to this version, or one migration back."""
    from libs.cli import database

    database.migrate(direction)


@app.command()
def backup(
    folder: str = typer.Argument(
        "", help="A folder that is not there yet; leo-backup-<time> here if not given."
    ),
    *,
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Back up the running stack's database into a new folder, and verify it.

    Nobody waits for it. The keys of the data folder are not in it.
    """
    from libs.cli import backup as command

    command.backup(folder, as_json=as_json)


@app.command()
def restore(
    folder: Path = typer.Argument(help="What `leo backup` made."),
    *,
    yes: bool = typer.Option(False, "--yes", help="Replace the database without asking."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Restore a backup into this data folder, whose stack is down.

    The database of before is kept. Nothing is sent by itself: tenants are on hold until
    `leo resume`, and what was being sent when the backup was made is in doubt.
    """
    from libs.cli import backup as command

    command.restore(folder, yes=yes, as_json=as_json)


@app.command()
def resume(
    tenant: str = typer.Argument("", help="This tenant alone, by name or id."),
    *,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what waits."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Let tenants go on that a restore has put on hold: what waits is sent, unless it expired."""
    from libs.cli import backup as command

    command.resume(tenant, dry_run=dry_run, as_json=as_json)


@app.command()
def demo() -> None:
    """Run the main job on real events: purchases come in, messages go out, each with its reason.

    Starts the stack if none runs, and leaves it running.
    """
    from libs.demo.command import demo as run

    run()


@app.command()
def torture(
    *,
    seeds: int = typer.Option(20, min=1, help="So many schedules,"),
    seed: int = typer.Option(None, help="or the schedule of this seed alone, to see it again."),
) -> None:
    """Break a stack of its own by seeded schedules, and compare the books after each.

    While events are carried out, processes are killed, frozen and cut off, and providers lose
    answers and refuse; then nothing may be lost, sent twice, or be in doubt without being shown.
    """
    from libs.torture import command

    command.torture(range(1, seeds + 1) if seed is None else [seed])


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Measure this version on this machine; `leo bench --help` lists what can be measured."""
    from libs.bench.command import app as measurements

    measurements(context.args, prog_name="leo bench")


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def tenant(context: typer.Context) -> None:
    """Create, suspend, resume and remove tenants; `leo tenant --help` lists how."""
    from libs.cli.tenant import app as tenants

    tenants(context.args, prog_name="leo tenant")


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def retention(context: typer.Context) -> None:
    """Remove what is older than its time; `leo retention --help` says how."""
    from libs.cli.retention import app as retentions

    retentions(context.args, prog_name="leo retention")


def main() -> None:
    """Run a command of the command line; an expected failure is one sentence, not a traceback."""
    # Before gRPC is imported: the processes that we start are other programs at once and need
    # nothing of its care for forks, of which it would tell at each start.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from libs.cli.audit import app as audit

    app.add_typer(audit, name="audit")
    try:
        app()
    except CommandError as error:
        _fail(str(error), error.exit_status)
    except StartError as error:
        _fail(str(error), 1)
    except OSError as error:
        if error.filename is None:  # not of a file: a defect
            raise
        _fail(f"{error.filename} cannot be used: {error.strerror}", 1)


def _fail(problem: str, status: int) -> NoReturn:
    with suppress(OSError):  # a terminal that is gone, a log on a full disk
        typer.secho(problem, err=True, fg=typer.colors.RED)
    sys.exit(status)


if __name__ == "__main__":
    main()
