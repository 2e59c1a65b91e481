from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import grpc
import pytest

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

SCRIPT = """
import uvloop
from libs.rpc.errors import StartError
from libs.rpc.server import run
from libs.rpc.settings import ServerSettings
from tests.contract.rpc.scripted import ScriptedServicer, make_server
from tests.contract.auth.processes import free_address

async def ready():
    pass

async def main():
    address = free_address()
    print(address, flush=True)
    await run(make_server(ScriptedServicer()), address, ready=ready)

uvloop.run(main())
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopping_server_answers_what_it_has_begun_and_ends(
    number: signal.Signals,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().strip()
    async with grpc.aio.insecure_channel(address) as channel:
        stream: Any = IngestServiceStub(channel).StreamEvents(wait_for_ready=True)
        await stream.write(pb.StreamEventsRequest(events=[pb.Event()]))
        assert (await stream.read()).durable_position == 1
        process.send_signal(number)
        # Nobody new is let in; only then is it certain that the stop has begun.
        async with grpc.aio.insecure_channel(address) as late:
            while await _code(late) == grpc.StatusCode.OK:
                pass
        await stream.write(pb.StreamEventsRequest(events=[pb.Event()]))
        assert (await stream.read()).durable_position == 2
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK
    assert await process.wait() == 0
    assert b"ended" in await process.stdout.read()


async def _code(channel: grpc.aio.Channel) -> grpc.StatusCode:
    try:
        await IngestServiceStub(channel).IngestEvent(pb.IngestEventRequest())
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
