"""The client against mail servers that misbehave by the line."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from libs.simulator.providers.email.certificate import make_tls_context
from libs.smtp.client import (
    NoAnswerError,
    NotSentError,
    SmtpClient,
    SmtpReply,
    SmtpServer,
    enhanced_code_of,
)
from tests.contract.auth.processes import free_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = timedelta(seconds=20)
SHORT = timedelta(seconds=0.3)
CONTENT = b"Subject: canary\r\n\r\n.a line that begins with a dot\r\n"
EHLO = "250-mail.test\r\n250-SIZE 1000000\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"
ACCEPTED = SmtpReply("data", 250, "2.0.0")
HANG_UP = ""
HANG = None


@dataclass(slots=True)
class Server:
    """A mail server that says what it is told to; None hangs, empty hangs up.

    Attributes:
        script: replies by what is replied to: greeting, EHLO, MAIL, RCPT, DATA, "." …; the next one
            of several, the last one for good.
        hang_up_after: so many messages, without a word.
    """

    port: int = 0
    script: dict[str, list[str | None]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    connection_count: int = 0
    hang_up_after: int = 1000
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def reply_to(self, word: str) -> str | None:
        defaults = {
            "greeting": "220 mail.test ESMTP",
            "EHLO": EHLO,
            "DATA": "354 go on",
            ".": "250 2.0.0 Ok: queued",
            "QUIT": "221 2.0.0 Bye",
        }
        replies = self.script.get(word) or [defaults.get(word, "250 2.1.0 Ok")]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.gone.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = "greeting"
        while True:
            reply = self.reply_to(word)
            if reply == HANG_UP:
                return
            if reply is None:
                await reader.read()
                return
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()
            if word == "." and len(self.contents) >= self.hang_up_after:
                return
            if word == "DATA" and reply.startswith("354"):
                content = await reader.readuntil(b"\r\n.\r\n")
                self.contents.append(content)
                word = "."
                continue
            line = (await reader.readuntil(b"\r\n")).decode().strip()
            self.said.append(line)
            word = line.split(" ")[0].upper()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpClient]:
    async with SmtpClient(private_addresses=True) as smtp:
        yield smtp


async def send(
    smtp: SmtpClient, server: Server, timeout: timedelta = PATIENCE, **changes: Any
) -> SmtpReply:
    where: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "security": "plain"}
    return await smtp.send(
        SmtpServer(**(where | changes)),
        sender="bounces@shop.test",
        recipient="canary@person.test",
        content=CONTENT,
        timeout=timeout,
    )


async def problem_of(smtp: SmtpClient, server: Server, **changes: Any) -> tuple[type, str]:
    with pytest.raises((NotSentError, NoAnswerError)) as failed:
        await send(smtp, server, **changes)
    error = failed.value
    assert "canary" not in f"{error} {error!r}"
    assert isinstance(error, NotSentError | NoAnswerError)
    return type(error), error.problem


async def test_a_message_is_sent_command_by_command(smtp: SmtpClient, server: Server) -> None:
    assert await send(smtp, server) == ACCEPTED
    assert server.said == [
        "EHLO [127.0.0.1]",
        f"MAIL FROM:<bounces@shop.test> SIZE={len(CONTENT)} RET=HDRS",
        "RCPT TO:<canary@person.test> NOTIFY=FAILURE,DELAY",
        "DATA",
    ]
    # A dot at the beginning of a line is doubled, or it would end the message.
    assert server.contents == [CONTENT.replace(b"\r\n.a", b"\r\n..a") + b".\r\n"]


async def test_a_server_that_offers_little_is_asked_for_little(
    smtp: SmtpClient, server: Server
) -> None:
    server.script = {"EHLO": ["250 mail.test"]}
    assert await send(smtp, server) == ACCEPTED
    assert server.said[1:3] == ["MAIL FROM:<bounces@shop.test>", "RCPT TO:<canary@person.test>"]


async def test_a_connection_is_used_again(smtp: SmtpClient, server: Server) -> None:
    for _ in range(3):
        assert await send(smtp, server) == ACCEPTED
    assert server.connection_count == 1
    # Somebody else at the same server has connections of their own.
    assert await send(smtp, server, certificate_check=False) == ACCEPTED
    assert server.connection_count == 2


async def test_a_refused_message_is_forgotten_before_the_next(
    smtp: SmtpClient, server: Server
) -> None:
    server.script = {"RCPT": ["550 5.1.1 no such user canary@person.test", "250 2.1.5 Ok"]}
    assert await send(smtp, server) == SmtpReply("rcpt", 550, "5.1.1")
    assert await send(smtp, server) == ACCEPTED
    assert server.connection_count == 1
    assert server.said[3] == "RSET"


async def test_a_connection_that_ended_while_idle_is_not_used(
    smtp: SmtpClient, server: Server
) -> None:
    server.hang_up_after = 1
    assert await send(smtp, server) == ACCEPTED
    await server.gone.wait()
    # The end of a connection comes to us in a turn of the loop of its own.
    (idle,) = smtp._idle.values()
    while idle[0].client.is_connected:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert await send(smtp, server) == ACCEPTED
    assert server.connection_count == 2


async def test_an_old_connection_is_not_used(
    smtp: SmtpClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0, 1.0, 2.0, 20.0, 20.0, 21.0, 22.0])
    monkeypatch.setattr("libs.smtp.client.time", SimpleNamespace(monotonic=lambda: next(times)))
    for _ in range(2):
        assert await send(smtp, server) == ACCEPTED
    assert server.connection_count == 2


@pytest.mark.parametrize(
    ("word", "reply", "expected"),
    [
        ("greeting", "554 5.7.1 go away", SmtpReply("connect", 554, "5.7.1")),
        ("EHLO", "421 4.3.2 later", SmtpReply("connect", 421, "4.3.2")),
        ("MAIL", "451 4.3.0 later", SmtpReply("mail", 451, "4.3.0")),
        ("RCPT", "550 no such user", SmtpReply("rcpt", 550, "")),
        ("RCPT", "450-4.7.1 greylisted\r\n450 4.7.1 later", SmtpReply("rcpt", 450, "4.7.1")),
        ("DATA", "554 5.5.1 no", SmtpReply("data", 554, "5.5.1")),
        (".", "552 5.3.4 too large", SmtpReply("data", 552, "5.3.4")),
        (".", "421 4.7.0 too many", SmtpReply("data", 421, "4.7.0")),
    ],
)
async def test_a_refusal_says_at_which_step(
    smtp: SmtpClient, server: Server, word: str, reply: str, expected: SmtpReply
) -> None:
    server.script = {word: [reply]}
    found = await send(smtp, server)
    assert found == expected
    assert not found.is_accepted


@pytest.mark.parametrize(
    ("word", "error", "problem"),
    [
        ("greeting", NotSentError, "connect"),
        ("EHLO", NotSentError, "connect"),
        ("MAIL", NotSentError, "lost"),
        ("RCPT", NotSentError, "lost"),
        ("DATA", NoAnswerError, "lost"),
        (".", NoAnswerError, "lost"),
    ],
)
async def test_a_lost_connection_is_a_doubt_from_data_on(
    smtp: SmtpClient, server: Server, word: str, error: type, problem: str
) -> None:
    server.script = {word: [HANG_UP]}
    assert await problem_of(smtp, server) == (error, problem)
    assert server.connection_count == 1


@pytest.mark.parametrize(
    ("word", "reply", "error"),
    [
        ("greeting", "two hundred and twenty", NotSentError),
        ("greeting", "250 hello", NotSentError),
        ("MAIL", "two hundred and fifty", NotSentError),
        ("RCPT", "199 what", NotSentError),
        ("DATA", "250 go on", NoAnswerError),
        (".", "two hundred and fifty", NoAnswerError),
        (".", "199 what", NoAnswerError),
    ],
)
async def test_an_answer_that_is_none_says_nothing(
    smtp: SmtpClient, server: Server, word: str, reply: str, error: type
) -> None:
    server.script = {word: [reply]}
    assert await problem_of(smtp, server) == (error, "unreadable")


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("greeting", NotSentError),
        ("EHLO", NotSentError),
        ("RCPT", NotSentError),
        ("DATA", NoAnswerError),
        (".", NoAnswerError),
    ],
)
async def test_the_time_is_over_for_all_of_it(
    smtp: SmtpClient, server: Server, word: str, error: type
) -> None:
    server.script = {word: [HANG]}
    assert await problem_of(smtp, server, timeout=SHORT) == (error, "timeout")
    # Whatever it says now is no answer to the next message.
    server.script = {}
    assert await send(smtp, server) == ACCEPTED
    assert server.connection_count == 2


async def test_whoever_slept_before_data_sends_nothing(
    smtp: SmtpClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped may find its time over before its timers do."""
    times = iter([0.0, 0.0, PATIENCE.total_seconds() + 1])
    monkeypatch.setattr("libs.smtp.client.time", SimpleNamespace(monotonic=lambda: next(times)))
    assert await problem_of(smtp, server) == (NotSentError, "timeout")
    assert "DATA" not in server.said


async def test_a_cancelled_call_leaves_no_connection_behind(
    smtp: SmtpClient, server: Server
) -> None:
    server.script = {".": [HANG]}
    sending = asyncio.create_task(send(smtp, server))
    while not server.contents:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await server.gone.wait()
    assert not smtp._idle


async def test_a_server_that_is_away_was_sent_nothing(smtp: SmtpClient, server: Server) -> None:
    port = int(free_address().rpartition(":")[2])
    assert await problem_of(smtp, server, port=port) == (NotSentError, "connect")


async def test_a_name_that_is_none_was_sent_nothing(smtp: SmtpClient, server: Server) -> None:
    found = await problem_of(smtp, server, host="nobody.invalid", security="tls")
    assert found == (NotSentError, "name")
    found = await problem_of(smtp, server, host=f"{'x' * 300}.test", security="tls")
    assert found == (NotSentError, "address")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1"])
async def test_a_private_address_is_not_reached(server: Server, host: str) -> None:
    async with SmtpClient(private_addresses=False) as smtp:
        found = await problem_of(smtp, server, host=host, security="tls")
    assert found == (NotSentError, "private")
    assert not server.connection_count


@pytest.mark.parametrize(
    "changes", [{"security": "plain"}, {"security": "tls", "certificate_check": False}]
)
async def test_what_others_could_read_stays_on_this_machine(
    smtp: SmtpClient, server: Server, changes: dict[str, Any]
) -> None:
    # Of TEST-NET-1, where nobody is.
    found = await problem_of(smtp, server, host="192.0.2.1", **changes)
    assert found == (NotSentError, "unprotected")


@pytest.fixture
async def tls_server() -> AsyncIterator[Server]:
    server = Server()
    async with await asyncio.start_server(
        server.serve, "127.0.0.1", 0, ssl=make_tls_context()
    ) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


async def test_a_certificate_that_is_not_trusted_gets_nothing(
    smtp: SmtpClient, tls_server: Server
) -> None:
    found = await problem_of(smtp, tls_server, security="tls")
    assert found == (NotSentError, "tls")
    assert not tls_server.said


async def test_tls_from_the_first_byte(smtp: SmtpClient, tls_server: Server) -> None:
    reply = await send(smtp, tls_server, security="tls", certificate_check=False)
    assert reply == ACCEPTED


async def test_a_trusted_certificate_must_be_the_hosts(
    smtp: SmtpClient, tls_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context()
    trusting.load_verify_locations(
        cadata=await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", tls_server.port))
    )
    monkeypatch.setattr(smtp, "_checking", trusting)
    # The certificate names localhost.
    assert await send(smtp, tls_server, host="localhost", security="tls") == ACCEPTED
    found = await problem_of(smtp, tls_server, host="127.0.0.1", security="tls")
    assert found == (NotSentError, "tls")


async def test_a_server_without_starttls_gets_nothing(smtp: SmtpClient, server: Server) -> None:
    assert await problem_of(smtp, server, security="starttls") == (NotSentError, "tls")
    assert server.said == ["EHLO [127.0.0.1]"]


async def test_a_server_without_tls_gets_nothing(smtp: SmtpClient, server: Server) -> None:
    server.script = {"greeting": ["220 no TLS here"]}
    assert await problem_of(smtp, server, security="tls") == (NotSentError, "tls")


async def test_a_login_that_is_not_offered_or_refused(smtp: SmtpClient, server: Server) -> None:
    who: dict[str, Any] = {"username": "shop", "password": "canary-password"}
    assert await problem_of(smtp, server, **who) == (NotSentError, "login")
    server.script = {
        "EHLO": ["250-mail.test\r\n250 AUTH PLAIN"],
        "AUTH": ["535 5.7.8 Authentication failed"],
    }
    assert await send(smtp, server, **who) == SmtpReply("login", 535, "5.7.8")
    server.script["AUTH"] = ["235 2.7.0 Ok"]
    assert await send(smtp, server, **who) == ACCEPTED
    # Once for each connection.
    assert await send(smtp, server, **who) == ACCEPTED
    assert sum(line.startswith("AUTH") for line in server.said) == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 unknown", "5.1.1"),
        ("5.7.26", "5.7.26"),
        ("2.0.0\nOk", "2.0.0"),
        ("no such user 5.1.1", ""),
        ("5.1", ""),
        ("3.1.1 x", ""),
        ("5.1.1234 x", ""),
        ("", ""),
    ],
)
def test_an_enhanced_code_stands_at_the_beginning(text: str, code: str) -> None:
    assert enhanced_code_of(text) == code


def test_a_server_does_not_print_its_password() -> None:
    server = SmtpServer(host="h", port=1, security="tls", username="u", password="canary")
    assert "canary" not in f"{server} {server!r}"
