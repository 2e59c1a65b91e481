"""Measures every way into the database beside the bare insert, and counts the rows afterwards."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr, ValidationError

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Tenant
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.bench.plan import Measurement, Plan
from libs.bench.report import LABELS, Report
from libs.embedded.credentials import DEVELOPER, load_credentials
from libs.postgres import roles
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.bench.plan import Way
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)


async def measure_ingest(
    stack: RunningStack,
    *,
    row_count_max: int,
    seconds_max: float,
    repeat_count: int,
    say: Callable[[str], None],
) -> Report:
    """Measure each way once in each repeat, so that what disturbs the machine disturbs all alike.

    Args:
        stack: a healthy stack; a tenant of the bench's own is made in it.
        row_count_max: each measurement ends after so many events,
        seconds_max: or after so long.
        repeat_count: how often each way is measured.
        say: shows progress.

    Raises:
        BenchError: a driver failed, or rows are missing that were acknowledged.
        leo_sdk.LeoRpcError: the tenant could not be made.
    """
    run = uuid4().hex[:12]
    tenant_id = await _create_tenant(stack, f"bench-{run}")
    measurements = []
    auditor = await asyncpg.connect(stack.auditor_dsn)
    try:
        for repeat in range(1, repeat_count + 1):
            for way in LABELS:
                source = f"bench-{way}-{repeat}"
                plan = _plan(
                    stack,
                    tenant_id=tenant_id,
                    way=way,
                    source=source,
                    row_count_max=row_count_max,
                    seconds_max=seconds_max,
                )
                measurement = await _drive(plan)
                await _check_rows(auditor, plan, measurement)
                measurements.append(measurement)
                say(f"{repeat} of {repeat_count}: {way}, {measurement.rows_per_second:,.0f}/s")
        settings = dict(await _QUERIES.settings(auditor))
    finally:
        await auditor.close()
    return Report(
        measurements,
        {"machine": machine(), "versions": versions(), "postgresql": settings},
    )


async def _create_tenant(stack: RunningStack, name: str) -> UUID:
    async with (
        stack.tokens() as tokens,
        leo_sdk.LeoClient(stack.ingest_address, tokens) as platform,
    ):
        tenant = await platform.ingest.create_tenant(Tenant(name=name))
    return UUID(tenant.tenant_id)


def _plan(
    stack: RunningStack,
    *,
    tenant_id: UUID,
    way: Way,
    source: str,
    row_count_max: int,
    seconds_max: float,
) -> Plan:
    return Plan(
        way=way,
        source=source,
        row_count_max=row_count_max,
        seconds_max=seconds_max,
        tenant_id=tenant_id,
        ingest_address=stack.ingest_address,
        token_url=stack.state.token_url,
        client_id=DEVELOPER,
        client_secret=SecretStr(load_credentials(stack.folder)[DEVELOPER]),
        ingest_dsn=SecretStr(stack.dsn(roles.INGEST)),
    )


async def _drive(plan: Plan) -> Measurement:
    """Run the driver as a process of its own, so that it shares no event loop with anything."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # -P: a folder of that name in the current folder is not meant.
        "-P",
        "-m",
        "libs.bench.driver",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(plan.model_dump_json().encode())
    try:
        return Measurement.model_validate_json(output)
    except ValidationError:
        said = errors.decode(errors="replace").strip().splitlines()
        raise BenchError(f"{plan.way}: the driver failed: {said[-1] if said else ''}") from None


async def _check_rows(auditor: asyncpg.Connection, plan: Plan, measurement: Measurement) -> None:
    stored_count = await _QUERIES.count_events(
        auditor, tenant_id=plan.tenant_id, source=plan.source
    )
    if stored_count != measurement.row_count:
        raise BenchError(
            f"{plan.way}: {measurement.row_count} events were acknowledged, but {stored_count} "
            "rows are there"
        )
