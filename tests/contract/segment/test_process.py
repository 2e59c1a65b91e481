"""`python -m services.segment serve`, as the supervisor runs it."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.postgres import roles
from tests.contract.auth.processes import free_address, start
from tests.contract.issuers import jwks_url_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DsnOf


async def test_it_serves_until_it_is_told_to_stop(
    dsn_of: DsnOf, realm: str, tmp_path: Path
) -> None:
    address = free_address()
    process = await start(
        "services.segment",
        tmp_path / "log",
        LEO_SEGMENT_ADDRESS=address,
        LEO_POSTGRES_DSN=dsn_of(roles.SEGMENT),
        LEO_AUTH_ISSUER=realm,
        LEO_AUTH_JWKS_URL=jwks_url_of(realm),
    )
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="leo.segment.v1.SegmentService")
        async for answer in health.Watch(request, wait_for_ready=True):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_without_a_command_it_says_how_it_is_called() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.segment", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"services.segment serve" in said
