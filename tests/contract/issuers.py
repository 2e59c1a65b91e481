"""The development issuer as a process of its own, for whichever clients a test needs."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.contract.auth.processes import free_address, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

SECRET = "a secret of this test run"


def client_of(client_id: str, *scopes: str, any_tenant: bool = False) -> dict[str, Any]:
    """A client as the issuer's file has it; its secret is SECRET."""
    return {
        "client_id": client_id,
        "client_secret": SECRET,
        "scopes": scopes,
        "any_tenant": any_tenant,
    }


@asynccontextmanager
async def issuing(folder: Path, clients: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    """Run an issuer that keeps its files in `folder`; gives the realm's URL."""
    (folder / "clients.json").write_text(json.dumps(clients))
    address = free_address()
    realm = f"http://{address}/realms/leo"
    async with running(
        "libs.issuer",
        folder / "log",
        f"{realm}/protocol/openid-connect/certs",
        LEO_ISSUER_ADDRESS=address,
        LEO_ISSUER_CLIENTS_FILE=str(folder / "clients.json"),
        LEO_ISSUER_KEY_FILE=str(folder / "keys.json"),
    ):
        yield realm


def token_url_of(realm: str) -> str:
    """Where the realm gives tokens."""
    return f"{realm}/protocol/openid-connect/token"


def jwks_url_of(realm: str) -> str:
    """Where the realm's keys are."""
    return f"{realm}/protocol/openid-connect/certs"
