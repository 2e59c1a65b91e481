from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.auth.tokens import IssuerServer, ScriptedIssuer, http_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
async def issuer_server() -> AsyncIterator[tuple[IssuerServer, str]]:
    server = IssuerServer()
    async with http_server(server.application) as url:
        yield server, url


@pytest.fixture
def issuer(issuer_server: tuple[IssuerServer, str]) -> ScriptedIssuer:
    server, url = issuer_server
    return server.new_issuer(url)
