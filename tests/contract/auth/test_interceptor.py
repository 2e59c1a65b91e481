from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from libs.auth.caller import Caller, current_caller, current_tenant
from libs.auth.interceptor import AuthInterceptor
from libs.auth.verifier import TokenVerifier
from libs.rpc.errors import StartError
from libs.rpc.settings import ServerSettings
from tests.contract.auth.tokens import OTHER_TENANT, TENANT, ScriptedIssuer
from tests.contract.rpc.scripted import (
    SERVICE,
    ScriptedServicer,
    call_raw,
    error_info,
    ingest_server,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Code = grpc.StatusCode


class Door:
    """A server with the interceptor, and whom it let in."""

    def __init__(self, channel: grpc.aio.Channel, issuer: ScriptedIssuer) -> None:
        self.channel = channel
        self.stub = IngestServiceStub(channel)
        self.issuer = issuer
        self.callers: list[Caller] = []
        self.tenants: list[Any] = []

    async def act(self) -> None:
        self.callers.append(current_caller())
        self.tenants.append(current_tenant())

    async def ingest(self, *metadata: tuple[str, str], **claims: Any) -> Any:
        bearer = ("authorization", f"Bearer {self.issuer.sign(**claims)}")
        return await self.stub.IngestEvent(pb.IngestEventRequest(), metadata=(bearer, *metadata))

    async def create_tenant(self, *metadata: tuple[str, str], **claims: Any) -> Any:
        bearer = ("authorization", f"Bearer {self.issuer.sign(**claims)}")
        return await self.stub.CreateTenant(pb.CreateTenantRequest(), metadata=(bearer, *metadata))

    async def ingest_with(self, *metadata: tuple[str, str]) -> Any:
        return await self.stub.IngestEvent(pb.IngestEventRequest(), metadata=metadata)


@pytest.fixture
async def door(issuer: ScriptedIssuer) -> AsyncIterator[Door]:
    servicer = ScriptedServicer()
    settings = ServerSettings(reflection=True)
    async with (
        TokenVerifier(issuer.settings()) as verifier,
        ingest_server(
            servicer, interceptors=[AuthInterceptor(verifier, [SERVICE])], settings=settings
        ) as channel,
    ):
        door = Door(channel, issuer)
        servicer.act = door.act
        yield door
        assert len(door.callers) <= 1


async def refused(call: Any, code: grpc.StatusCode, reason: str) -> dict[str, str]:
    seen, status = await refusal(call)
    info = error_info(status)
    assert (seen, info.reason, info.domain) == (code, reason, "leo")
    assert "canary" not in str(status)
    return dict(info.metadata)


async def test_a_good_token_is_let_in_with_its_tenant(door: Door) -> None:
    await door.ingest()
    assert door.callers[0].client_id == "crm"
    assert door.tenants == [TENANT]


async def test_a_stream_knows_its_caller(door: Door) -> None:
    metadata = (("authorization", f"Bearer {door.issuer.sign()}"),)
    stream = door.stub.StreamEvents(iter([pb.StreamEventsRequest()]), metadata=metadata)
    await stream.read()
    assert door.tenants == [TENANT]


async def test_the_scheme_s_name_is_written_as_one_likes(door: Door) -> None:
    await door.ingest_with(("authorization", f"bearer {door.issuer.sign()}"))
    assert door.tenants == [TENANT]


@pytest.mark.parametrize("values", [[], ["Basic dXNlcjpjYW5hcnk="], ["Bearer"], [""]])
async def test_without_a_bearer_token_nobody_comes_in(door: Door, values: list[str]) -> None:
    call = door.ingest_with(*(("authorization", value) for value in values))
    reason = "TOKEN_INVALID" if values == ["Bearer"] else "TOKEN_MISSING"
    await refused(call, Code.UNAUTHENTICATED, reason)
    assert not door.callers


async def test_a_stream_without_a_token_is_refused(door: Door) -> None:
    stream = door.stub.StreamEvents(iter([pb.StreamEventsRequest()]))
    await refused(stream.read(), Code.UNAUTHENTICATED, "TOKEN_MISSING")


async def test_two_spaces_are_refused(door: Door) -> None:
    call = door.ingest_with(("authorization", f"Bearer  {door.issuer.sign()}"))
    assert await refused(call, Code.UNAUTHENTICATED, "TOKEN_INVALID") == {"problem": "malformed"}


async def test_two_tokens_are_refused(door: Door) -> None:
    bearer = ("authorization", f"Bearer {door.issuer.sign()}")
    call = door.ingest_with(bearer, bearer)
    assert await refused(call, Code.UNAUTHENTICATED, "TOKEN_INVALID") == {"problem": "malformed"}


async def test_a_refused_token_says_what_is_wrong_with_it(door: Door) -> None:
    metadata = await refused(door.ingest(aud="x"), Code.UNAUTHENTICATED, "TOKEN_INVALID")
    assert metadata == {"problem": "audience"}


async def test_an_oversize_token_is_refused_by_us_and_not_by_chance(door: Door) -> None:
    token = door.issuer.sign(padding="x" * 8500)
    assert len(token) > 11_000
    for _ in range(20):
        call = door.ingest_with(("authorization", f"Bearer {token}"))
        metadata = await refused(call, Code.UNAUTHENTICATED, "TOKEN_INVALID")
        assert metadata == {"problem": "too_long"}


async def test_without_keys_the_caller_may_retry(door: Door) -> None:
    door.issuer.failing = True
    await refused(door.ingest(), Code.UNAVAILABLE, "KEYS_UNAVAILABLE")


@pytest.mark.parametrize("scope", [None, "", "leo.events.writer", "leo.profiles.write openid"])
async def test_a_token_without_the_scope_is_refused(door: Door, scope: str | None) -> None:
    metadata = await refused(door.ingest(scope=scope), Code.PERMISSION_DENIED, "SCOPE_MISSING")
    assert metadata == {"scope": "leo.events.write"}
    assert not door.callers


async def test_a_token_without_a_tenant_is_refused(door: Door) -> None:
    await refused(door.ingest(tenant_id=None), Code.PERMISSION_DENIED, "TENANT_FORBIDDEN")


async def test_a_malformed_tenant_is_refused(door: Door) -> None:
    metadata = await refused(door.ingest(tenant_id="canary"), Code.UNAUTHENTICATED, "TOKEN_INVALID")
    assert metadata == {"problem": "tenant"}


@pytest.mark.parametrize("tenant_id", [TENANT, OTHER_TENANT])
async def test_only_our_own_services_name_a_tenant(door: Door, tenant_id: Any) -> None:
    call = door.ingest(("x-leo-tenant-id", str(tenant_id)))
    await refused(call, Code.PERMISSION_DENIED, "TENANT_FORBIDDEN")


async def test_an_internal_identity_acts_in_the_tenant_that_it_names(door: Door) -> None:
    await door.ingest(("x-leo-tenant-id", str(OTHER_TENANT)), scope="leo.internal", tenant_id=None)
    assert door.tenants == [OTHER_TENANT]
    assert door.callers[0].internal


@pytest.mark.parametrize(
    ("named", "claimed"),
    [
        ([], None),
        (["canary"], None),
        ([str(TENANT), str(OTHER_TENANT)], None),
        ([str(OTHER_TENANT)], str(TENANT)),
    ],
)
async def test_an_internal_identity_must_name_one_tenant_that_fits(
    door: Door, named: list[str], claimed: str | None
) -> None:
    metadata = [("x-leo-tenant-id", name) for name in named]
    call = door.ingest(*metadata, scope="leo.internal", tenant_id=claimed)
    await refused(call, Code.PERMISSION_DENIED, "TENANT_FORBIDDEN")
    assert not door.callers


async def test_naming_a_tenant_changes_nothing_for_the_next_call(door: Door) -> None:
    token = door.issuer.sign(scope="leo.internal", tenant_id=None)
    bearer = ("authorization", f"Bearer {token}")
    await door.ingest_with(bearer, ("x-leo-tenant-id", str(TENANT)))
    await refused(door.ingest_with(bearer), Code.PERMISSION_DENIED, "TENANT_FORBIDDEN")


async def test_a_platform_rpc_needs_no_tenant(door: Door) -> None:
    # The servicer notes the caller and then asks for the tenant: that there is none is a defect.
    code, _ = await refusal(door.create_tenant(scope="leo.tenants.admin", tenant_id=None))
    assert code == Code.INTERNAL
    assert door.callers[0].tenant_id is None


async def test_internal_identities_do_not_rule_the_platform(door: Door) -> None:
    call = door.create_tenant(scope="leo.internal", tenant_id=None)
    metadata = await refused(call, Code.PERMISSION_DENIED, "SCOPE_MISSING")
    assert metadata == {"scope": "leo.tenants.admin"}


async def test_whoever_has_no_token_learns_nothing_of_the_message(door: Door) -> None:
    code, status = await refusal(call_raw(door.channel, "IngestEvent", b"\xff"))
    assert (code, error_info(status).reason) == (Code.UNAUTHENTICATED, "TOKEN_MISSING")


async def test_health_and_reflection_ask_for_no_token(door: Door) -> None:
    health: Any = health_pb2_grpc.HealthStub(door.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status != health_pb2.HealthCheckResponse.UNKNOWN
    channel: Any = door.channel
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    listed = await reflection.ServerReflectionInfo(iter([request])).read()
    assert listed.list_services_response.service


async def test_an_rpc_without_a_scope_stops_the_start(issuer: ScriptedIssuer) -> None:
    file = descriptor_pb2.FileDescriptorProto(name="open.proto", package="open", syntax="proto3")
    file.message_type.add(name="Nothing")
    method = file.service.add(name="OpenService").method.add(name="Enter")
    method.input_type = method.output_type = ".open.Nothing"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindServiceByName("open.OpenService")
    async with TokenVerifier(issuer.settings()) as verifier:
        with pytest.raises(StartError, match=r"open\.OpenService\.Enter"):
            AuthInterceptor(verifier, [descriptor])


async def test_an_rpc_that_the_interceptor_does_not_know_is_closed(issuer: ScriptedIssuer) -> None:
    async with (
        TokenVerifier(issuer.settings()) as verifier,
        ingest_server(ScriptedServicer(), interceptors=[AuthInterceptor(verifier, [])]) as channel,
    ):
        call = Door(channel, issuer).ingest()
        code, _ = await refusal(call)
    assert code == Code.INTERNAL
