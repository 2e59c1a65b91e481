"""One connection to the mail server: what is said, and where it breaks."""

from __future__ import annotations

import asyncio
import email
import re
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from libs.simulator.faults import FaultKind
from libs.simulator.providers.email import verdicts
from libs.simulator.providers.email.reports import HOST, build_report
from libs.simulator.witness import Message

if TYPE_CHECKING:
    import ssl

    from aiosmtpd.smtp import Envelope, Session

    from libs.simulator.faults import Fault
    from libs.simulator.providers.email.provider import EmailAccount, MailServer
    from libs.simulator.providers.email.verdicts import Refusal

CLOSING_CODE = 421
MESSAGE_ID = re.compile(r"<([^@<>\s]+)@[^<>\s]+>")
ACCEPTED = "250 2.0.0 Ok: queued"
# What a caller gets of an answer that breaks off.
TRUNCATED = b"250 2.0"

log = structlog.get_logger(__name__)


class Dialogue(SMTP):
    """Speaks SMTP by aiosmtpd; its hooks judge messages."""

    def __init__(self, server: MailServer, tls_context: ssl.SSLContext) -> None:
        self._mail_server = server
        self._account_id = ""
        # What was decided of the message that is spoken of.
        self._fault: Fault | None = None
        super().__init__(
            self,
            hostname=HOST,
            ident="Simulator",
            tls_context=tls_context,
            auth_require_tls=False,
            authenticator=self._authenticate_account,
        )

    def _authenticate_account(
        self, _server: Any, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        username = data.login.decode("utf-8", "replace")
        account = self._mail_server.accounts.get(username)
        known = account is not None and account.password.get_secret_value().encode() == (
            data.password
        )
        if not known:
            self._mail_server.world.count_refusal(self._mail_server.name, 535)
            return AuthResult(success=False, handled=False)
        self._account_id = username
        return AuthResult(success=True)

    @property
    def _account(self) -> EmailAccount | None:
        return self._mail_server.accounts.get(self._account_id)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd names the hooks
        self,
        _server: Any,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if self._account is None:
            return self._refuse(verdicts.LOGIN_NEEDED)
        envelope.mail_from = address
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self,
        _server: Any,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        refusal = self._refusal_of(address)
        if refusal is not None:
            return self._refuse(refusal)
        self._fault = fault = self._mail_server.world.choose_fault(self._message(address, ""))
        match fault.kind if fault else None:
            case FaultKind.SERVER_ERROR_BEFORE:
                return self._refuse(verdicts.SYSTEM_PROBLEM)
            case FaultKind.THROTTLED:
                return self._refuse(verdicts.THROTTLED)
            case FaultKind.ERROR_CODE if fault and fault.code:
                return self._refuse(verdicts.scripted_refusal(fault.code, fault.enhanced_code))
            case FaultKind.CONNECTION_LOST:
                await self._go_away()
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self._fault is not None and self._fault.kind is FaultKind.MESSAGE_LOST:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.readuntil(b"\r\n")
            await self._go_away()
        await super().smtp_DATA(arg)

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from is not None
        message_id = str(email.message_from_bytes(content).get("Message-ID", ""))
        found = MESSAGE_ID.fullmatch(message_id)
        reference = found[1] if found else ""
        # Nothing is awaited between a message's booking and its witness.
        for recipient in envelope.rcpt_tos:
            message = self._message(recipient, reference)
            self._mail_server.world.record(message, message_id)
            report = verdicts.REPORTS.get(verdicts.name_of(recipient))
            account = self._account
            if report is not None and account is not None and account.webhook_url is not None:
                webhook = build_report(
                    report,
                    message,
                    return_path=envelope.mail_from,
                    content=content,
                    url=str(account.webhook_url),
                )
                self._mail_server.world.tell(message, webhook)
        self._mail_server.keep(reference, content)
        await self._disturb()
        return ACCEPTED

    async def _disturb(self) -> None:
        """Let the answer to an accepted message suffer."""
        fault, self._fault = self._fault, None
        match fault.kind if fault else None:
            case FaultKind.REPLY_SLOW if fault:
                await asyncio.sleep(fault.delay_seconds)
            case FaultKind.REPLY_HUNG:
                await self._mail_server.world.stopping.wait()
                await self._go_away()
            case FaultKind.REPLY_TRUNCATED:
                self._writer.write(TRUNCATED)
                await self._go_away()
            # An error would be a definite no, so all that a mail server can do is to go away.
            case FaultKind.REPLY_LOST | FaultKind.SERVER_ERROR_AFTER:
                await self._go_away()

    async def handle_exception(self, error: Exception) -> str:
        """Accept nothing that could not be witnessed; aiosmtpd calls this."""
        log.error("dialogue failed", problem=type(error).__name__)
        return verdicts.SYSTEM_PROBLEM.reply

    def _refusal_of(self, recipient: str) -> Refusal | None:
        """What the address itself says."""
        name = verdicts.name_of(recipient)
        if name == verdicts.GREYLISTED_NAME:
            pair = (self._account_id, recipient)
            if pair not in self._mail_server.greylisted:
                self._mail_server.greylisted.add(pair)
                return verdicts.GREYLISTED
        return verdicts.REFUSALS.get(name)

    def _refuse(self, refusal: Refusal) -> str:
        self._fault = None
        self._mail_server.world.count_refusal(self._mail_server.name, refusal.code)
        if refusal.code == CLOSING_CODE:
            # Once the reply is out, which is written in this turn of the loop.
            self.loop.call_soon(self._hang_up)
        return refusal.reply

    async def _go_away(self) -> NoReturn:
        """Close the connection in the middle of the dialogue, which aiosmtpd then cancels."""
        self._hang_up()
        await self.loop.create_future()
        raise AssertionError("unreachable")

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _message(self, recipient: str, reference: str) -> Message:
        return Message(
            provider=self._mail_server.name,
            account=self._account_id,
            reference=reference,
            recipient=recipient,
            template="",
        )
