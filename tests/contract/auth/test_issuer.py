from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from libs.auth.errors import TokenInvalidError
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.issuer.settings import read_clients
from libs.rpc.errors import StartError
from tests.contract.auth.processes import free_address, running, start
from tests.contract.auth.tokens import TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "canary-secret"
CLIENTS = [
    {
        "client_id": "crm",
        "client_secret": SECRET,
        "scopes": ["leo.events.write", "leo.profiles.write"],
        "tenant_id": str(TENANT),
    },
    {
        "client_id": "operator",
        "client_secret": SECRET,
        "scopes": ["leo.tenants.admin"],
        "tenant_id": None,
        "any_tenant": True,
    },
]


class RunningIssuer:
    def __init__(self, folder: Path, address: str) -> None:
        self.realm = f"http://{address}/realms/leo"
        self.log = folder / "log"
        self.key_file = folder / "keys" / "keys.json"
        self.environment = {
            "LEO_ISSUER_ADDRESS": address,
            "LEO_ISSUER_CLIENTS_FILE": str(folder / "clients.json"),
            "LEO_ISSUER_KEY_FILE": str(self.key_file),
        }

    async def ask(self, **form: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": "crm",
            "client_secret": SECRET,
        } | form
        async with httpx.AsyncClient() as client:
            return await client.post(f"{self.realm}/protocol/openid-connect/token", data=form)

    async def token(self, **form: str) -> str:
        response = await self.ask(**form)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def configuration(self) -> Any:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.realm}/.well-known/openid-configuration")
            return answer.json()

    async def settings(self) -> AuthSettings:
        found = await self.configuration()
        return AuthSettings(issuer=found["issuer"], jwks_url=found["jwks_uri"])


@pytest.fixture(scope="module")
async def running_issuer(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RunningIssuer]:
    folder = tmp_path_factory.mktemp("issuer")
    (folder / "clients.json").write_text(json.dumps(CLIENTS))
    issuer = RunningIssuer(folder, free_address())
    url = f"{issuer.realm}/.well-known/openid-configuration"
    async with running("libs.issuer", issuer.log, url, **issuer.environment):
        yield issuer


async def test_its_tokens_are_access_tokens_of_the_client_s_tenant(
    running_issuer: RunningIssuer,
) -> None:
    async with TokenVerifier(await running_issuer.settings()) as verifier:
        caller = await verifier.verify(await running_issuer.token())
    assert caller.client_id == "crm"
    assert caller.tenant_id == TENANT
    assert caller.scopes == {"leo.events.write", "leo.profiles.write"}


async def test_fewer_scopes_may_be_asked_for(running_issuer: RunningIssuer) -> None:
    async with TokenVerifier(await running_issuer.settings()) as verifier:
        caller = await verifier.verify(await running_issuer.token(scope="leo.events.write"))
    assert caller.scopes == {"leo.events.write"}


async def test_one_that_may_pick_picks_the_tenant(running_issuer: RunningIssuer) -> None:
    tenant_id = uuid4()
    async with TokenVerifier(await running_issuer.settings()) as verifier:
        picked = await verifier.verify(
            await running_issuer.token(client_id="operator", tenant_id=str(tenant_id))
        )
        unpicked = await verifier.verify(await running_issuer.token(client_id="operator"))
    assert picked.tenant_id == tenant_id
    assert unpicked.tenant_id is None


async def test_another_issuer_s_name_is_not_believed(running_issuer: RunningIssuer) -> None:
    settings = await running_issuer.settings()
    renamed = settings.model_copy(update={"issuer": settings.issuer.replace("127.0.0.1", "x")})
    async with TokenVerifier(renamed) as verifier:
        with pytest.raises(TokenInvalidError) as caught:
            await verifier.verify(await running_issuer.token())
    assert caught.value.metadata == {"problem": "issuer"}


@pytest.mark.parametrize(
    ("form", "status_code", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": "nobody", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "leo.events.write leo.internal"}, 400, "invalid_scope"),
        ({"tenant_id": str(TENANT)}, 400, "invalid_request"),
        ({"client_id": "operator", "tenant_id": "demo"}, 400, "invalid_request"),
    ],
)
async def test_a_refusal_reads_as_keycloak_writes_it(
    running_issuer: RunningIssuer, form: dict[str, str], status_code: int, error: str
) -> None:
    response = await running_issuer.ask(**form)
    assert response.status_code == status_code
    body = response.json()
    assert (set(body), body["error"]) == ({"error", "error_description"}, error)


async def test_its_keys_hold_an_encryption_key_and_nothing_private(
    running_issuer: RunningIssuer,
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get((await running_issuer.configuration())["jwks_uri"])
    keys = answer.json()["keys"]
    assert [(key["use"], key["alg"]) for key in keys] == [("sig", "RS256"), ("enc", "RSA-OAEP")]
    assert all(set(key) == {"kty", "kid", "use", "alg", "n", "e"} for key in keys)


async def test_the_key_file_is_its_owner_s_alone(running_issuer: RunningIssuer) -> None:
    assert stat.S_IMODE(running_issuer.key_file.stat().st_mode) == 0o600


async def test_it_ends_cleanly_and_comes_back_with_its_keys(tmp_path: Path) -> None:
    (tmp_path / "clients.json").write_text(json.dumps(CLIENTS))
    issuer = RunningIssuer(tmp_path, free_address())
    url = f"{issuer.realm}/.well-known/openid-configuration"
    async with running("libs.issuer", issuer.log, url, **issuer.environment) as process:
        token, settings = await issuer.token(), await issuer.settings()
        process.terminate()
        assert await process.wait() == 0
    async with (
        running("libs.issuer", issuer.log, url, **issuer.environment),
        TokenVerifier(settings) as verifier,
    ):
        await verifier.verify(token)
    assert SECRET not in issuer.log.read_text()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:7070", "nonsense"])
async def test_it_listens_on_loopback_only(tmp_path: Path, address: str) -> None:
    (tmp_path / "clients.json").write_text(json.dumps(CLIENTS))
    issuer = RunningIssuer(tmp_path, address)
    process = await start("libs.issuer", issuer.log, **issuer.environment)
    assert await process.wait() == 1
    assert address in issuer.log.read_text()


@pytest.mark.parametrize(
    "text", ["", "{}", '[{"client_id": "a"}]', '[{"client_secret": "canary", "scopes": 1}]']
)
def test_a_wrong_clients_file_names_the_place_and_no_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(text)
    with pytest.raises(StartError, match=r"clients\.json") as caught:
        read_clients(path)
    assert "canary" not in str(caught.value)


def test_a_missing_clients_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere\.json cannot be read"):
        read_clients(tmp_path / "nowhere.json")
