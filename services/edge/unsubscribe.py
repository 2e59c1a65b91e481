"""Where people withdraw consent by a link in a message, without logging in (RFC 8058).

Mail programs POST by themselves when the person presses their button; programs that look for harm
in links GET them, so a GET changes nothing.
"""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Final

import structlog
from fastapi import APIRouter, Request, Response

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from leo_sdk import LeoRpcError, MissingError
from libs.unsubscribe import LinkInvalidError
from services.edge.body import read_body
from services.edge.errors import BodyTooLargeError

if TYPE_CHECKING:
    from datetime import timedelta

    from libs.relay import InternalChannel
    from libs.unsubscribe import UnsubscribeLinks, Withdrawal
    from services.edge.settings import EdgeSettings

# "List-Unsubscribe=One-Click", in one of the forms of HTML, is all that is sent.
BODY_BYTES_MAX: Final = 4096

OK: Final = 200
NOT_FOUND: Final = 404
CONTENT_TOO_LARGE: Final = 413
UNAVAILABLE: Final = 503

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    # The address is as good as the token in it.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
PAGE: Final = Template("""<!DOCTYPE html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font-family: system-ui, sans-serif; line-height: 1.5; margin: 15vh auto; max-width: 30rem;
  padding: 0 1rem; text-align: center }
button { background: #b42318; border: 0; border-radius: .4rem; color: #fff; cursor: pointer;
  font: inherit; padding: .7rem 1.5rem }
</style>
</head>
<body>
<h1>$title</h1>
<p>$text</p>
$form</body>
</html>
""")
# To the same address, which carries all that is needed.
FORM: Final = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Hủy đăng ký</button>
</form>
"""
ASK: Final = PAGE.substitute(
    title="Hủy đăng ký nhận tin",
    text="Bạn muốn ngừng nhận những tin nhắn như thế này?",
    form=FORM,
)
DONE: Final = PAGE.substitute(
    title="Đã hủy đăng ký",
    text="Bạn sẽ không nhận được những tin nhắn như thế này nữa.",
    form="",
)
INVALID: Final = PAGE.substitute(
    title="Liên kết không hợp lệ",
    text="Hãy mở lại liên kết trong tin nhắn mà bạn đã nhận được.",
    form="",
)
LATER: Final = PAGE.substitute(
    title="Chưa thể hủy đăng ký",
    text="Hệ thống đang bận. Vui lòng thử lại sau ít phút.",
    form=FORM,
)

log = structlog.get_logger(__name__)


class Consents:
    """Consents at the ingest service, called in the edge's own name."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._stub = IngestServiceStub(channel.channel)

    async def withdraw(self, withdrawal: Withdrawal, timeout: timedelta) -> None:
        """Record that a person withdrew; what is withdrawn already is not recorded again.

        Raises:
            LeoRpcError: it was refused, or ingest is away.
        """
        found = await self._channel.call(
            self._stub.GetProfile,
            pb.GetProfileRequest(ext_id=withdrawal.ext_id),
            tenant_id=withdrawal.tenant_id,
            timeout=timeout,
        )
        for consent in found.consents:
            if (consent.channel, consent.purpose, consent.state) == (
                withdrawal.channel,
                withdrawal.purpose,
                pb.Consent.STATE_WITHDRAWN,
            ):
                return
        await self._channel.call(
            self._stub.SetConsent,
            pb.SetConsentRequest(
                ext_id=withdrawal.ext_id,
                consent=pb.Consent(
                    channel=withdrawal.channel,
                    purpose=withdrawal.purpose,
                    state=pb.Consent.STATE_WITHDRAWN,
                    evidence=f"link to unsubscribe in delivery {withdrawal.delivery_id}",
                ),
            ),
            tenant_id=withdrawal.tenant_id,
            timeout=timeout,
        )


def unsubscribe_routes(settings: EdgeSettings, links: UnsubscribeLinks | None) -> APIRouter:
    """The pages of the links; `application.state.consents` must be a Consents.

    Args:
        settings: of the edge.
        links: None where no link can have been sent.
    """
    router = APIRouter()

    def read(token: str) -> Withdrawal | None:
        try:
            return links.read(token) if links else None
        except LinkInvalidError:
            return None

    @router.get("/unsubscribe/{token}")
    async def ask(token: str) -> Response:
        return _page(ASK) if read(token) else _page(INVALID, NOT_FOUND)

    @router.post("/unsubscribe/{token}")
    async def withdraw(request: Request, token: str) -> Response:
        withdrawal = read(token)
        if withdrawal is None:
            return _page(INVALID, NOT_FOUND)
        try:
            # Read to its end, or the caller's connection breaks; what it says changes nothing.
            await read_body(request, BODY_BYTES_MAX)
        except BodyTooLargeError:
            return Response(status_code=CONTENT_TOO_LARGE)
        consents: Consents = request.app.state.consents
        try:
            await consents.withdraw(withdrawal, settings.call_timeout)
        except LeoRpcError as error:
            # A person or a tenant that is gone gets nothing any more.
            if not isinstance(error, MissingError) and error.reason != "TENANT_MISSING":
                log.warning("consent not withdrawn", reason=error.reason or error.code.name)
                return _page(LATER, UNAVAILABLE)
        return _page(DONE)

    return router


def _page(text: str, status: int = OK) -> Response:
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")
