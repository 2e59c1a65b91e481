"""`leo backup`, `leo restore` and `leo resume`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import typer
from rich.console import Console
from rich.table import Table

from leo.ingest.v1.ingest_service_pb2 import Tenant
from leo_sdk import LeoRpcError
from libs.backup.held import read_held
from libs.backup.restoring import Restore
from libs.backup.taking import megabytes, take_backup
from libs.cli.database import connected
from libs.cli.errors import CommandError, NoStackError, UsageError
from libs.postgres import roles
from libs.supervisor.running import RunningStack
from libs.supervisor.state import data_folder, lock, read_state

if TYPE_CHECKING:
    from libs.backup.held import Held
    from libs.backup.record import BackupRecord
    from libs.backup.restoring import Restored


def backup(folder: str, *, as_json: bool) -> None:
    """Take a backup of the running stack."""
    stack = _running()
    target = Path(folder or f"leo-backup-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}").absolute()
    taken = asyncio.run(take_backup(stack, target))
    if as_json:
        _print_json(_document(taken.record) | {"path": str(taken.path), "seconds": taken.seconds})
        return
    typer.echo(
        f"Backed up to {taken.path}: {_said(taken.record)}, verified, in {taken.seconds:.1f} s."
    )
    typer.echo(
        "The keys of this data folder are not in it: keep credential-keys.json, "
        "unsubscribe-keys.json and audit/ apart from it."
    )


def restore(backup: Path, *, yes: bool, as_json: bool) -> None:
    """Restore a backup into the data folder, whose stack is down."""
    folder = data_folder()
    with lock(folder) as ours:
        if not ours:
            raise CommandError("a stack runs on this data folder; stop it first with `leo down`")
        work = Restore(folder, backup.absolute())
        record, replaces = asyncio.run(work.check())
        if not as_json:
            typer.echo(f"The backup is {_said(record)}.")
        if replaces and not yes:
            if as_json:
                raise UsageError("with --json nobody is asked: add --yes")
            _ask(folder)
        restored = asyncio.run(work.run(record))
    if as_json:
        _print_json(
            {
                "backup": _document(record),
                "tenants": [_held_document(tenant) for tenant in restored.tenants],
                "before": _text(restored.before),
                "checkpoints_before": _text(restored.checkpoints_before),
                "problems": restored.problems,
                "seconds": restored.seconds,
            }
        )
    else:
        _show_restored(restored)


def resume(named: str, *, dry_run: bool, as_json: bool) -> None:
    """Let the tenants go on that a restore has suspended."""
    stack = _running()
    held = [tenant for tenant in asyncio.run(_read()) if tenant.is_held]
    if named:
        held = [tenant for tenant in held if named in (tenant.name, str(tenant.tenant_id))]
        if not held:
            raise CommandError(
                f'no restore holds back a tenant "{named}"; `leo tenant resume` lets one go on '
                "that somebody has suspended"
            )
    if not dry_run:
        asyncio.run(_resume(stack, held))
    if as_json:
        _print_json([_held_document(tenant) for tenant in held])
        return
    if not held:
        typer.echo("No restore holds back a tenant.")
        return
    _show(held)
    typer.echo("`leo resume` lets them go on." if dry_run else "What waits is sent from now on.")


def _running() -> RunningStack:
    folder = data_folder()
    state = read_state(folder)
    if state is None:
        raise NoStackError
    return RunningStack(folder, state)


def _ask(folder: Path) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            f"{folder} has a database, which the backup replaces; nobody can be asked here: add "
            "--yes"
        )
    if not typer.confirm(f"Replace the database of {folder}? It is kept beside it."):
        raise CommandError("nothing was restored")


async def _read() -> list[Held]:
    async with connected(roles.AUDITOR) as auditor:
        try:
            return await read_held(auditor)
        except asyncpg.PostgresError as error:
            raise CommandError(
                "the database's schema is not of this version; `leo migrate` brings it there"
            ) from error


async def _resume(stack: RunningStack, held: list[Held]) -> None:
    try:
        async with stack.client() as client:
            for tenant in held:
                await client.ingest.set_tenant_state(str(tenant.tenant_id), Tenant.STATE_ACTIVE)
    except LeoRpcError as error:
        raise CommandError(str(error)) from error


def _said(record: BackupRecord) -> str:
    return (
        f"of {record.created_at:%Y-%m-%d %H:%M:%S} UTC, {megabytes(record.byte_count)}, PostgreSQL "
        f"{record.server_version}, schema {record.schema_version}"
    )


def _show_restored(restored: Restored) -> None:
    typer.echo(f"Restored in {restored.seconds:.1f} s.")
    if restored.tenants:
        _show(restored.tenants)
        typer.echo("Nothing is sent for tenants on hold until `leo resume`.")
    if restored.before:
        typer.echo(
            f"The database of before is in {restored.before}; remove it once nobody needs it."
        )
    if restored.checkpoints_before:
        typer.echo(f"The checkpoints of its audit are in {restored.checkpoints_before}.")
    for problem in restored.problems:
        typer.secho(problem, err=True, fg=typer.colors.YELLOW)
    typer.echo("`leo up` starts the stack.")


def _show(tenants: list[Held]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("tenant", "on hold", "in doubt", "waiting", "of these expired"):
        table.add_column(name, justify="left" if name in ("tenant", "on hold") else "right")
    for tenant in tenants:
        table.add_row(
            tenant.name,
            "yes" if tenant.is_held else "no",
            f"{tenant.in_doubt_count:,}",
            f"{tenant.waiting_count:,}",
            f"{tenant.expired_count:,}",
        )
    # What is piped is not cut to a terminal's width.
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def _document(record: BackupRecord) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _held_document(tenant: Held) -> dict[str, Any]:
    return asdict(tenant) | {"tenant_id": str(tenant.tenant_id)}


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _print_json(document: object) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
