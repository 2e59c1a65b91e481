from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from libs.rpc.errors import StartError
from libs.rpc.server import Server, serving
from libs.rpc.settings import ServerSettings
from tests.contract.rpc.scripted import (
    SERVICE,
    ScriptedServicer,
    call_raw,
    details_of,
    error_info,
    ingest_server,
    make_server,
    nothing,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Code = grpc.StatusCode
Health = health_pb2.HealthCheckResponse


def unstarted_server(**settings: Any) -> Server:
    return make_server(ScriptedServicer(), settings=ServerSettings(**settings))


async def wait_for_health(channel: grpc.aio.Channel, wanted: int, service: str = "") -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service))
    async for answer in watch:
        if answer.status == wanted:
            watch.cancel()
            return


class TestUnreadable:
    async def test_a_lone_surrogate_is_refused_with_the_field_s_path(self) -> None:
        request = pb.BatchIngestEventsRequest(
            events=[pb.Event(source="web"), pb.Event(source="XXX", event_type="view")]
        )
        data = request.SerializeToString().replace(b"XXX", b"\xed\xa0\x80")
        async with ingest_server(ScriptedServicer()) as channel:
            code, status = await refusal(call_raw(channel, "BatchIngestEvents", data))
        assert code == Code.INVALID_ARGUMENT
        info, bad_request = details_of(status)
        assert (info.reason, info.metadata["field"]) == ("MESSAGE_UNREADABLE", "events[1].source")
        assert [v.field for v in bad_request.field_violations] == ["events[1].source"]

    async def test_inside_of_properties_only_the_field_is_named(self) -> None:
        request = pb.IngestEventRequest(event=pb.Event(source="web"))
        request.event.properties.update({"color": {"deep": ["XXX"]}})
        data = request.SerializeToString().replace(b"XXX", b"\xed\xa0\x80")
        async with ingest_server(ScriptedServicer()) as channel:
            _, status = await refusal(call_raw(channel, "IngestEvent", data))
        assert error_info(status).metadata["field"] == "event.properties"

    async def test_a_truncated_message_names_no_field(self) -> None:
        data = pb.IngestEventRequest(event=pb.Event(source="web")).SerializeToString()[:-1]
        async with ingest_server(ScriptedServicer()) as channel:
            code, status = await refusal(call_raw(channel, "IngestEvent", data))
        assert code == Code.INVALID_ARGUMENT
        (info,) = details_of(status)
        assert info.reason == "MESSAGE_UNREADABLE"
        assert dict(info.metadata) == {"message": "leo.ingest.v1.IngestEventRequest"}

    async def test_a_stream_is_refused_at_the_unreadable_message(self) -> None:
        good = pb.StreamEventsRequest(events=[pb.Event(source="web")]).SerializeToString()
        bad = good.replace(b"web", b"w\xffb")

        async def requests() -> AsyncIterator[bytes]:
            yield good
            yield bad

        async with ingest_server(ScriptedServicer()) as channel:
            call: Any = channel.stream_stream(f"/{SERVICE.full_name}/StreamEvents")
            stream = call(requests())
            assert pb.StreamEventsResponse.FromString(await stream.read()).durable_position == 1
            code, status = await refusal(stream.read())
        assert code == Code.INVALID_ARGUMENT
        assert error_info(status).metadata["field"] == "events[0].source"


class TestLimits:
    async def test_a_message_that_is_too_large_is_refused(self) -> None:
        request = pb.IngestEventRequest(event=pb.Event(source="x" * 5000))
        settings = ServerSettings(message_bytes_max=4096)
        async with ingest_server(ScriptedServicer(), settings=settings) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await IngestServiceStub(channel).IngestEvent(request)
        assert caught.value.code() == Code.RESOURCE_EXHAUSTED

    async def test_over_the_limit_a_call_is_told_when_to_come_again(self) -> None:
        entered, release = asyncio.Event(), asyncio.Event()

        async def act() -> None:
            entered.set()
            await release.wait()

        settings = ServerSettings(concurrent_call_count_max=1)
        async with ingest_server(ScriptedServicer(act), settings=settings) as channel:
            stub = IngestServiceStub(channel)
            first = asyncio.create_task(_answer(stub))
            await entered.wait()
            code, status = await refusal(stub.IngestEvent(pb.IngestEventRequest()))
            assert code == Code.RESOURCE_EXHAUSTED
            info, quota, retry = details_of(status)
            assert (info.reason, info.domain) == ("OVERLOADED", "leo")
            assert quota.violations
            assert retry.retry_delay.ToTimedelta() > timedelta()
            # A busy server still says how it is.
            await wait_for_health(channel, Health.SERVING)
            release.set()
            await first
            await stub.IngestEvent(pb.IngestEventRequest())

    async def test_a_broken_stream_gives_its_place_back(self) -> None:
        settings = ServerSettings(concurrent_call_count_max=1)
        entered, left = asyncio.Event(), asyncio.Event()

        async def act() -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

        servicer = ScriptedServicer(act)
        async with ingest_server(servicer, settings=settings) as channel:
            stub = IngestServiceStub(channel)
            stream = stub.StreamEvents()
            await stream.write(pb.StreamEventsRequest())
            await entered.wait()
            assert await _code(stub) == Code.RESOURCE_EXHAUSTED
            servicer.act = nothing
            stream.cancel()
            await left.wait()
            while await _code(stub) == Code.RESOURCE_EXHAUSTED:
                pass
            assert await _code(stub) == Code.OK

    @pytest.mark.parametrize("method", ["IngestEvent", "StreamEvents"])
    async def test_a_call_without_a_deadline_gets_one(self, method: str) -> None:
        async def act() -> None:
            await asyncio.Event().wait()

        settings = ServerSettings(
            unary_deadline_default=timedelta(milliseconds=50),
            stream_deadline_default=timedelta(milliseconds=50),
        )
        async with ingest_server(ScriptedServicer(act), settings=settings) as channel:
            stub = IngestServiceStub(channel)
            call: Any = (
                stub.IngestEvent(pb.IngestEventRequest())
                if method == "IngestEvent"
                else stub.StreamEvents(iter([pb.StreamEventsRequest()])).read()
            )
            code, status = await refusal(call)
        assert code == Code.DEADLINE_EXCEEDED
        assert error_info(status).reason == "DEADLINE_PASSED"

    async def test_a_time_out_of_the_servicer_s_own_is_a_defect(self) -> None:
        async def act() -> None:
            raise TimeoutError

        async with ingest_server(ScriptedServicer(act)) as channel:
            code, _ = await refusal(IngestServiceStub(channel).IngestEvent(pb.IngestEventRequest()))
        assert code == Code.INTERNAL


class TestHealth:
    async def test_it_follows_ready(self) -> None:
        away = True

        async def ready() -> None:
            if away:
                raise ConnectionRefusedError

        async with ingest_server(ScriptedServicer(), ready=ready) as channel:
            for service in ("", SERVICE.full_name):
                await wait_for_health(channel, Health.NOT_SERVING, service)
            away = False
            for service in ("", SERVICE.full_name):
                await wait_for_health(channel, Health.SERVING, service)
            away = True
            await wait_for_health(channel, Health.NOT_SERVING)

    async def test_an_unknown_service_is_not_found(self) -> None:
        async with ingest_server(ScriptedServicer()) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() == Code.NOT_FOUND


class TestReflection:
    async def test_it_lists_the_services_where_it_is_on(self) -> None:
        settings = ServerSettings(reflection=True)
        async with ingest_server(ScriptedServicer(), settings=settings) as channel:
            answer = await _list_services(channel)
        names = {service.name for service in answer.list_services_response.service}
        assert {SERVICE.full_name, "grpc.health.v1.Health"} <= names

    async def test_it_is_off_by_default(self) -> None:
        async with ingest_server(ScriptedServicer()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _list_services(channel)
        assert caught.value.code() == Code.UNIMPLEMENTED


class TestStart:
    @pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "example.org:0"])
    async def test_plaintext_beyond_loopback_is_refused(self, address: str) -> None:
        with pytest.raises(StartError, match="LEO_RPC_BEHIND_TLS_PROXY"):
            await unstarted_server().start(address)

    async def test_behind_a_tls_proxy_it_may_listen(self) -> None:
        server = unstarted_server(behind_tls_proxy=True)
        async with serving(server, "0.0.0.0:0", ready=nothing) as address:
            assert not address.endswith(":0")

    async def test_a_taken_port_is_named(self) -> None:
        async with serving(unstarted_server(), "127.0.0.1:0", ready=nothing) as address:
            with pytest.raises(StartError, match=address):
                await unstarted_server().start(address)

    async def test_an_address_without_a_port_is_refused(self) -> None:
        with pytest.raises(StartError, match="host:port"):
            await unstarted_server().start("localhost")


async def _answer(stub: Any) -> None:
    await stub.IngestEvent(pb.IngestEventRequest())


async def _code(stub: Any) -> grpc.StatusCode:
    try:
        await stub.IngestEvent(pb.IngestEventRequest(), timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Code.OK


async def _list_services(channel: Any) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    return await stub.ServerReflectionInfo(iter([request])).read()
