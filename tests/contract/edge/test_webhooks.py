from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

import grpc
import httpx
import pytest
from pydantic import SecretStr

from leo.dispatch.v1 import dispatch_service_pb2 as pb
from leo.dispatch.v1.dispatch_service_pb2_grpc import (
    DispatchServiceServicer,
    add_DispatchServiceServicer_to_server,
)
from libs.auth.caller import INTERNAL_SCOPE, current_caller, current_tenant
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.relay import InternalSettings
from libs.rpc.call import current_call
from libs.rpc.errors import (
    FieldViolation,
    InvalidError,
    LimitError,
    MissingError,
    StateError,
    UnavailableError,
)
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from services.edge.app import build_application
from services.edge.settings import EdgeSettings
from tests.contract.auth.tokens import http_server
from tests.contract.issuers import SECRET, client_of, issuing, jwks_url_of, token_url_of
from tests.contract.rpc.scripted import nothing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TENANT, ACCOUNT = uuid4(), uuid4()
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["DispatchService"]
# Not UTF-8, and not what a JSON library would write: what is signed are these very bytes.
BODY = b'{"timestamp" : "1602960467477", "x":"\xff"}'


class ReceiptRefusedError(InvalidError):
    domain: ClassVar[str] = "dispatch.leo"
    reason: ClassVar[str] = "RECEIPT_REFUSED"


class FieldInvalidError(InvalidError):
    domain: ClassVar[str] = "dispatch.leo"
    reason: ClassVar[str] = "FIELD_INVALID"


class AccountMissingError(MissingError):
    domain: ClassVar[str] = "dispatch.leo"
    reason: ClassVar[str] = "ACCOUNT_MISSING"


class TenantMissingError(StateError):
    reason: ClassVar[str] = "TENANT_MISSING"


class DatabaseAwayError(UnavailableError):
    reason: ClassVar[str] = "STORAGE_UNAVAILABLE"


class FullError(LimitError):
    reason: ClassVar[str] = "OVERLOADED"


@dataclass(frozen=True)
class Recorded:
    tenant_id: UUID
    client_id: str
    request: pb.RecordReceiptRequest
    seconds_left: float


class RecordingServicer(DispatchServiceServicer):
    """Keeps what arrived, then does what a test tells it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.act: Callable[[], Awaitable[None]] = nothing
        self.recorded: list[Recorded] = []

    async def RecordReceipt(self, request: Any, _context: Any) -> Any:  # noqa: N802
        left = current_call().deadline_remaining()
        assert left is not None
        self.recorded.append(
            Recorded(current_tenant(), current_caller().client_id, request, left.total_seconds())
        )
        await self.act()
        return pb.RecordReceiptResponse()


@dataclass(frozen=True)
class Edge:
    client: httpx.AsyncClient
    servicer: RecordingServicer

    async def post(
        self,
        path: str = f"/webhooks/zalo/{TENANT}/{ACCOUNT}",
        body: bytes = BODY,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        return await self.client.post(path, content=body, headers=headers)


@pytest.fixture(scope="module")
async def running_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    # Nobody calls the other RPCs here.
    servicer = RecordingServicer()  # type: ignore[abstract]
    clients = [client_of("leo-edge", INTERNAL_SCOPE)]
    async with issuing(tmp_path_factory.mktemp("issuer"), clients) as realm:
        auth = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
        async with TokenVerifier(auth) as verifier:
            server = build_server(
                [
                    Registration(
                        DESCRIPTOR, partial(add_DispatchServiceServicer_to_server, servicer)
                    )
                ],
                interceptors=[AuthInterceptor(verifier, [DESCRIPTOR])],
                settings=ServerSettings(),
            )
            async with (
                serving(server, "127.0.0.1:0", ready=nothing) as address,
                http_server(application(realm, dispatch_address=address)) as url,
                httpx.AsyncClient(base_url=url, timeout=30) as client,
            ):
                yield Edge(client, servicer)


def application(realm: str, **settings: Any) -> Any:
    identity = InternalSettings(
        client_id="leo-edge", client_secret=SecretStr(SECRET), token_url=token_url_of(realm)
    )
    return build_application(EdgeSettings(body_bytes_max=4096, **settings), identity)


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    running_edge.servicer.reset()
    return running_edge


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise error

    return act


async def test_a_webhook_reaches_dispatch_byte_for_byte_for_its_tenant(edge: Edge) -> None:
    response = await edge.post(
        headers={
            "X-ZEvent-Signature": "mac=ab",
            "X-ZEvent-Server": "ZNS",
            "Authorization": "Bearer not-ours",
            "X-Leo-Tenant-Id": str(uuid4()),
        }
    )
    assert (response.status_code, response.content) == (200, b"")
    (recorded,) = edge.servicer.recorded
    assert (recorded.tenant_id, recorded.client_id) == (TENANT, "leo-edge")
    assert recorded.request == pb.RecordReceiptRequest(
        account_id=str(ACCOUNT),
        body=BODY,
        headers=[
            pb.Header(name="x-zevent-signature", value="mac=ab"),
            pb.Header(name="x-zevent-server", value="ZNS"),
        ],
    )
    # Zalo waits for 2 s, so nothing behind the door may take longer.
    assert recorded.seconds_left < 2


async def test_a_report_reaches_dispatch_with_the_address_that_it_was_for(edge: Edge) -> None:
    body = b"To: bounces+tag@shop.test\r\n\r\n\xff"
    response = await edge.post(
        f"/webhooks/email/{TENANT}/{ACCOUNT}",
        body,
        {"Content-Type": "message/rfc822", "X-Original-To": "bounces+tag@shop.test"},
    )
    assert (response.status_code, response.content) == (200, b"")
    (recorded,) = edge.servicer.recorded
    assert recorded.request == pb.RecordReceiptRequest(
        account_id=str(ACCOUNT),
        body=body,
        headers=[pb.Header(name="x-original-to", value="bounces+tag@shop.test")],
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReceiptRefusedError("canary", metadata={"problem": "signature"}), 401),
        (ReceiptRefusedError("canary", metadata={"problem": "unreadable"}), 400),
        (FieldInvalidError("canary", [FieldViolation("body", "is required")]), 400),
        (AccountMissingError("canary", resource_type="x"), 404),
        (TenantMissingError("canary", subject="x"), 404),
        (DatabaseAwayError("canary"), 503),
        (FullError("canary"), 503),
        (RuntimeError("canary"), 503),
    ],
)
async def test_a_provider_is_told_whether_to_try_again_and_nothing_else(
    edge: Edge, error: Exception, status: int
) -> None:
    edge.servicer.act = raising(error)
    response = await edge.post()
    assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize(
    "path",
    [
        f"/webhooks/nobody/{TENANT}/{ACCOUNT}",
        f"/webhooks/zalo/a-tenant/{ACCOUNT}",
        f"/webhooks/zalo/{TENANT}/an-account",
        f"/webhooks/zalo/{TENANT}",
    ],
)
async def test_an_address_that_is_none_is_not_found(edge: Edge, path: str) -> None:
    assert (await edge.post(path)).status_code == 404
    assert not edge.servicer.recorded


async def test_a_webhook_that_is_too_large_is_refused(edge: Edge) -> None:
    assert (await edge.post(body=b"x" * 5000)).status_code == 413
    assert not edge.servicer.recorded


async def test_dispatch_away_or_slow_makes_the_provider_try_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    slow = grpc.aio.server()
    # It listens and never answers: nobody serves what is called.
    port = slow.add_insecure_port("127.0.0.1:0")
    async with issuing(
        tmp_path_factory.mktemp("issuer"), [client_of("leo-edge", INTERNAL_SCOPE)]
    ) as realm:
        for address in ("127.0.0.1:1", f"127.0.0.1:{port}"):
            settings = {
                "dispatch_address": address,
                "webhook_timeout": timedelta(milliseconds=200),
            }
            async with (
                http_server(application(realm, **settings)) as url,
                httpx.AsyncClient(base_url=url, timeout=30) as client,
            ):
                response = await client.post(f"/webhooks/zalo/{TENANT}/{ACCOUNT}", content=BODY)
            assert (response.status_code, response.content) == (503, b"")
    await slow.stop(None)


async def test_an_issuer_that_is_away_makes_the_provider_try_again() -> None:
    async with (
        http_server(application("http://127.0.0.1:1/realms/leo")) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        response = await client.post(f"/webhooks/zalo/{TENANT}/{ACCOUNT}", content=BODY)
    assert (response.status_code, response.content) == (503, b"")
