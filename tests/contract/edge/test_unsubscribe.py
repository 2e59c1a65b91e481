"""The door of the links to unsubscribe, with the real ingest service and its database behind it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from leo.ingest.v1 import ingest_service_pb2
from leo.ingest.v1.ingest_service_pb2 import Consent, Profile, ProfileInput
from leo.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from leo_sdk import ClientCredentials, LeoClient
from libs.auth.caller import INTERNAL_SCOPE
from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.postgres.batcher import Batcher
from libs.relay import InternalSettings
from libs.rpc.server import Registration, build_server, serving
from libs.rpc.settings import ServerSettings
from libs.unsubscribe import UnsubscribeLinks, Withdrawal
from services.edge.app import build_application
from services.edge.settings import EdgeSettings
from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX
from services.ingest.servicer import IngestServicer
from services.ingest.store import IngestStore
from tests.contract.auth.tokens import http_server
from tests.contract.issuers import SECRET, client_of, issuing, jwks_url_of, token_url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libs.postgres.database import Database

SCOPES = ("leo.profiles.read", "leo.profiles.write")
# Some sources use a phone number.
EXT_ID = "canary-84901234567"
LINKS = UnsubscribeLinks([Fernet.generate_key()], "https://leo.shop.test/unsubscribe")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(scope="module")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    clients = [client_of("leo-edge", INTERNAL_SCOPE), client_of("test", *SCOPES, any_tenant=True)]
    async with issuing(tmp_path_factory.mktemp("issuer"), clients) as realm:
        yield realm


@pytest.fixture
async def ingest_address(database: Database, realm: str) -> AsyncIterator[str]:
    store = IngestStore(database)
    descriptor = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"]
    servicer = IngestServicer(store, Batcher(store.insert_events, count_max=EVENT_BATCH_COUNT_MAX))
    auth = AuthSettings(issuer=realm, jwks_url=jwks_url_of(realm))
    async with TokenVerifier(auth) as verifier:
        server = build_server(
            [Registration(descriptor, partial(add_IngestServiceServicer_to_server, servicer))],
            interceptors=[AuthInterceptor(verifier, [descriptor])],
            settings=ServerSettings(),
        )
        async with serving(server, "127.0.0.1:0", ready=database.ping) as bound:
            yield bound


@pytest.fixture
async def client(ingest_address: str, realm: str, tenant_id: UUID) -> AsyncIterator[LeoClient]:
    tokens = ClientCredentials(
        token_url_of(realm), "test", SECRET, scope=" ".join(SCOPES), tenant_id=str(tenant_id)
    )
    async with tokens, LeoClient(ingest_address, tokens) as client:
        yield client


def edge_of(realm: str, ingest_address: str, links: UnsubscribeLinks | None = LINKS) -> Any:
    identity = InternalSettings(
        client_id="leo-edge", client_secret=SecretStr(SECRET), token_url=token_url_of(realm)
    )
    return build_application(EdgeSettings(ingest_address=ingest_address), identity, links)


@pytest.fixture
async def edge(realm: str, ingest_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        http_server(edge_of(realm, ingest_address)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as edge,
    ):
        yield edge


@pytest.fixture
def withdrawal(tenant_id: UUID) -> Withdrawal:
    return Withdrawal(
        tenant_id=tenant_id,
        ext_id=EXT_ID,
        channel="email",
        purpose="marketing",
        delivery_id=uuid4(),
    )


def path_of(withdrawal: Withdrawal, links: UnsubscribeLinks = LINKS) -> str:
    url = links.url_of(withdrawal)
    assert url.startswith("https://leo.shop.test/unsubscribe/")
    assert "canary" not in url
    return url.removeprefix("https://leo.shop.test")


async def agree(client: LeoClient, **changes: Any) -> None:
    await client.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id=EXT_ID))])
    values: dict[str, Any] = {
        "channel": "email",
        "purpose": "marketing",
        "state": Consent.STATE_GRANTED,
        "evidence": "form",
    }
    await client.ingest.set_consent(EXT_ID, Consent(**(values | changes)))


async def consents(client: LeoClient) -> list[tuple[str, str, Any, int]]:
    found = (await client.ingest.get_profile(EXT_ID)).consents
    return [(item.channel, item.purpose, item.state, item.version) for item in found]


async def test_one_click_withdraws_this_channel_and_purpose(
    edge: httpx.AsyncClient, client: LeoClient, withdrawal: Withdrawal
) -> None:
    await agree(client)
    await agree(client, purpose="transactional")
    await agree(client, channel="zalo-template")
    response = await edge.post(path_of(withdrawal), data=ONE_CLICK)
    assert response.status_code == 200
    assert "Đã hủy đăng ký" in response.text
    assert await consents(client) == [
        ("email", "marketing", Consent.STATE_WITHDRAWN, 2),
        ("email", "transactional", Consent.STATE_GRANTED, 1),
        ("zalo-template", "marketing", Consent.STATE_GRANTED, 1),
    ]
    found = (await client.ingest.get_profile(EXT_ID)).consents[0]
    assert found.evidence == f"link to unsubscribe in delivery {withdrawal.delivery_id}"


async def test_a_repeat_answers_the_same_and_is_not_recorded_again(
    edge: httpx.AsyncClient, client: LeoClient, withdrawal: Withdrawal
) -> None:
    await agree(client)
    answers = []
    # As a form, in parts, and with nothing: the address says it all.
    for sent in ({"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}, {}):
        response = await edge.post(path_of(withdrawal), **sent)
        answers.append((response.status_code, response.text))
    assert len(set(answers)) == 1
    assert await consents(client) == [("email", "marketing", Consent.STATE_WITHDRAWN, 2)]


async def test_the_link_holds_after_the_person_agreed_again(
    edge: httpx.AsyncClient, client: LeoClient, withdrawal: Withdrawal
) -> None:
    path = path_of(withdrawal)
    for version in (2, 4):
        await agree(client)
        await edge.post(path, data=ONE_CLICK)
        assert await consents(client) == [("email", "marketing", Consent.STATE_WITHDRAWN, version)]


async def test_looking_at_a_link_changes_nothing(
    edge: httpx.AsyncClient, client: LeoClient, withdrawal: Withdrawal
) -> None:
    await agree(client)
    response = await edge.get(path_of(withdrawal))
    assert response.status_code == 200
    assert '<html lang="vi">' in response.text
    assert '<form method="post">' in response.text
    assert "canary" not in response.text
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert (await edge.head(path_of(withdrawal))).status_code == 405
    assert await consents(client) == [("email", "marketing", Consent.STATE_GRANTED, 1)]


async def test_a_person_or_tenant_that_is_gone_gets_nothing_any_more(
    edge: httpx.AsyncClient, withdrawal: Withdrawal
) -> None:
    for gone in (withdrawal, replace(withdrawal, tenant_id=uuid4())):
        response = await edge.post(path_of(gone), data=ONE_CLICK)
        assert response.status_code == 200
        assert "Đã hủy đăng ký" in response.text


@pytest.mark.parametrize("token", ["x", "canary", "x" * 5000, "%00", "ệ", f"{'A' * 100}=="])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_none_is_refused(
    edge: httpx.AsyncClient, method: str, token: str
) -> None:
    response = await edge.request(method, f"/unsubscribe/{token}")
    assert response.status_code == 404
    assert "Liên kết không hợp lệ" in response.text
    assert "canary" not in response.text


async def test_a_link_that_was_changed_or_sealed_by_others_is_refused(
    edge: httpx.AsyncClient, client: LeoClient, withdrawal: Withdrawal
) -> None:
    await agree(client)
    path = path_of(withdrawal)
    middle = len(path) // 2
    changed = path[:middle] + ("A" if path[middle] != "A" else "B") + path[middle + 1 :]
    others = UnsubscribeLinks([Fernet.generate_key()], "https://leo.shop.test/unsubscribe")
    for forged in (changed, path_of(withdrawal, others)):
        assert (await edge.post(forged, data=ONE_CLICK)).status_code == 404
    assert await consents(client) == [("email", "marketing", Consent.STATE_GRANTED, 1)]


async def test_a_body_that_is_too_large_is_refused(
    edge: httpx.AsyncClient, withdrawal: Withdrawal
) -> None:
    response = await edge.post(path_of(withdrawal), content=b"x" * 5000)
    assert response.status_code == 413


async def test_ingest_away_is_told_with_the_button_to_try_again(
    realm: str, withdrawal: Withdrawal, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        http_server(edge_of(realm, "127.0.0.1:1")) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as edge,
    ):
        response = await edge.post(path_of(withdrawal), data=ONE_CLICK)
    assert response.status_code == 503
    assert '<form method="post">' in response.text
    assert "canary" not in response.text + caplog.text


async def test_without_keys_no_link_is_good(realm: str, withdrawal: Withdrawal) -> None:
    async with (
        http_server(edge_of(realm, "127.0.0.1:1", links=None)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as edge,
    ):
        assert (await edge.get(path_of(withdrawal))).status_code == 404
