"""`leo tenant`: who the platform's customers are, and what becomes of them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leo.ingest.v1.ingest_service_pb2 import Tenant
from leo_sdk import LeoRpcError
from libs.cli.errors import CommandError, NoStackError, UsageError
from libs.supervisor.running import RunningStack
from libs.supervisor.state import data_folder, read_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
    from typing import TypeVar

    from leo.ingest.v1.ingest_service_pb2 import RemoveTenantResponse, TableRows
    from leo_sdk.ingest import IngestClient

    _Answer = TypeVar("_Answer")

STATES: Final[Mapping[Tenant.State.ValueType, str]] = {
    Tenant.STATE_ACTIVE: "everything works",
    Tenant.STATE_SUSPENDED: "nothing is sent; what comes in is kept, and messages wait",
    Tenant.STATE_REMOVING: "its calls are refused, and its rows are being removed",
    Tenant.STATE_REMOVED: "nothing is left but its name and its audit",
}
_COLOURS: Final = {"active": "green", "suspended": "yellow", "removing": "red", "removed": "dim"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tenants: the customers of the platform. A tenant is meant by its name or its id.",
)
_TENANT = typer.Argument(help="By name or id.")
_JSON = typer.Option(False, "--json", help="For scripts: everything, as JSON.")


@app.command("list")
def list_command(*, as_json: bool = _JSON) -> None:
    """List all tenants, also those that were removed."""
    tenants = _run(_list())
    if as_json:
        _print_json([_document(tenant) for tenant in tenants])
        return
    if not tenants:
        typer.echo("There is no tenant yet; `leo tenant create <name>` makes one.")
        return
    table = _table("name", "state", "called", "time zone", "created", "id")
    for tenant in tenants:
        state = _state(tenant)
        table.add_row(
            tenant.name,
            f"[{_COLOURS[state]}]{state}[/]",
            escape(tenant.display_name),
            tenant.time_zone,
            f"{tenant.create_time.ToDatetime(tzinfo=UTC):%Y-%m-%d}",
            tenant.tenant_id,
        )
    _console().print(table)


@app.command()
def show(tenant: str = _TENANT, *, as_json: bool = _JSON) -> None:
    """Show one tenant: its state, what that means, and how many rows it has."""
    found = _run(_read(tenant))
    if as_json:
        _print_json(_document(found.tenant) | {"tables": _counts(found.tables)})
        return
    _say(found.tenant)
    _show_tables(found.tables)


@app.command()
def create(
    name: str = typer.Argument(help="2 to 63 characters of a-z, 0-9 and '-', a letter first."),
    *,
    display_name: str = typer.Option("", help="For people."),
    time_zone: str = typer.Option(
        "", help="In which its quiet hours and days are meant; Asia/Ho_Chi_Minh if not given."
    ),
    as_json: bool = _JSON,
) -> None:
    """Create a tenant. Its name is never given to another one."""
    wanted = Tenant(name=name, display_name=display_name, time_zone=time_zone)
    _tell(_run(_create(wanted)), as_json=as_json)


@app.command()
def suspend(tenant: str = _TENANT, *, as_json: bool = _JSON) -> None:
    """Send nothing for a tenant until it is resumed; all else goes on."""
    _tell(_run(_set_state(tenant, Tenant.STATE_SUSPENDED)), as_json=as_json)


@app.command()
def resume(tenant: str = _TENANT, *, as_json: bool = _JSON) -> None:
    """Let a suspended tenant go on: what waits is sent, unless its time is over."""
    _tell(_run(_set_state(tenant, Tenant.STATE_ACTIVE)), as_json=as_json)


@app.command()
def remove(
    tenant: str = _TENANT,
    *,
    yes: str = typer.Option(
        "", "--yes", help="The tenant's name once more: do it without asking.", metavar="NAME"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be removed."),
    as_json: bool = _JSON,
) -> None:
    """Remove a tenant and everything of it, for good.

    Says first what that is, and asks for the name again. From then on the tenant's calls are
    refused; its rows go in the background, and `leo tenant show` tells how far that is.
    """
    if as_json and not (yes or dry_run):
        raise UsageError("with --json nobody is asked: add --dry-run, or --yes and the name")
    plan = _run(_read(tenant))
    if plan.tenant.state in (Tenant.STATE_REMOVING, Tenant.STATE_REMOVED):
        _tell(plan.tenant, as_json=as_json)
        return
    if not as_json:
        typer.echo(f"This removes the tenant {plan.tenant.name} ({plan.tenant.tenant_id}):")
        _show_tables(plan.tables)
        typer.echo("Its own row and its audit stay. This is not taken back.")
    if dry_run:
        if as_json:
            _print_json(_document(plan.tenant) | {"tables": _counts(plan.tables)})
        return
    name = yes or _asked(plan.tenant)
    if name != plan.tenant.name:
        raise CommandError(f'"{name}" is not the name of this tenant; nothing is removed')
    removed = _run(_remove(plan.tenant))
    if as_json:
        _print_json(_document(removed.tenant) | {"tables": _counts(removed.tables)})
        return
    _say(removed.tenant)
    typer.echo(f"`leo tenant show {removed.tenant.name}` tells when nothing is left.")


def _asked(tenant: Tenant) -> str:
    if not sys.stdin.isatty():
        raise CommandError(f"nobody can be asked here; add --yes {tenant.name}")
    return str(typer.prompt("Type the name of the tenant to remove it", default="")).strip()


async def _list() -> list[Tenant]:
    async with _ingest() as ingest:
        tenants: list[Tenant] = []
        token = ""
        while True:
            page = await ingest.list_tenants(page_size=500, page_token=token)
            tenants += page.tenants
            token = page.next_page_token
            if not token:
                return tenants


async def _read(named: str) -> RemoveTenantResponse:
    async with _ingest() as ingest:
        tenant = await _find(ingest, named)
        return await ingest.remove_tenant(tenant.tenant_id, validate_only=True)


async def _create(tenant: Tenant) -> Tenant:
    async with _ingest() as ingest:
        return await ingest.create_tenant(tenant)


async def _set_state(named: str, state: Tenant.State.ValueType) -> Tenant:
    async with _ingest() as ingest:
        tenant = await _find(ingest, named)
        return await ingest.set_tenant_state(tenant.tenant_id, state)


async def _remove(tenant: Tenant) -> RemoveTenantResponse:
    async with _ingest() as ingest:
        return await ingest.remove_tenant(tenant.tenant_id, name=tenant.name)


async def _find(ingest: IngestClient, named: str) -> Tenant:
    try:
        return await ingest.get_tenant(str(UUID(named)))
    except ValueError:
        return await ingest.get_tenant(name=named)


@asynccontextmanager
async def _ingest() -> AsyncIterator[IngestClient]:
    """The platform's RPCs of the running stack, as the developer."""
    folder = data_folder()
    state = read_state(folder)
    if state is None:
        raise NoStackError
    async with RunningStack(folder, state).client() as client:
        yield client.ingest


def _run(work: Coroutine[None, None, _Answer]) -> _Answer:
    try:
        return asyncio.run(work)
    except LeoRpcError as error:
        raise CommandError(str(error)) from error


def _tell(tenant: Tenant, *, as_json: bool) -> None:
    if as_json:
        _print_json(_document(tenant))
    else:
        _say(tenant)


def _say(tenant: Tenant) -> None:
    called = f", called {tenant.display_name}" if tenant.display_name else ""
    typer.echo(f"Tenant {tenant.name}{called}, is {_state(tenant)}: {STATES[tenant.state]}.")
    typer.echo(f"id {tenant.tenant_id}, time zone {tenant.time_zone}")


def _show_tables(tables: Sequence[TableRows]) -> None:
    if not tables:
        typer.echo("It has no rows.")
        return
    table = _table("table", "rows")
    table.columns[1].justify = "right"
    for found in tables:
        table.add_row(found.table, f"{'more than ' * found.more}{found.row_count:,}")
    _console().print(table)


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _console() -> Console:
    # What is piped is not cut to a terminal's width.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _state(tenant: Tenant) -> str:
    return Tenant.State.Name(tenant.state).removeprefix("STATE_").lower()


def _document(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": tenant.tenant_id,
        "name": tenant.name,
        "display_name": tenant.display_name,
        "time_zone": tenant.time_zone,
        "state": _state(tenant),
        "create_time": tenant.create_time.ToDatetime(tzinfo=UTC).isoformat(),
    }


def _counts(tables: Sequence[TableRows]) -> list[dict[str, Any]]:
    return [
        {"table": found.table, "row_count": found.row_count, "more": found.more} for found in tables
    ]


def _print_json(document: object) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
