"""`leo retention`: what is older than its time, on the running stack."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from libs.cli.database import dsn_of
from libs.cli.errors import CommandError
from libs.postgres import roles

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Retention: rows go when they are older than LEO_RETENTION_… says.",
)


@app.callback()
def retention() -> None:
    """Retention: rows go when they are older than LEO_RETENTION_… says."""


@app.command()
def run(
    *,
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Only say what would go: each batch is taken back."
    ),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Remove what is older than its time, now; `ingest work` does so once a day.

    The times are those of this command's own environment, LEO_RETENTION_….
    """
    # The work is a service's, which the tools for people start and never import.
    command = [sys.executable, "-P", "-m", "services.ingest", "retain"]
    environment = os.environ | {
        "LEO_POSTGRES_DSN": dsn_of(roles.INGEST),
        "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
        "LEO_LOG_LEVEL": "WARNING",
    }
    done = subprocess.run(  # noqa: S603 - the command is ours
        [*command, *(["--dry-run"] * dry_run)],
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError("retention was not done; the reason stands above")
    reports = orjson.loads(done.stdout)
    if as_json:
        typer.echo(orjson.dumps(reports, option=orjson.OPT_INDENT_2))
    else:
        _show(reports, dry_run=dry_run)
    if any(report["problem"] for report in reports):
        raise typer.Exit(1)


def _show(reports: list[dict[str, Any]], *, dry_run: bool) -> None:
    table = Table("tenant", "table", "rows", box=None, pad_edge=False, header_style="bold")
    table.columns[2].justify = "right"
    for report in reports:
        for name, count in sorted(report["row_counts"].items()):
            table.add_row(report["name"], name, f"{count:,}")
    if table.row_count:
        typer.echo("This would be removed:" if dry_run else "Removed:")
        Console(highlight=False).print(table)
    else:
        typer.echo("Nothing is older than its time.")
    for report in reports:
        if report["problem"]:
            typer.secho(
                f"{report['name']}: not done to the end: {report['problem']}",
                err=True,
                fg=typer.colors.RED,
            )
