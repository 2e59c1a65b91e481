"""`leo audit`: verify, show and prove what the audit recorded."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import orjson
import typer
from rich.console import Console
from rich.table import Table

from libs.audit.checkpoint import public_key_of, public_key_text
from libs.audit.verify import Verification, verify
from libs.audit.verify.proof import ProofError, prove
from libs.audit.verify.reading import Progress
from libs.cli.database import connected, dsn_of
from libs.cli.errors import CommandError, UsageError
from libs.cli.tokens import tenant_id_of
from libs.fields.paging import PAGE_SIZE_MAX, PageTokenError, page_of, token_of
from libs.postgres import roles
from libs.supervisor.audit import checkpoint_file, public_key_file
from libs.supervisor.state import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FINDING_COUNT_SHOWN: Final = 20
_POLL_SECONDS: Final = 0.2
_PAGE: Final = """
SELECT
    s.seq, e.created_at, t.name AS tenant, e.tenant_id, e.entry_id, e.kind, e.actor, e.call_id,
    e.recorded_table, e.member_count, e.root, e.details, s.hash
FROM audit_entry AS e
JOIN tenant AS t ON t.tenant_id = e.tenant_id
LEFT JOIN audit_seal AS s ON s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id
WHERE
    ($1::uuid IS NULL OR e.tenant_id = $1)
    AND ($2 = '' OR e.kind = $2)
    AND ($3 = '' OR e.actor = $3)
    AND ($4::timestamptz IS NULL OR e.created_at >= $4)
    AND ($5::timestamptz IS NULL OR e.created_at < $5)
    AND ($6::timestamptz IS NULL OR (e.created_at, e.entry_id) < ($6, $7::uuid))
ORDER BY e.created_at DESC, e.entry_id DESC
LIMIT $8
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What the audit recorded: verify it, read it, prove it to others.",
)
_TENANT = typer.Option("", "--tenant", help="Of this tenant alone, by name or id.")
_FILES = typer.Option(
    [],
    "--checkpoints",
    help="A file of checkpoints; may be repeated. Without, the one of this data folder.",
)
_KEY = typer.Option(
    "",
    "--public-key",
    help="Whose signatures count, in hexadecimal digits. Without, the key of this data folder.",
)


@app.command("verify")
def verify_command(
    *,
    tenant: str = _TENANT,
    checkpoints: list[Path] = _FILES,
    public_key: str = _KEY,
    jobs: int = typer.Option(0, "--jobs", min=0, help="Processes; one a core if 0."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """Compute everything again, from the recorded rows to the signed checkpoints.

    Exit status 0 if everything verifies, 1 if not; the first bad entry of each tenant is named
    first.
    """
    files, key = _checkpoints(checkpoints, public_key)
    with _failures_as_sentences():
        found = asyncio.run(
            _verify(tenant, files, key, process_count=jobs or os.cpu_count() or 1, quiet=as_json)
        )
    if as_json:
        typer.echo(orjson.dumps(_document(found, key), option=orjson.OPT_INDENT_2))
    else:
        _show(found, key)
    if found.findings:
        raise typer.Exit(1)


@app.command()
def show(
    *,
    tenant: str = _TENANT,
    kind: str = typer.Option("", help="Of this kind, such as consent_changed."),
    actor: str = typer.Option("", help="By this actor: a token's subject, or a process."),
    since: str = typer.Option("", help="Written at or after; 2026-11-25T08:00+07:00, or UTC."),
    until: str = typer.Option("", help="Written before."),
    count: int = typer.Option(50, min=1, max=PAGE_SIZE_MAX, help="Entries at most."),
    after: str = typer.Option("", help="The next page: the token that ends the one before."),
    as_json: bool = typer.Option(False, "--json", help="For scripts: everything, as JSON."),
) -> None:
    """List audit entries, the newest first."""
    try:
        page = page_of(count, after, key_count=2)
        keys = (datetime.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else None
    except (PageTokenError, ValueError):
        raise UsageError("--after takes the token that ended the page before") from None
    span = _time("--since", since), _time("--until", until)
    with _failures_as_sentences():
        rows = asyncio.run(
            _read(tenant, kind=kind, actor=actor, span=span, after=keys, count_max=count + 1)
        )
    entries, more = [_entry(row) for row in rows[:count]], len(rows) > count
    last = rows[len(entries) - 1] if more else None
    token = token_of(last["created_at"].isoformat(), str(last["entry_id"])) if last else ""
    if as_json:
        document = {"entries": entries, "next": token}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    _show_entries(entries)
    if token:
        typer.echo(f"There are more: --after {token}")


@app.command("prove")
def prove_command(
    delivery_id: str = typer.Argument(help="The delivery, as `leo trace` shows it."),
    *,
    checkpoints: list[Path] = _FILES,
    public_key: str = _KEY,
    without_rows: bool = typer.Option(
        False, "--without-rows", help="Start at each row's hash: nothing of the person is told."
    ),
) -> None:
    """Print how each row recorded about a delivery leads to a signed checkpoint.

    Whoever has it checks it with SHA-256 alone; docs/reference/audit.md shows how.
    """
    try:
        wanted = UUID(delivery_id)
    except ValueError:
        raise UsageError(f'"{delivery_id}" is not the id of a delivery: it is a UUID') from None
    files, key = _checkpoints(checkpoints, public_key)
    if key is None:
        raise CommandError("there are no checkpoints here: name --checkpoints and --public-key")
    with _failures_as_sentences():
        items = asyncio.run(prove(dsn_of(roles.AUDITOR), wanted, checkpoint_files=files, key=key))
    document = {
        "delivery_id": str(wanted),
        "public_key": public_key_text(key),
        "items": [item.as_document(with_row=not without_rows) for item in items],
    }
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@contextmanager
def _failures_as_sentences() -> Iterator[None]:
    try:
        yield
    except ProofError as error:
        raise CommandError(str(error)) from error
    except BrokenProcessPool as error:
        raise CommandError(
            "a process of the verification was killed, perhaps for memory; --jobs 1 needs least"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(
            f"the database did not answer as it should ({type(error).__name__}); `leo status` "
            "says whether it runs, `leo migrate` brings its schema to this version"
        ) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{place}{error.strerror or error}") from error


def _checkpoints(files: list[Path], public_key: str) -> tuple[list[Path], Ed25519PublicKey | None]:
    """The files to compare with, and whose signatures count; those of the data folder if none."""
    if bool(files) != bool(public_key):
        raise UsageError("--checkpoints and --public-key go together")
    if files:
        try:
            return files, public_key_of(public_key)
        except ValueError:
            raise UsageError("--public-key takes 64 hexadecimal digits") from None
    own, own_key = checkpoint_file(data_folder()), public_key_file(data_folder())
    if own.exists() and own_key.exists():
        return [own], public_key_of(own_key.read_text())
    return [], None


async def _verify(
    tenant: str,
    files: list[Path],
    key: Ed25519PublicKey | None,
    *,
    process_count: int,
    quiet: bool,
) -> Verification:
    progress = Progress(shared=process_count > 1)
    work = asyncio.create_task(
        verify(
            dsn_of(roles.AUDITOR),
            tenant_id=await tenant_id_of(tenant) if tenant else None,
            checkpoint_files=files,
            key=key,
            process_count=process_count,
            progress=progress,
        )
    )
    console = Console(stderr=True, quiet=quiet)
    with console.status("Verifying …") as status:
        while not work.done():
            status.update(f"Verifying: {progress.count:,} seals, entries and rows …")
            await asyncio.wait({work}, timeout=_POLL_SECONDS)
    return work.result()


def _document(found: Verification, key: Ed25519PublicKey | None) -> dict[str, Any]:
    checked = found.checked
    return {
        "verified": not found.findings,
        "tenants": checked.tenants,
        "seals": checked.seals,
        "entries": checked.entries,
        "rows": checked.rows,
        "unsealed": checked.unsealed,
        "checkpoints": checked.checkpoints,
        "public_key": public_key_text(key) if key else None,
        "chain_seconds": checked.chain_seconds,
        "seconds": checked.seconds,
        "findings": [finding.as_document() for finding in found.findings],
    }


def _show(found: Verification, key: Ed25519PublicKey | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    checked = found.checked
    rows = ", ".join(f"{count:,} of {table}" for table, count in checked.rows.items())
    console.print(
        f"{checked.tenants:,} tenants: {checked.seals:,} seals, {checked.entries:,} entries, rows: "
        f"{rows}; in {checked.seconds:.1f} s, the seals in {checked.chain_seconds:.1f} s."
    )
    if checked.unsealed:
        console.print(f"{checked.unsealed:,} entries are younger than their seals.")
    if key is None or not checked.checkpoints:
        console.print(
            "[yellow]No checkpoints were compared:[/yellow] a chain that was made anew as a whole "
            "would not be noticed."
        )
    else:
        console.print(f"{checked.checkpoints:,} checkpoints, signed by {public_key_text(key)}.")
    if not found.findings:
        console.print("[green]Everything verifies.[/green]")
        return
    console.print(
        f"[red]{len(found.findings):,} findings[/red], the first ones of each tenant first:"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("tenant", "seal", "what", "where", "entry", "why"):
        table.add_column(name, overflow="fold")
    for finding in found.findings[:FINDING_COUNT_SHOWN]:
        table.add_row(
            finding.tenant_id,
            "" if finding.seq is None else str(finding.seq),
            finding.what,
            finding.subject,
            finding.entry_id,
            finding.detail,
        )
    console.print(table)
    if len(found.findings) > FINDING_COUNT_SHOWN:
        console.print("`leo audit verify --json` lists all of them.")


async def _read(
    tenant: str,
    *,
    kind: str,
    actor: str,
    span: tuple[datetime | None, datetime | None],
    after: tuple[datetime, UUID] | None,
    count_max: int,
) -> list[Any]:
    tenant_id = await tenant_id_of(tenant) if tenant else None
    async with connected(roles.AUDITOR) as connection:
        rows: list[Any] = await connection.fetch(
            _PAGE, tenant_id, kind, actor, *span, *(after or (None, None)), count_max
        )
    return rows


def _entry(row: Any) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "time": row["created_at"].astimezone(UTC).isoformat(),
        "tenant": row["tenant"],
        "tenant_id": str(row["tenant_id"]),
        "entry_id": str(row["entry_id"]),
        "kind": row["kind"],
        "actor": row["actor"],
        "call_id": row["call_id"],
        "recorded_table": row["recorded_table"],
        "member_count": row["member_count"],
        "root": row["root"].hex(),
        "hash": row["hash"].hex() if row["hash"] else None,
        "details": orjson.loads(row["details"]),
    }


def _show_entries(entries: list[dict[str, Any]]) -> None:
    if not entries:
        typer.echo("No audit entries fit.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("seal", "time", "tenant", "kind", "actor", "records", "details"):
        table.add_column(name, justify="right" if name == "seal" else "left", overflow="fold")
    for entry in entries:
        recorded = entry["recorded_table"]
        table.add_row(
            "-" if entry["seq"] is None else str(entry["seq"]),
            entry["time"],
            entry["tenant"],
            entry["kind"],
            entry["actor"],
            f"{entry['member_count']} of {recorded}" if recorded else "",
            orjson.dumps(entry["details"]).decode() if entry["details"] else "",
        )
    Console(highlight=False).print(table)


def _time(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} takes a time such as 2026-11-25T08:00+07:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
