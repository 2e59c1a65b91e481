"""The client against servers that misbehave by the byte."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.http.client import HttpClient, HttpResponse, NoAnswerError, NotSentError
from tests.contract.auth.processes import free_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = timedelta(seconds=20)
SHORT = timedelta(seconds=0.3)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass(slots=True)
class Server:
    """Answers each request with the next of its scripted bytes; None hangs, empty hangs up."""

    url: str = ""
    answers: list[bytes | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    connection_count: int = 0
    hang_up_after_answer: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    await reader.read()
                    return
                writer.write(answer)
                await writer.drain()
                if not answer or self.hang_up_after_answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with listening(server) as listener:
        host, port = listener.sockets[0].getsockname()[:2]
        server.url = f"http://{host}:{port}"
        yield server


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[asyncio.Server]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield listener
    finally:
        listener.close()
        await listener.wait_closed()


async def post(client: HttpClient, url: str, timeout: timedelta = PATIENCE) -> HttpResponse:
    return await client.post(
        url,
        body=b"canary-body",
        headers={"Content-Type": "text/plain", "access_token": "canary-token"},
        timeout=timeout,
        response_bytes_max=1000,
    )


async def test_a_request_is_sent_as_it_is(client: HttpClient, server: Server) -> None:
    server.answers = [OK]
    response = await post(client, f"{server.url}/a/b")
    assert (response.status, response.body, response.is_success) == (200, b"hi", True)
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /a/b HTTP/1.1\r\n")
    assert b"access_token: canary-token" in head
    assert body == b"canary-body"
    assert "hi" not in repr(response)


async def test_a_connection_is_used_again(client: HttpClient, server: Server) -> None:
    server.answers = [OK] * 3
    for _ in range(3):
        await post(client, server.url)
    assert server.connection_count == 1


async def test_a_redirect_is_an_answer_and_no_cookie_is_kept(
    client: HttpClient, server: Server
) -> None:
    redirect = (
        b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )
    server.answers = [redirect, OK]
    response = await post(client, server.url)
    assert (response.status, response.is_success) == (307, False)
    await post(client, server.url)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_the_environments_proxy_is_not_asked(
    client: HttpClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{free_address()}")
    monkeypatch.setenv("no_proxy", "")
    server.answers = [OK]
    assert (await post(client, server.url)).status == 200


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "lost"),
        (CHUNKED + b"2\r\nhi\r\n", "lost"),
        (b"no HTTP at all\r\n\r\n", "lost"),
        (LONG, "oversized"),
        (CHUNKED + (b"200\r\n" + b"x" * 0x200 + b"\r\n") * 2, "oversized"),
    ],
)
async def test_half_an_answer_is_none_and_nothing_is_sent_twice(
    client: HttpClient, server: Server, answer: bytes, problem: str
) -> None:
    server.answers = [answer, OK]
    server.hang_up_after_answer = True
    with pytest.raises(NoAnswerError) as failed:
        await post(client, server.url)
    assert failed.value.problem == problem
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"]
)
async def test_the_time_is_over_for_the_whole_answer(
    client: HttpClient, server: Server, answer: bytes | None
) -> None:
    server.answers = [answer]
    with pytest.raises(NoAnswerError) as failed:
        await post(client, server.url, SHORT)
    assert failed.value.problem == "timeout"


async def test_a_reused_connection_that_breaks_is_a_doubt_and_not_tried_again(
    client: HttpClient, server: Server
) -> None:
    server.answers = [OK, b"", OK]
    await post(client, server.url)
    with pytest.raises(NoAnswerError):
        await post(client, server.url)
    assert len(server.requests) == 2
    assert server.connection_count == 1
    assert (await post(client, server.url)).status == 200


async def wait_until_ended(client: HttpClient) -> None:
    """Until the client has read the end of every idle connection."""
    connector = client._session.connector
    assert connector is not None
    pools = connector._conns
    while any(idle.is_connected() for pool in pools.values() for idle, _ in pool):  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)


async def test_a_connection_that_ended_while_idle_is_not_used(
    client: HttpClient, server: Server
) -> None:
    server.answers = [OK] * 5
    server.hang_up_after_answer = True
    for _ in range(5):
        await post(client, server.url)
        await wait_until_ended(client)
    assert server.connection_count == 5


async def test_a_server_that_is_away_was_sent_nothing(client: HttpClient) -> None:
    with pytest.raises(NotSentError) as failed:
        await post(client, f"http://{free_address()}")
    assert failed.value.problem == "connect"


async def test_a_name_that_is_none_was_sent_nothing(client: HttpClient) -> None:
    with pytest.raises(NotSentError) as failed:
        await post(client, "http://nobody.invalid/")
    assert failed.value.problem == "name"


async def test_a_server_without_tls_was_sent_nothing(client: HttpClient) -> None:
    async def answer_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_plainly, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(NotSentError) as failed:
            await post(client, f"https://127.0.0.1:{port}/")
    assert failed.value.problem in {"tls", "connect"}


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's certificate that nobody has reason to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def test_a_certificate_that_is_not_trusted_gets_nothing(
    client: HttpClient, tmp_path: Path
) -> None:
    server = Server()
    async with await asyncio.start_server(
        server.serve, "127.0.0.1", 0, ssl=self_signed(tmp_path)
    ) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(NotSentError) as failed:
            await post(client, f"https://127.0.0.1:{port}/")
    assert failed.value.problem == "tls"
    assert not server.requests


async def test_no_time_to_connect_means_nothing_was_sent(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # It accepts the connection and never says a word of TLS.
        port = listener.getsockname()[1]
        with pytest.raises(NotSentError) as failed:
            await post(client, f"https://127.0.0.1:{port}/", SHORT)
    assert failed.value.problem == "timeout"


async def test_whoever_slept_before_the_first_byte_sends_nothing(
    client: HttpClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped may find its time over before its timers do."""
    server.answers = [OK]
    times = iter([0.0, PATIENCE.total_seconds() + 1])
    monkeypatch.setattr("libs.http.client.time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(NotSentError) as failed:
        await post(client, server.url)
    assert failed.value.problem == "timeout"
    assert not server.requests


@pytest.mark.parametrize(
    "url",
    [
        "zalo",
        "http://",
        "ftp://127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "http://127.1/",
        "http://2130706433/",
        f"http://{'x' * 300}/",
    ],
)
async def test_what_is_no_address_is_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(NotSentError) as failed:
        await post(client, url)
    assert failed.value.problem == "address"


@pytest.mark.parametrize("token", ["a\r\nHost: b", "a\x00b", "mã"])
async def test_a_header_that_would_be_another_is_refused(
    client: HttpClient, server: Server, token: str
) -> None:
    with pytest.raises(NotSentError) as failed:
        await client.post(server.url, body=b"", headers={"access_token": token}, timeout=PATIENCE)
    assert failed.value.problem == "header"
    assert not server.connection_count


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "224.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00::1]",
        "[fe80::1]",
    ],
)
async def test_tenants_cannot_reach_into_private_networks(server: Server, host: str) -> None:
    port = server.url.rpartition(":")[2]
    async with HttpClient(private_addresses=False) as client:
        with pytest.raises(NotSentError) as failed:
            await post(client, f"http://{host}:{port}/")
    assert failed.value.problem == "private"
    assert not server.connection_count


async def test_errors_do_not_tell_what_was_sent_or_where(
    client: HttpClient, server: Server
) -> None:
    server.answers = [b""]
    with pytest.raises(NoAnswerError) as lost:
        await post(client, f"{server.url}/canary-path")
    with pytest.raises(NotSentError) as unsent:
        await post(client, f"http://{free_address()}/canary-path")
    for error in (lost.value, unsent.value):
        assert "canary" not in f"{error} {error!r}"
        assert "127.0.0.1" not in f"{error} {error!r}"
