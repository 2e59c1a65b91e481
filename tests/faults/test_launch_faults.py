"""Bad weather for a launch: everybody is decided about once, and nobody gets two messages."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from leo.decision.v1.decision_service_pb2 import CampaignLaunch
from leo.segment.v1.segment_service_pb2 import Segment
from libs.bench.workload import BenchTenant, make_tenants
from libs.simulator.client import SimulatorClient
from libs.supervisor.books import find_breaches, wait_for_quiet
from libs.supervisor.running import RunningStack, find_or_start
from libs.supervisor.zalo import CHANNEL
from tests.faults.stack import Stack, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEED = 20261126
# Three batches.
PROFILE_COUNT = 1200
# What was not answered clearly is in doubt, and nothing else may be left over.
ENDS = {"accepted", "outcome_unknown"}
SHORT_LEASES = {"LEO_MACHINE_LEASE": "PT2S", "LEO_MACHINE_BACKOFF_MIN": "PT0.5S"}
# Each message stays in the provider's hands for a while, so that a kill finds some there.
SLOW = {"kind": "reply_slow", "delay_seconds": 0.3}


@dataclass(frozen=True, slots=True)
class World:
    """A stack with one tenant, and a snapshot of its people."""

    stack: Stack
    running: RunningStack
    tenant: BenchTenant
    snapshot_id: str

    async def launch(self) -> str:
        launch = await self.tenant.client.decisions.launch_campaign(
            self.tenant.launch_rule_id, self.snapshot_id
        )
        return launch.launch_id

    async def decided_count(self, launch_id: str) -> int:
        found = await self.tenant.client.decisions.get_campaign_launch(launch_id)
        return sum(each.count for each in found.outcome_counts)

    async def settle(self, launch_id: str) -> Counter[str]:
        """Wait for quiet, check the books; the states of the launch's messages."""
        while not self.stack.status()["healthy"]:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)
        async with self.running.auditor() as auditor:
            await wait_for_quiet(auditor, self.running.state.address("simulator"))
            assert await find_breaches(auditor, self.running.witness_file) == []
            rows = await auditor.fetch(
                "SELECT d.outcome, d.profile_id, l.state FROM decision AS d"
                " LEFT JOIN delivery_log AS l USING (tenant_id, decision_id)"
                " WHERE d.trigger_kind = 'launch' AND d.trigger_id = $1",
                launch_id,
            )
        found = await self.tenant.client.decisions.get_campaign_launch(launch_id)
        assert found.launch.state == CampaignLaunch.STATE_SUCCEEDED
        assert {row["outcome"] for row in rows} == {"acted"}
        assert len({row["profile_id"] for row in rows}) == len(rows) == PROFILE_COUNT
        return Counter(row["state"] for row in rows)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with running_stack(**SHORT_LEASES) as stack, AsyncExitStack() as clients:
        running = find_or_start(stack.data_folder, say=print)
        (tenant,) = await make_tenants(
            running,
            clients,
            run="launch",
            tenant_count=1,
            profile_count=PROFILE_COUNT,
            channel=CHANNEL,
            say=print,
        )
        segment = await tenant.client.segments.create_segment(
            Segment(name="all", condition='profile.city != "nowhere"')
        )
        snapshot = await tenant.client.segments.create_snapshot(segment.segment_id)
        assert snapshot.member_count == PROFILE_COUNT
        yield World(stack, running, tenant, snapshot.snapshot_id)


async def test_a_launch_in_good_weather_reaches_everybody(world: World) -> None:
    launch_id = await world.launch()
    assert await world.settle(launch_id) == {"accepted": PROFILE_COUNT}


@pytest.mark.parametrize("name", ["decision-work", "dispatch", "dispatch-work", "postgres"])
async def test_a_process_killed_in_the_middle_of_a_launch(world: World, name: str) -> None:
    process = world.stack.process(name)
    at = random.Random(f"{SEED}:{name}").randrange(1, PROFILE_COUNT)
    async with SimulatorClient(world.running.state.address("simulator")) as simulator:
        await simulator.set_faults([SLOW])
        launch_id = await world.launch()
        while await world.decided_count(launch_id) < at:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        os.kill(process["pid"], signal.SIGKILL)
        await world.stack.wait_healthy(name, restarts=process["restarts"] + 1)
        await simulator.set_faults([])
    assert set(await world.settle(launch_id)) <= ENDS
