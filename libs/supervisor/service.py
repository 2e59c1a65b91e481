"""One of our own processes, with the interface of the embedded servers."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.embedded.process import end, spawn, until_answers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

START_TIMEOUT_SECONDS = 60
# A service ends its calls in progress within ten (libs/rpc/settings.py).
STOP_TIMEOUT_SECONDS = 15
PROBE_TIMEOUT_SECONDS = 2


class ServiceProcess:
    """`python -m <module> <command>`.

    Attributes:
        process: None before the first start.
    """

    def __init__(
        self,
        module: str,
        command: str,
        *,
        address: str,
        probe: str | None,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        """Describe the process; `start` starts it.

        Args:
            module: such as "services.ingest".
            command: "serve" or "work".
            address: where it listens; "-" for a process without a door.
            probe: "grpc" for the standard health service, or the path of a GET that answers 200;
                None where there is nothing to ask: it can do its work while it lives.
            environment: its settings, on top of our own environment.
            log: where its output goes.
        """
        self.address = address
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        # -P: a folder of that name in the current folder is not meant.
        self._command = [sys.executable, "-P", "-m", module, command]
        self._probe = probe
        self._environment = environment

    async def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            EmbeddedError: it ended or does not answer; the message ends with what it said last.
        """
        environment = os.environ | self._environment
        self.process = spawn(self._command, log=self.log, environment=environment)
        await until_answers(self, timeout_seconds=START_TIMEOUT_SECONDS)

    async def stop(self) -> None:
        """Let it end what it does, then stop."""
        await end(self.process, signal.SIGTERM, timeout_seconds=STOP_TIMEOUT_SECONDS)

    async def kill(self) -> None:
        """Stop at once."""
        await end(self.process, signal.SIGKILL, timeout_seconds=STOP_TIMEOUT_SECONDS)

    async def answers(self) -> bool:
        """Whether it says that it can serve, or lives where there is nothing to ask."""
        if self._probe is None:
            return self.process is not None and self.process.poll() is None
        if self._probe == "grpc":
            return await _grpc_answers(self.address)
        try:
            async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_SECONDS, trust_env=False) as client:
                response = await client.get(f"http://{self.address}{self._probe}")
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK


async def _grpc_answers(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await health.Check(
                health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
