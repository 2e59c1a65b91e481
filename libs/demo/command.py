"""`leo demo`: a shop's people and real purchases, and what LEO Activation makes of them."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape

import leo_sdk
from libs.demo import steps
from libs.demo.bad_events import bad_events
from libs.demo.campaign import FAULTS, set_up
from libs.demo.launching import launch, until_decided
from libs.demo.outcome import print_activation, read_activation
from libs.demo.progress import progress
from libs.demo.purchases import purchase_events, read_purchases
from libs.demo.report import Books, print_next_steps, print_report, print_wishes
from libs.demo.watch import watch
from libs.rpc.errors import StartError
from libs.simulator.client import SimulatorClient
from libs.supervisor.books import find_breaches
from libs.supervisor.running import find_or_start, leo
from libs.supervisor.state import data_folder

if TYPE_CHECKING:
    import asyncpg

    from leo.ingest.v1.ingest_service_pb2 import Tenant
    from libs.demo.outcome import Activation
    from libs.supervisor.running import RunningStack

INTRODUCTION = """\
[bold]LEO Activation: the demo[/bold]
A CD shop tells LEO Activation of its customers and of two weeks of real purchases: the CDNOW log of
1997, its days moved to the last two weeks, with invented names and contacts. For each purchase LEO
decides by the shop's rules whether the customer gets a message, by Zalo or by email, sends it,
takes the other way where one is refused, and can say afterwards why, or why not. Zalo and the mail
server are simulated on this machine, which nothing leaves; they fail now and then on purpose, as
real ones do.
"""

PROBLEM_COUNT_MAX = 10


def demo() -> None:
    """Show the main job on real events: decided, sent, received, and told.

    Starts the stack if none runs, and leaves it running. Run it again: everything is recognised,
    nothing is stored or sent twice. The exit status is 0 only if the books balance.
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
            f'another program made the tenant "{steps.TENANT_NAME}", or something in it, here; '
            "set LEO_DATA to another folder for the demo"
        ) from None
    except leo_sdk.LeoRpcError as error:
        raise _failure(str(error)) from None
    raise typer.Exit(0 if balanced else 1)


async def _run(console: Console, stack: RunningStack) -> bool:
    async with stack.client() as platform:
        tenant = await steps.create_tenant(platform)
    console.print(f'Tenant "{tenant.name}" is {tenant.tenant_id}.\n', highlight=False)
    async with stack.auditor() as auditor, stack.client(tenant_id=tenant.tenant_id) as client:
        books, activation = await _play(console, stack, client, tenant, auditor)
    console.print()
    print_report(console, books)
    print_activation(console, activation)
    event_id = activation.telling_event_id
    if event_id is not None:
        console.print("\n[bold]One customer's journey, with the reason for every step[/bold]")
        leo(stack.folder, "trace", str(event_id), output=sys.stdout)
        console.print()
    problems = books.problems()
    for problem in problems[:PROBLEM_COUNT_MAX]:
        console.print(f"[red]The books do not balance:[/red] {escape(problem)}", soft_wrap=True)
    if len(problems) > PROBLEM_COUNT_MAX:
        console.print(f"… and {len(problems) - PROBLEM_COUNT_MAX:,} more.", highlight=False)
    if not problems:
        console.print(_balance(books, activation), soft_wrap=True, highlight=False)
    print_next_steps(console, _next_steps(stack, tenant, event_id))
    return not problems


async def _play(
    console: Console,
    stack: RunningStack,
    client: leo_sdk.LeoClient,
    tenant: Tenant,
    auditor: asyncpg.Connection,
) -> tuple[Books, Activation]:
    tenant_id = UUID(tenant.tenant_id)
    created_at = steps.created_at_of(tenant)
    purchases = read_purchases()
    customer_ids = sorted({purchase.customer_id for purchase in purchases})
    profiles = steps.profile_inputs(purchases, created_at)
    said = steps.statements(customer_ids, created_at)
    events = purchase_events(purchases, created_at)
    bad = bad_events(events)
    good = events + events[-steps.REPEATED_EVENT_COUNT :]

    with progress(console, "1. People, as documents of the CDP", len(profiles)) as advance:
        profile_tally = await steps.send_profiles(client, profiles, advance)
    with progress(console, "2. What some of them agreed to", len(said)) as advance:
        consent_tally = await steps.set_consents(client, said, advance)
    shop = await set_up(stack, client, tenant, steps.QUIET_CUSTOMER_ID)
    print_wishes(console, shop.wishes)
    async with SimulatorClient(stack.state.address("simulator")) as simulator:
        await simulator.set_faults(FAULTS)
    console.print("[bold]4. The purchases come in[/bold]")
    sending = asyncio.create_task(steps.send_events(client, good + [item.event for item in bad]))
    simulator_address = stack.state.address("simulator")
    came_to_rest = await watch(console, auditor, simulator_address, tenant_id, sending)
    console.print("\n[bold]5. A launch to a frozen segment[/bold]")
    launched = await launch(console, client, shop)
    deciding = asyncio.create_task(until_decided(client, launched.launch_id))
    came_to_rest &= await watch(console, auditor, simulator_address, tenant_id, deciding)
    books = Books(
        profiles=profile_tally,
        consents=consent_tally,
        events=await sending,
        bad_events=dict(enumerate(bad, start=len(good) + 1)),
        stored=await steps.count_tenant(auditor, tenant_id),
        came_to_rest=came_to_rest,
        breaches=await find_breaches(auditor, stack.witness_file),
    )
    return books, await read_activation(auditor, tenant_id)


def _balance(books: Books, activation: Activation) -> str:
    event_count = len(books.events.identities)
    message_count = sum(row["count"] for row in activation.deliveries)
    balance = (
        f"{event_count:,} purchases are there once, each is decided, and of the "
        f"{message_count:,} messages none was accepted twice by the provider's own count."
    )
    if books.events.outcomes["accepted"] == 0:
        return (
            f"[green]Nothing new:[/green] all purchases were there from an earlier run and were "
            f"recognised. {balance}"
        )
    return f"[green]The books balance:[/green] {balance}"


def _next_steps(
    stack: RunningStack, tenant: Tenant, event_id: UUID | None
) -> list[tuple[str, str]]:
    program = _program("leo")
    # Printed to be copied; the ids are the services' own.
    whose = f"WHERE tenant_id = '{tenant.tenant_id}'"
    decided = f"SELECT outcome, count(*) FROM decision {whose} GROUP BY 1 ORDER BY 2 DESC"  # noqa: S608
    found = [
        ("What runs, until you say `leo down`", f"{program} status"),
        ("What was decided, by SQL", f'{program} psql -c "{decided}"'),
    ]
    if event_id is None:
        return found
    story = f"SELECT at, step, outcome, reason FROM v_journey {whose}"  # noqa: S608
    story += f" AND event_id = '{event_id}' ORDER BY at, rank"
    call = (
        f'-H "authorization: Bearer $({program} token --tenant {tenant.name} --preset read)" '
        f"""-d '{{"event_id": "{event_id}"}}'"""
    )
    method = "leo.decision.v1.DecisionService/GetJourney"
    address = stack.state.address("decision")
    if shutil.which("grpcurl"):
        by_rpc = f"grpcurl -plaintext {call} {address} {method}"
    else:  # buf comes with the development environment and does the same
        by_rpc = f"{_program('buf')} curl --protocol grpc --http2-prior-knowledge {call} "
        by_rpc += f"http://{address}/{method}"
    return [
        *found,
        ("That customer's journey again", f"{program} trace {event_id}"),
        ("The same by one SQL statement", f'{program} psql -c "{story}"'),
        ("The same by gRPC", by_rpc),
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
