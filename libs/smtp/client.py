"""The SMTP client that hands messages to mail servers, over connections that are kept.

It stands on aiosmtplib and adds what that does not tell: at which step of the dialogue a message
failed. Before DATA nothing of a message was handed over; from DATA on the server may have taken it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Self

import aiohappyeyeballs
import aiosmtplib

from libs.rpc.address import is_public

if TYPE_CHECKING:
    from datetime import timedelta

Security = Literal["tls", "starttls", "plain"]
Step = Literal["connect", "login", "mail", "rcpt", "data"]

# Servers shall wait for five minutes (RFC 5321, 4.5.3.2.7); a busy Postfix waits for ten seconds.
KEEP_ALIVE_SECONDS: Final = 10
QUIT_SECONDS: Final = 1
# As RFC 8305 recommends for a second address while the first does not answer.
NEXT_ADDRESS_SECONDS: Final = 0.25
ERROR_CODE_MIN: Final = 400
# The server ends the connection with it.
CLOSING_CODE: Final = 421
# Source: RFC 3463, 2
_ENHANCED_CODE: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """A server and who we are there; connections are shared by what is equal here.

    Attributes:
        security: "tls" from the first byte, "starttls" before anything is said, or "plain".
        certificate_check: whether the server must prove its name.
        username: empty to send without logging in.
    """

    host: str
    port: int
    security: Security
    certificate_check: bool = True
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_protected(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.security != "plain" and self.certificate_check


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """What the server said last. Its text is left out, which may repeat an address.

    Attributes:
        step: of the dialogue; of an accepted message it is "data".
        enhanced_code: such as "5.1.1" (RFC 3463); empty without one.
    """

    step: Step
    code: int
    enhanced_code: str

    @property
    def is_accepted(self) -> bool:
        """Whether the server took the message."""
        return self.code < ERROR_CODE_MIN


class NotSentError(Exception):
    """The server has nothing of the message.

    Attributes:
        problem: address, name, private, unprotected, connect, tls, login, lost, unreadable or
            timeout.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"the message was not sent: {problem}")
        self.problem = problem


class NoAnswerError(Exception):
    """Some or all of the message was written, and no answer to it came.

    Attributes:
        problem: lost, unreadable or timeout.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"no answer came to the message: {problem}")
        self.problem = problem


@dataclass(slots=True)
class _Call:
    """How far one message came."""

    step: Step = "connect"
    client: aiosmtplib.SMTP | None = None


@dataclass(slots=True)
class _Idle:
    """A connection that waits for its next message.

    Attributes:
        refused: the server still knows a message that it refused; it must forget it first.
    """

    client: aiosmtplib.SMTP
    since_seconds: float
    refused: bool


class SmtpClient:
    """Sends each message at most once and says of a failure at which step it was.

    How many connections there are is decided by who calls: as many as messages go at once. One
    that a server ended between two messages is noticed; what breaks later, the caller repeats.

    Its errors name neither addresses nor what was sent.
    """

    def __init__(self, *, private_addresses: bool) -> None:
        """Open no connection yet.

        Args:
            private_addresses: whether messages may go to this machine and private networks.
        """
        self._private_addresses = private_addresses
        self._idle: dict[SmtpServer, list[_Idle]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        idle = [one.client for connections in self._idle.values() for one in connections]
        self._idle.clear()
        await asyncio.gather(*map(_quit, idle))

    async def send(
        self, server: SmtpServer, *, sender: str, recipient: str, content: bytes, timeout: timedelta
    ) -> SmtpReply:
        """Hand a message to one recipient and give the server's answer, whatever it is.

        Args:
            server: where it goes.
            sender: the return path, to which the mail system reports.
            recipient: an address in ASCII.
            content: headers and body, of lines in ASCII.
            timeout: for all of it, from connecting to the answer. If it is over before DATA,
                because the process slept, nothing is written.

        Raises:
            NotSentError: it is certain that the server has nothing of it.
            NoAnswerError: the server may have taken it.
        """
        call = _Call()
        latest_seconds = time.monotonic() + timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._take(server, call)
                await _open(call, sender, recipient, len(content))
                reply = await _hand_over(call, content, latest_seconds)
        except aiosmtplib.SMTPResponseException as error:
            if error.code < ERROR_CODE_MIN:
                # No answer of this dialogue, or none at all.
                raise _failed(call, "unreadable") from error
            reply = SmtpReply(call.step, error.code, enhanced_code_of(error.message))
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # TimeoutError is an OSError; ValueError comes of a name that cannot be one.
            raise _failed(call, _problem_of(error, call.step)) from error
        except BaseException:
            # Cancelled: what the server would answer next is unknown.
            _drop(call)
            raise
        self._keep(server, call, reply)
        return reply

    async def _take(self, server: SmtpServer, call: _Call) -> None:
        """Give the call a connection that is ready for a message."""
        self._end_old_ones()
        waiting = self._idle.get(server, [])
        while waiting:
            # The youngest first, so that those that are too many grow old.
            one = waiting.pop()
            if one.client.is_connected:
                call.client = one.client
                if one.refused:
                    await one.client.rset()
                return
        await self._connect(server, call)

    async def _connect(self, server: SmtpServer, call: _Call) -> None:
        connected = await self._connected_socket(server)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            sock=connected,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=None if server.security == "plain" else self._tls_context(server),
            local_hostname=_literal_of(connected),
            # The caller's own time-out is around all of it.
            timeout=None,
        )
        call.client = client
        await client.connect()
        await client.ehlo()
        if server.username:
            call.step = "login"
            await client.login(server.username, server.password)

    async def _connected_socket(self, server: SmtpServer) -> socket.socket:
        """A socket that leads where this server may be. Raises NotSentError or an OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        hosts = {info: str(info[4][0]) for info in found}
        if not self._private_addresses:
            hosts = {info: host for info, host in hosts.items() if is_public(host)}
            if not hosts:
                raise NotSentError("private")
        if not server.is_protected:
            hosts = {
                info: host for info, host in hosts.items() if ipaddress.ip_address(host).is_loopback
            }
            if not hosts:
                raise NotSentError("unprotected")
        return await aiohappyeyeballs.start_connection(
            list(hosts), happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
        )

    def _tls_context(self, server: SmtpServer) -> ssl.SSLContext:
        return self._checking if server.certificate_check else self._trusting

    @cached_property
    def _checking(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @cached_property
    def _trusting(self) -> ssl.SSLContext:
        # To this machine only.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def _keep(self, server: SmtpServer, call: _Call, reply: SmtpReply) -> None:
        client = call.client
        if client is None or call.step in ("connect", "login") or reply.code == CLOSING_CODE:
            _drop(call)
            return
        self._idle.setdefault(server, []).append(
            _Idle(client, time.monotonic(), refused=not reply.is_accepted)
        )

    def _end_old_ones(self) -> None:
        oldest_seconds = time.monotonic() - KEEP_ALIVE_SECONDS
        for server, waiting in list(self._idle.items()):
            # In the order in which they began to wait.
            while waiting and waiting[0].since_seconds < oldest_seconds:
                waiting.pop(0).client.close()
            if not waiting:
                del self._idle[server]


def enhanced_code_of(text: str) -> str:
    """The enhanced status code at the beginning of a reply's text; empty without one."""
    found = _ENHANCED_CODE.match(text)
    return found.group() if found else ""


async def _open(call: _Call, sender: str, recipient: str, content_bytes: int) -> None:
    """Say from whom and to whom a message is. Raises what aiosmtplib raises."""
    client = call.client
    assert client is not None
    call.step = "mail"
    options = [f"SIZE={content_bytes}"] if client.supports_extension("size") else []
    reports = client.supports_extension("dsn")
    # A report need not carry the whole message back.
    await client.mail(sender, options=[*options, "RET=HDRS"] if reports else options)
    call.step = "rcpt"
    await client.rcpt(recipient, options=["NOTIFY=FAILURE,DELAY"] if reports else [])


async def _hand_over(call: _Call, content: bytes, latest_seconds: float) -> SmtpReply:
    """Hand over the message itself. Raises what aiosmtplib raises, or TimeoutError."""
    assert call.client is not None
    if time.monotonic() > latest_seconds:
        # The loop's own time-out may not have had its turn yet.
        raise TimeoutError
    call.step = "data"
    response = await call.client.data(content)
    return SmtpReply("data", response.code, enhanced_code_of(response.message))


def _failed(call: _Call, problem: str) -> NotSentError | NoAnswerError:
    _drop(call)
    return NoAnswerError(problem) if call.step == "data" else NotSentError(problem)


def _problem_of(error: Exception, step: Step) -> str:  # noqa: PLR0911 - one for each word
    if isinstance(error, TimeoutError):
        return "timeout"
    if step == "login" and not isinstance(error, OSError):
        return "login"
    if step != "connect":
        return "lost"
    if isinstance(error, socket.gaierror):
        return "name"
    # aiosmtplib wraps what broke a connection that was never made.
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "tls"
    if isinstance(error, OSError):
        return "connect"
    # What is left of aiosmtplib's own: the server knows no STARTTLS.
    return "tls" if isinstance(error, aiosmtplib.SMTPException) else "address"


def _drop(call: _Call) -> None:
    if call.client is not None:
        call.client.close()


async def _quit(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=QUIT_SECONDS)
    client.close()


def _literal_of(connected: socket.socket) -> str:
    """This end of a connection, as RFC 5321, 4.1.3 writes an address that has no name."""
    host = connected.getsockname()[0]
    return f"[IPv6:{host}]" if connected.family == socket.AF_INET6 else f"[{host}]"
