from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
import httpx
import pytest
from pydantic import SecretStr

from libs.auth.interceptor import AuthInterceptor
from libs.auth.verifier import TokenVerifier
from libs.relay import InternalSettings
from libs.rpc.call import current_call
from libs.rpc.errors import ExistsError, FieldViolation, InvalidError, LimitError, MissingError
from libs.rpc.server import serving
from services.edge.app import HTTP_STATUS, build_application
from services.edge.settings import EdgeSettings
from tests.contract.auth.tokens import IssuerServer, ScriptedIssuer, http_server
from tests.contract.rpc.scripted import SERVICE, ScriptedServicer, make_server, nothing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from leo.ingest.v1 import ingest_service_pb2 as pb

# What these tests call needs no identity of the edge's own.
NOBODY = InternalSettings(
    client_id="leo-edge", client_secret=SecretStr(""), token_url="http://127.0.0.1:1/token"
)
EVENT = {
    "source": "web",
    "sourceEventId": "e-1",
    "eventType": "purchase",
    "profileExtId": "p-1",
    "eventTime": "2026-11-25T08:00:00Z",
    "properties": {"amount": 3, "items": ["a"]},
}


class BadFieldError(InvalidError):
    domain: ClassVar[str] = "ingest.leo"
    reason: ClassVar[str] = "FIELD_INVALID"


class GoneError(MissingError):
    reason: ClassVar[str] = "GONE"


class TakenError(ExistsError):
    reason: ClassVar[str] = "TAKEN"


class FullError(LimitError):
    reason: ClassVar[str] = "FULL"


class RecordingServicer(ScriptedServicer):
    """Keeps what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.act = nothing
        self.events: list[pb.Event] = []
        self.call_ids: list[str] = []

    async def IngestEvent(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.events.append(request.event)
        self.call_ids.append(current_call().call_id)
        return await super().IngestEvent(request, context)


@dataclass(frozen=True)
class Edge:
    client: httpx.AsyncClient
    issuer: ScriptedIssuer
    servicer: RecordingServicer

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, (bytes, str)) else None
        return await self.client.post(
            "/activate/event",
            content=content,
            json=None if content is not None else body,
            headers={"authorization": f"Bearer {self.issuer.sign()}"} | headers,
        )


@pytest.fixture(scope="module")
async def running_edge() -> AsyncIterator[Edge]:
    issuers, servicer = IssuerServer(), RecordingServicer()
    async with http_server(issuers.application) as issuer_url:
        issuer = issuers.new_issuer(issuer_url)
        async with TokenVerifier(issuer.settings()) as verifier:
            server = make_server(servicer, interceptors=[AuthInterceptor(verifier, [SERVICE])])
            async with serving(server, "127.0.0.1:0", ready=nothing) as address:
                settings = EdgeSettings(ingest_address=address, body_bytes_max=4096)
                async with (
                    http_server(build_application(settings, NOBODY)) as url,
                    httpx.AsyncClient(base_url=url, timeout=30) as client,
                ):
                    yield Edge(client, issuer, servicer)


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    running_edge.servicer.reset()
    return running_edge


def error_info(response: httpx.Response) -> dict[str, Any]:
    (info,) = (
        detail for detail in response.json()["details"] if detail["@type"].endswith("ErrorInfo")
    )
    assert isinstance(info, dict)
    return info


def violations(response: httpx.Response) -> list[str]:
    (bad_request,) = (
        detail for detail in response.json()["details"] if detail["@type"].endswith("BadRequest")
    )
    return [violation["field"] for violation in bad_request["fieldViolations"]]


async def test_an_event_arrives_with_the_caller_s_own_token(edge: Edge) -> None:
    response = await edge.post(EVENT)
    assert (response.status_code, response.json()) == (200, {"result": {"eventId": "e-1"}})
    (event,) = edge.servicer.events
    assert event.event_time.ToSeconds() == 1795593600
    assert event.properties["amount"] == 3


async def test_the_names_of_the_proto_are_taken_too(edge: Edge) -> None:
    assert (await edge.post({"source_event_id": "e-2"})).status_code == 200
    assert edge.servicer.events[0].source_event_id == "e-2"


async def test_the_request_id_is_handed_on(edge: Edge) -> None:
    request_id = "9b2d1a58-6a46-4c53-9a6e-6a5e1ce2f0aa"
    await edge.post(EVENT, **{"x-request-id": request_id})
    await edge.post(EVENT, **{"x-request-id": "a\tb"})
    assert edge.servicer.call_ids[0] == request_id
    assert len(edge.servicer.call_ids) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"source": 5}', "event.source"),
        ('{"sourceEventId": ["canary"]}', "event.source_event_id"),
        ('{"source_event_id": ["canary"]}', "event.source_event_id"),
        ('{"eventTime": "canary"}', "event.event_time"),
        ('{"properties": ["canary"]}', "event.properties"),
        ('{"properties": {"a": "\\ud800canary"}}', "event.properties"),
        ('{"source": "\\ud800canary"}', "event.source"),
        ('{"colour": "canary"}', "event.colour"),
        ('{"source": "a", "source": "canary"}', "event"),
        ('{"source": "canary', "event"),
        ('"canary"', "event"),
        ("[" * 4000, "event"),
        ('{"properties": {"a": ' + "[" * 4000, "event"),
        ('{"properties": {"a": ' + "[" * 150 + "]" * 150 + "}}", "event.properties"),
        ("null", "event"),
        ("", "event"),
        (b'{"source": "\xff"}', "event"),
    ],
)
async def test_bad_json_is_refused_with_the_field_and_without_its_value(
    edge: Edge, body: str | bytes, field: str
) -> None:
    response = await edge.post(body)
    assert response.status_code == 400
    assert response.json()["code"] == 3
    assert error_info(response)["reason"] == "MESSAGE_UNREADABLE"
    assert violations(response) == [field]
    assert "canary" not in response.text
    assert not edge.servicer.events


async def test_a_body_that_is_too_large_is_refused(edge: Edge) -> None:
    response = await edge.post(EVENT | {"source": "x" * 5000})
    assert response.status_code == 413
    assert error_info(response)["metadata"] == {"body_bytes_max": "4096"}


async def test_without_a_token_the_service_refuses(edge: Edge) -> None:
    response = await edge.client.post("/activate/event", json=EVENT)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_info(response)["reason"] == "TOKEN_MISSING"


@pytest.mark.parametrize("value", [b"Bearer \xc3\xa9", b"Bearer a\tb"])
async def test_a_header_that_cannot_be_handed_on_is_refused(edge: Edge, value: bytes) -> None:
    response = await edge.client.post(
        "/activate/event", json=EVENT, headers=[(b"authorization", value)]
    )
    assert response.status_code == 401
    assert error_info(response)["metadata"] == {"problem": "malformed"}


@pytest.mark.parametrize(
    ("error", "http_status", "code"),
    [
        (BadFieldError("bad", [FieldViolation("event.source", "is empty")]), 400, 3),
        (GoneError("gone", resource_type="x"), 404, 5),
        (TakenError("taken", resource_type="x"), 409, 6),
        (FullError("full"), 429, 8),
        (RuntimeError("canary"), 500, 13),
    ],
)
async def test_the_service_s_own_answer_is_handed_on(
    edge: Edge, error: Exception, http_status: int, code: int
) -> None:
    async def act() -> None:
        raise error

    edge.servicer.act = act
    response = await edge.post(EVENT)
    assert response.status_code == http_status
    assert response.json()["code"] == code
    assert error_info(response)["reason"] == getattr(error, "reason", "INTERNAL")
    assert "canary" not in response.text


async def test_a_service_that_is_away_is_unavailable_in_our_own_words() -> None:
    settings = EdgeSettings(ingest_address="127.0.0.1:1")
    async with (
        http_server(build_application(settings, NOBODY)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        response = await client.post("/activate/event", json=EVENT)
        assert (await client.get("/healthz")).json() == {"state": "SERVING"}
    assert response.status_code == 503
    assert error_info(response)["reason"] == "SERVICE_UNAVAILABLE"
    assert "127.0.0.1" not in response.text


async def test_a_server_without_the_service_is_our_defect() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = EdgeSettings(ingest_address=f"127.0.0.1:{port}")
    async with (
        http_server(build_application(settings, NOBODY)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        response = await client.post("/activate/event", json=EVENT)
    await server.stop(None)
    assert response.status_code == 500
    assert error_info(response)["reason"] == "INTERNAL"
    assert response.json()["message"] == "internal error"


async def test_a_service_that_does_not_answer_passes_the_deadline() -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    async with serving(make_server(ScriptedServicer(act)), "127.0.0.1:0", ready=nothing) as address:
        settings = EdgeSettings.model_validate(
            {"ingest_address": address, "call_timeout": "PT0.05S"}
        )
        async with (
            http_server(build_application(settings, NOBODY)) as url,
            httpx.AsyncClient(base_url=url, timeout=30) as client,
        ):
            response = await client.post("/activate/event", json=EVENT)
    assert response.status_code == 504
    assert error_info(response)["reason"] == "DEADLINE_PASSED"


def test_every_code_has_an_http_status() -> None:
    wanted = {code.value[0] for code in grpc.StatusCode} - {0}
    internal = {2, 13, 15}
    assert set(HTTP_STATUS) == wanted - internal
