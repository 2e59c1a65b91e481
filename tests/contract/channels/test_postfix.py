"""Email through a real Postfix: into a mailbox, and back as a real report."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from services.dispatch.channels import CHANNELS
from services.dispatch.channels.contract import Account, Message
from services.dispatch.domain.account import Credentials
from tests.contract.auth.processes import free_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.dispatch.channels.contract import Clients, SendResult
    from tests.contract.simulator.simulators import Receiver

PATIENCE = timedelta(seconds=20)
GUIDE = Path(__file__).parents[3] / "docs/guides/email.md"
CHANNEL = CHANNELS["email"]

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.shop.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{
  {{refused@person.test = 550 5.1.1 User unknown}}, {{later@person.test = 451 4.7.1 Greylisted}} }}
# An unknown person is found out after the message was accepted, as behind most relays.
smtpd_reject_unlisted_recipient = no
virtual_mailbox_domains = person.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{an@person.test=an/}}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = regexp:{folder}/conf/leo-report
"""
MASTER = """
{address} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
{transport}
"""


def missing() -> str:
    """Why Postfix cannot run here; empty if it can."""
    for program in ("postfix", "curl"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/bin") is None:
            return f"{program} is not installed: apt-get install {program}"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass(frozen=True)
class Postfix:
    """One that runs on a folder of its own."""

    folder: Path
    account: Account

    def mailbox(self) -> list[bytes]:
        """What arrived for an@person.test."""
        return [path.read_bytes() for path in (self.folder / "mail/an/new").glob("*")]

    def log(self) -> str:
        path = self.folder / "mail.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's folders, which nobody else may enter: Postfix runs as three users.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="leo-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def documented(language: str, word: str) -> str:
    """The block of the guide that holds a word, so that what is tested is what is told."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return str(block)


@pytest.fixture
async def postfix(folder: Path, receiver: Receiver) -> AsyncIterator[Postfix]:
    address = free_address()
    script = folder / "leo-report"
    text = documented("sh", "curl")
    assert "https://leo.shop.vn/webhooks/email/<tenant_id>/<account_id>" in text
    url = receiver.url.replace("/zalo/", "/email/")
    script.write_text(
        text.replace("https://leo.shop.vn/webhooks/email/<tenant_id>/<account_id>", url)
    )
    script.chmod(0o755)
    for name, owner in (
        ("conf", "root"),
        ("queue", "root"),
        ("data", "postfix"),
        ("mail", "nobody"),
    ):
        (folder / name).mkdir()
        shutil.chown(folder / name, owner)
    routes = documented("", "/^bounces").replace("vn", "test")
    (folder / "conf/leo-report").write_text(routes)
    transport = documented("", "pipe flags").strip().replace("/usr/local/bin", str(folder))
    (folder / "conf/main.cf").write_text(MAIN.format(folder=folder))
    (folder / "conf/master.cf").write_text(MASTER.format(address=address, transport=transport))
    settings = {
        "host": "127.0.0.1",
        "port": address.rpartition(":")[2],
        "security": "plain",
        "from_address": "hello@shop.test",
        "from_name": "Cửa hàng Sách",
        "return_path": "bounces@shop.test",
    }
    account = Account(settings=settings, credentials=Credentials({"bounce_key": "k" * 16}))
    async with running(folder):
        yield Postfix(folder, account)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[None]:
    async def command(name: str) -> int:
        process = await asyncio.create_subprocess_exec(
            "/usr/sbin/postfix", "-c", str(folder / "conf"), name, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    # It returns when the doors are open.
    assert await command("start") == 0, (folder / "mail.log").read_text()
    try:
        yield
    finally:
        assert await command("stop") == 0


def message(recipient: str = "an@person.test", **changes: Any) -> Message:
    values: dict[str, Any] = {
        "purpose": "marketing",
        "recipient": recipient,
        "provider_template_id": "",
        "data": {"subject": "Chào Ánh", "html": "<p>Cảm ơn Ánh!</p>"},
        "reference": str(uuid4()),
        "unsubscribe_url": f"https://leo.shop.test/unsubscribe/{'x' * 300}",
    }
    return Message(**(values | changes))


async def send(postfix: Postfix, clients: Clients, message: Message) -> SendResult:
    return await CHANNEL.send(message, postfix.account, clients, timeout=PATIENCE)


async def test_a_mail_arrives_in_a_mailbox(postfix: Postfix, clients: Clients) -> None:
    sent = message()
    result = await send(postfix, clients, sent)
    assert (result.kind, result.code) == ("accepted", "250 2.0.0"), result
    while not postfix.mailbox():  # noqa: ASYNC110 - Postfix tells nobody
        await asyncio.sleep(0.05)
    (raw,) = postfix.mailbox()
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == "Chào Ánh"
    assert mail["Message-ID"] == result.provider_message_id
    assert mail["List-Unsubscribe"].strip() == f"<{sent.unsubscribe_url}>"
    assert mail["Return-Path"].startswith("<bounces+")


async def test_a_report_of_postfix_is_a_receipt(
    postfix: Postfix, clients: Clients, receiver: Receiver
) -> None:
    sent = message("nobody@person.test")
    result = await send(postfix, clients, sent)
    assert result.kind == "accepted"
    received = await receiver.next()
    headers = {name.lower(): value for name, value in received.headers.items()}
    # By the header of the command, and by the report alone.
    for known in (headers, {}):
        receipts = CHANNEL.read_receipt(received.body, known, postfix.account)
        assert [receipt.kind for receipt in receipts] == ["sent", "bounced"]
        for receipt in receipts:
            assert receipt.delivery_id == UUID(sent.reference)
            assert receipt.provider_message_id == result.provider_message_id
    # Asked for by RET=HDRS, which Postfix knows.
    assert b"Content-Type: text/rfc822-headers" in received.body


async def test_a_report_that_is_not_taken_is_handed_in_again(
    postfix: Postfix, clients: Clients, receiver: Receiver
) -> None:
    receiver.answer_with(503)
    await send(postfix, clients, message("nobody@person.test"))
    await receiver.next()
    while "status=deferred" not in postfix.log():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_verdicts_of_postfix_have_their_classes(postfix: Postfix, clients: Clients) -> None:
    found = {}
    for name in ("refused", "later", "an"):
        result = await send(postfix, clients, message(f"{name}@person.test"))
        found[name] = (result.kind, result.provider_class, result.code)
    assert found == {
        "refused": ("rejected", "P", "550 5.1.1"),
        "later": ("retry_at", "R", "451 4.7.1"),
        "an": ("accepted", "OK", "250 2.0.0"),
    }
    # All of it over one connection.
    assert postfix.log().count(": connect from") == 1
