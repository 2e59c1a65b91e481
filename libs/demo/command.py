"""`leo demo`: a shop's people and real purchases, from nothing to rows in PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

import leo_sdk
from libs.demo import steps
from libs.demo.bad_events import bad_events
from libs.demo.people import ext_id_of
from libs.demo.progress import progress
from libs.demo.purchases import purchase_events, read_purchases
from libs.demo.report import Books, print_next_steps, print_report
from libs.rpc.errors import StartError
from libs.supervisor.running import find_or_start
from libs.supervisor.state import data_folder

if TYPE_CHECKING:
    from leo.ingest.v1.ingest_service_pb2 import Tenant
    from libs.supervisor.running import RunningStack

INTRODUCTION = """\
[bold]LEO Activation: the demo[/bold]
A CD shop sends its customers and two weeks of real purchases: the CDNOW log of 1997, its days moved
to the last two weeks, with invented names and contacts. Some of what it sends is dirty or plainly
wrong, as in real life. At the end the database is asked whether everything accepted is there, once.
"""


def demo() -> None:
    """Show the main job on real events, from nothing to the database.

    Starts the stack if none runs, and leaves it running. Run it again: everything is recognised,
    nothing is stored twice. The exit status is 0 only if the books balance.
    """
    console = Console()
    console.print(INTRODUCTION, soft_wrap=True, highlight=False)
    try:
        stack = find_or_start(data_folder(), say=lambda text: console.print(text, soft_wrap=True))
        balanced = asyncio.run(_run(console, stack))
    except StartError as error:
        raise _failure(str(error)) from None
    except leo_sdk.ExistsError:
        raise _failure(
            f'somebody else made a tenant named "{steps.TENANT_NAME}" here; '
            "set LEO_DATA to another folder for the demo"
        ) from None
    except leo_sdk.LeoRpcError as error:
        raise _failure(str(error)) from None
    raise typer.Exit(0 if balanced else 1)


async def _run(console: Console, stack: RunningStack) -> bool:
    async with (
        stack.tokens() as tokens,
        leo_sdk.LeoClient(stack.ingest_address, tokens) as platform,
    ):
        tenant = await steps.create_tenant(platform)
    console.print(f'Tenant "{tenant.name}" is {tenant.tenant_id}.', highlight=False)
    async with (
        stack.tokens(tenant_id=tenant.tenant_id) as tokens,
        leo_sdk.LeoClient(stack.ingest_address, tokens) as client,
    ):
        books = await _send_everything(console, stack, client, tenant)
    console.print()
    print_report(console, books)
    problems = books.problems()
    for problem in problems:
        console.print(f"[red]The books do not balance:[/red] {problem}", soft_wrap=True)
    if not problems:
        console.print(_balance(books), soft_wrap=True, highlight=False)
    customer_id = read_purchases()[0].customer_id
    print_next_steps(console, _next_steps(stack, ext_id_of(customer_id)))
    return not problems


async def _send_everything(
    console: Console, stack: RunningStack, client: leo_sdk.LeoClient, tenant: Tenant
) -> Books:
    created_at = steps.created_at_of(tenant)
    purchases = read_purchases()
    customer_ids = sorted({purchase.customer_id for purchase in purchases})
    profiles = steps.profile_inputs(purchases, created_at)
    events = purchase_events(purchases, created_at)
    bad = bad_events(events)
    good = events + events[-steps.REPEATED_EVENT_COUNT :]

    with progress(console, "People, as documents of the CDP", len(profiles)) as advance:
        profile_tally = await steps.send_profiles(client, profiles, advance)
    with progress(console, "What some of them said", steps.CONSENT_COUNT) as advance:
        consent_tally = await steps.set_consents(client, customer_ids, created_at, advance)
    with progress(console, "Purchases, as one stream", len(good) + len(bad)) as advance:
        event_tally = await steps.send_events(client, good + [item.event for item in bad], advance)
    return Books(
        profiles=profile_tally,
        consents=consent_tally,
        events=event_tally,
        bad_events=dict(enumerate(bad, start=len(good) + 1)),
        stored=await steps.count_tenant(stack.auditor_dsn, tenant.tenant_id),
    )


def _balance(books: Books) -> str:
    count = len(books.events.identities)
    if books.events.outcomes["accepted"] == 0:
        return (
            f"[green]Nothing new:[/green] all {count} purchases were there from an earlier run, "
            "were recognised, and are there once."
        )
    return f"[green]The books balance:[/green] {count} purchases were stored, and are there once."


def _next_steps(stack: RunningStack, ext_id: str) -> list[tuple[str, str]]:
    leo = _program("leo")
    days = (
        "SELECT occurred_at::date AS day, count(*) AS purchases, "
        "sum((properties->>'value_vnd')::bigint) AS value_vnd "
        "FROM marketing_event GROUP BY day ORDER BY value_vnd DESC LIMIT 5"
    )
    call = (
        f'-H "authorization: Bearer $({leo} token --tenant {steps.TENANT_NAME} --preset ingest)" '
        f"""-d '{{"ext_id": "{ext_id}"}}'"""
    )
    method = "leo.ingest.v1.IngestService/GetProfile"
    if shutil.which("grpcurl"):
        get_profile = f"grpcurl -plaintext {call} {stack.ingest_address} {method}"
    else:  # buf comes with the development environment and does the same
        get_profile = f"{_program('buf')} curl --protocol grpc --http2-prior-knowledge {call} "
        get_profile += f"http://{stack.ingest_address}/{method}"
    return [
        ("What runs, until you say `leo down`", f"{leo} status"),
        ("The best days of the shop", f'{leo} psql -c "{days}"'),
        ("One customer, by gRPC", get_profile),
    ]


def _program(name: str) -> str:
    """How the reader may call a program of our environment, from where they are."""
    path = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(path):
        return name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _failure(message: str) -> typer.Exit:
    Console(stderr=True).print(f"[red]The demo failed:[/red] {message}", soft_wrap=True)
    return typer.Exit(1)
