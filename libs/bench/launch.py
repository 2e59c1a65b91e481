"""Measures a launch: from freezing a segment to the last message accepted by the provider."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from rich.table import Table

from leo.segment.v1.segment_service_pb2 import Segment
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.main_job import rest
from libs.bench.workload import make_tenants
from libs.postgres.queries import load_queries
from libs.simulator.witness import read_witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)
_PAGE_COUNT: Final = 20
_PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class LaunchReport:
    """The figures of one launch.

    Attributes:
        snapshot_seconds: to freeze the segment.
        page_seconds: the slowest of so many pages of its members.
        estimate_seconds: to say what would come of the launch.
        accepted_seconds: from the launch to the last message accepted.
        settled_seconds: the same until every receipt was in as well.
        about: groups of facts: machine, versions, settings.
    """

    member_count: int
    snapshot_seconds: float
    page_seconds: float
    estimate_seconds: float
    accepted_seconds: float
    settled_seconds: float
    about: dict[str, dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        figures = asdict(self)
        about: dict[str, Any] = figures.pop("about")
        return figures | about

    def print(self, console: Console) -> None:
        """The table, for people."""
        table = Table(title=f"A launch to {self.member_count:,} people", title_justify="left")
        table.add_column("measure")
        table.add_column("figure", justify="right")
        table.add_row("freezing the segment", f"{self.snapshot_seconds:,.2f} s")
        table.add_row(
            f"a page of {_PAGE_SIZE} members, the slowest of {_PAGE_COUNT}",
            f"{1e3 * self.page_seconds:,.0f} ms",
        )
        table.add_row("the estimate", f"{self.estimate_seconds:,.2f} s")
        rate = self.member_count / self.accepted_seconds
        table.add_row("launch to accepted", f"{self.accepted_seconds:,.1f} s ({rate:,.0f}/s)")
        table.add_row("the same, until all receipts are in", f"{self.settled_seconds:,.1f} s")
        console.print(table)
        for group, facts in self.about.items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)


async def measure_launch(
    stack: RunningStack, *, profile_count: int, channel: str, say: Callable[[str], None]
) -> LaunchReport:
    """Measure a launch to everybody of a tenant of the bench's own.

    Args:
        stack: a healthy stack.
        profile_count: people, who all agreed to messages.
        channel: by which the messages go.
        say: shows progress.

    Raises:
        BenchError: the books do not balance, somebody got no message, or it does not come to rest.
    """
    async with AsyncExitStack() as clients:
        auditor = await clients.enter_async_context(stack.auditor())
        (tenant,) = await make_tenants(
            stack,
            clients,
            run=uuid4().hex[:8],
            tenant_count=1,
            profile_count=profile_count,
            channel=channel,
            say=say,
        )
        client = tenant.client
        segment = await client.segments.create_segment(
            Segment(name="everybody", condition="profile.lifetime_value_vnd > 0")
        )
        began = time.monotonic()
        snapshot = await client.segments.create_snapshot(segment.segment_id)
        snapshot_seconds = time.monotonic() - began
        say(f"frozen: {snapshot.member_count:,} people in {snapshot_seconds:.2f} s")

        page_seconds, token = 0.0, ""
        for _ in range(_PAGE_COUNT):
            began = time.monotonic()
            page = await client.segments.list_snapshot_members(
                snapshot.snapshot_id, page_size=_PAGE_SIZE, page_token=token
            )
            page_seconds = max(page_seconds, time.monotonic() - began)
            token = page.next_page_token
            if not token:
                break

        began = time.monotonic()
        await client.decisions.estimate_launch(tenant.launch_rule_id, snapshot.snapshot_id)
        estimate_seconds = time.monotonic() - began

        began_at = datetime.now(UTC)
        await client.decisions.launch_campaign(tenant.launch_rule_id, snapshot.snapshot_id)
        at_rest_at = await rest(stack, auditor)
        ours = {
            str(row["delivery_id"])
            async for row in _QUERIES.deliveries_of_tenant(
                auditor, tenant_id=UUID(tenant.tenant_id)
            )
        }
        accepted_at = [
            row.accepted_at
            for row in await asyncio.to_thread(lambda: list(read_witness(stack.witness_file)))
            if row.reference in ours
        ]
        if len(accepted_at) != snapshot.member_count:
            raise BenchError(
                f"{snapshot.member_count} people are in the launch, but {len(accepted_at)} "
                "messages were accepted"
            )
        settings = dict(await _QUERIES.settings(auditor))
    return LaunchReport(
        member_count=snapshot.member_count,
        snapshot_seconds=snapshot_seconds,
        page_seconds=page_seconds,
        estimate_seconds=estimate_seconds,
        accepted_seconds=(max(accepted_at) - began_at).total_seconds(),
        settled_seconds=(at_rest_at - began_at).total_seconds(),
        about={
            "workload": {"channel": channel},
            "machine": machine(),
            "versions": versions(),
            "postgresql": settings,
        },
    )
