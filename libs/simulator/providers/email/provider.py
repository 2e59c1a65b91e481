"""The accounts of the mail server, and where it listens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from libs.rpc.address import split_address
from libs.rpc.errors import StartError
from libs.simulator.provider import Provider
from libs.simulator.providers.email.certificate import make_tls_context
from libs.simulator.providers.email.dialogue import Dialogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from pydantic import JsonValue

    from libs.simulator.provider import World
    from libs.simulator.settings import SimulatorSettings

KEPT_COUNT_MAX = 1000


class EmailAccount(BaseModel):
    """Who may send; the account's id is the username."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    password: SecretStr = Field(min_length=1)
    # Where reports of undelivered messages are handed in.
    webhook_url: AnyHttpUrl | None = None


class MailServer(Provider):
    """A mail server with any number of accounts."""

    name: ClassVar[str] = "email"
    base_path: ClassVar[str] = "/email"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.accounts: dict[str, EmailAccount] = {}
        # Pairs of sender's account and recipient that came once, and may come again.
        self.greylisted: set[tuple[str, str]] = set()
        self._kept: dict[str, bytes] = {}
        self._address = ""

    def routes(self, base_path: str) -> Iterable[web.AbstractRouteDef]:
        return [web.get(f"{base_path}/messages/{{reference}}", self._show)]

    def addresses(self) -> Mapping[str, str]:
        return {"smtp": self._address} if self._address else {}

    def set_account(self, account_id: str, document: JsonValue) -> None:
        """Take an account in, in place of the one with this username."""
        self.accounts[account_id] = EmailAccount.model_validate(document)

    def forget_accounts(self) -> None:
        self.accounts.clear()
        self.greylisted.clear()
        self._kept.clear()

    def keep(self, reference: str, content: bytes) -> None:
        """Keep an accepted message for whoever wants to look at it; the oldest go."""
        self._kept.pop(reference, None)
        self._kept[reference] = content
        if len(self._kept) > KEPT_COUNT_MAX:
            del self._kept[next(iter(self._kept))]

    @asynccontextmanager
    async def listening(self, settings: SimulatorSettings) -> AsyncIterator[None]:
        # It tells every command, with the addresses in it.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        tls_context = make_tls_context()
        host, port = split_address(settings.smtp_address)
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: Dialogue(self, tls_context), host, port
            )
        except OSError as error:
            raise StartError(
                f"cannot listen on {settings.smtp_address}: {error.strerror}"
            ) from error
        bound_host, bound_port = server.sockets[0].getsockname()[:2]
        self._address = f"{bound_host}:{bound_port}"
        try:
            yield
        finally:
            server.close()

    async def _show(self, request: web.Request) -> web.Response:
        """The last message of this reference, byte for byte."""
        content = self._kept.get(request.match_info["reference"])
        if content is None:
            raise web.HTTPNotFound
        return web.Response(body=content, content_type="message/rfc822")
