"""A message as bytes that mail servers and mail programs understand."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.charset import BASE64, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr
from typing import TYPE_CHECKING, Final

from inscriptis import get_text
from inscriptis.model.config import ParserConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.dispatch.channels.contract import Message

TRANSACTIONAL: Final = "transactional"

# Lines of mail are short and in ASCII, whatever language the text is in.
_UTF8: Final = Charset("utf-8")
_UTF8.body_encoding = BASE64
# No line of the parts begins like it (RFC 2045, 6.7). To find a free one by itself costs the
# library a fifth of a message.
_BOUNDARY: Final = "=_part"
# The library's newer policies break a link that is longer than a line into encoded words, which
# nobody follows, and take five times as long (measured at 1.8 ms a message).
_POLICY: Final = compat32.clone(linesep="\r\n")
_TEXT: Final = ParserConfig(display_links=True)
# Whatever could end a header's line, and what no mail program shows.
_CONTROLS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def compose(message: Message, settings: Mapping[str, str], *, recipient: str) -> bytes:
    """Headers and body of a message.

    Args:
        message: with the texts "subject", "html" and perhaps "text".
        settings: of the account.
        recipient: its address in ASCII.
    """
    mail = MIMEMultipart("alternative", boundary=_BOUNDARY, policy=_POLICY)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["From"] = formataddr(
        (one_line(settings.get("from_name", "")), settings["from_address"]), "utf-8"
    )
    mail["To"] = recipient
    subject = Header(one_line(message.data["subject"]), "utf-8", header_name="Subject")
    mail["Subject"] = subject.encode(linesep="\r\n")
    mail["Message-ID"] = message_id_of(message.reference, settings)
    if settings.get("reply_to"):
        mail["Reply-To"] = settings["reply_to"]
    # Source: RFC 3834, 5; it keeps absence notices from the return path.
    mail["Auto-Submitted"] = "auto-generated"
    if message.purpose != TRANSACTIONAL and message.unsubscribe_url:
        # Source: RFC 8058, 3
        mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    html = message.data["html"]
    # The last one is what a program shows that understands both.
    mail.attach(_part("plain", message.data.get("text") or text_of(html)))
    mail.attach(_part("html", html))
    return mail.as_bytes()


def message_id_of(reference: str, settings: Mapping[str, str]) -> str:
    """The name of a delivery's mail: the same at each attempt."""
    return f"<{reference}@{settings['from_address'].rpartition('@')[2]}>"


def text_of(html: str) -> str:
    """What a page says, for programs and people who do not want HTML; with its links."""
    text: str = get_text(html, _TEXT)
    return text


def one_line(text: str) -> str:
    """The text in one line, so that nothing in it begins another header."""
    return _CONTROLS.sub(" ", text).strip()


def _part(subtype: str, text: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", subtype, charset="utf-8", policy=_POLICY)
    part.set_payload(text, _UTF8)
    return part
