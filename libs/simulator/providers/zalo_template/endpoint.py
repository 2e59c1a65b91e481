"""The address that messages are sent to."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

import orjson
from aiohttp import web

from libs.simulator.provider import Offer, Provider
from libs.simulator.providers.zalo_template import codes
from libs.simulator.providers.zalo_template.accounts import Tally, Usage, ZaloAccount
from libs.simulator.providers.zalo_template.codes import RefusalError
from libs.simulator.providers.zalo_template.drafts import read_draft
from libs.simulator.providers.zalo_template.receipts import build_receipt
from libs.simulator.witness import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue

    from libs.simulator.provider import World
    from libs.simulator.providers.zalo_template.drafts import Draft

# The zone of Zalo's nights and days is not documented; assumed.
VIETNAM = timezone(timedelta(hours=7))
NIGHT_BEGIN_HOUR, NIGHT_END_HOUR = 22, 6


class ZaloTemplateMessages(Provider):
    """Zalo's template messages by phone, for any number of OAs."""

    name: ClassVar[str] = "zalo-template"
    base_path: ClassVar[str] = "/zalo"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._usages_by_token: dict[str, Usage] = {}
        # The limit of calls is the app's, which may act for several OAs.
        self._calls_by_app: dict[str, Tally] = {}

    def routes(self, base_path: str) -> Iterable[web.AbstractRouteDef]:
        return [web.route("*", f"{base_path}/message/template", self._send)]

    def set_account(self, account_id: str, document: JsonValue) -> None:
        """Take an OA in; its usage begins at 0, and a token belongs to whom it was given last."""
        account = ZaloAccount.model_validate(document)
        usage = Usage(account_id, account)
        self._usages_by_token = {
            token: other
            for token, other in self._usages_by_token.items()
            if other.account_id != account_id
        }
        self._usages_by_token[account.access_token.get_secret_value()] = usage

    def forget_accounts(self) -> None:
        self._usages_by_token.clear()
        self._calls_by_app.clear()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers: dict[str, str] = {}
        try:
            offer = self._judge(request, body, headers)
        except RefusalError as refusal:
            self.world.count_refusal(self.name, refusal.code)
            return _answer(headers, refusal.code)
        return await self.world.settle(request, offer)

    def _judge(self, request: web.Request, body: bytes, headers: dict[str, str]) -> Offer:
        usage = self._usages_by_token.get(request.headers.get("access_token", ""))
        if usage is None:
            raise RefusalError(codes.TOKEN_INVALID)
        now = self.world.clock.now().astimezone(VIETNAM)
        self._count_call(usage.account, now, headers)
        if request.method != "POST":
            raise RefusalError(codes.METHOD_UNSUPPORTED)
        draft = read_draft(usage, request.content_type, body)
        if draft.template.promotional and not NIGHT_END_HOUR <= now.hour < NIGHT_BEGIN_HOUR:
            raise RefusalError(codes.NIGHT)
        usage.check(draft.template, now.date())
        return self._offer(usage, draft, now, headers)

    def _count_call(self, account: ZaloAccount, now: datetime, headers: dict[str, str]) -> None:
        minute = now.replace(second=0, microsecond=0)
        calls = self._calls_by_app.setdefault(account.app_id, Tally()).add(minute)
        limit = account.calls_per_minute_max
        headers["X-RateLimit-Limit"] = str(limit)
        headers["X-RateLimit-Remain"] = str(max(0, limit - calls))
        if calls > limit:
            raise RefusalError(codes.RATE_LIMITED)

    def _offer(
        self, usage: Usage, draft: Draft, now: datetime, headers: Mapping[str, str]
    ) -> Offer:
        message = Message(
            provider=self.name,
            account=usage.account_id,
            reference=draft.tracking_id,
            recipient=draft.phone,
            template=draft.template.template_id,
        )
        # Random, so that no restart and no second simulator gives it again.
        message_id = uuid4().hex

        def accept() -> web.Response:
            remaining = usage.book(draft.template, now.date())
            data = {
                "msg_id": message_id,
                "sent_time": _epoch_milliseconds(),
                "sending_mode": "1",
                "quota": {
                    "dailyQuota": str(usage.account.daily_quota),
                    "remainingQuota": str(remaining),
                },
            }
            return _answer(headers, 0, data=data)

        def refuse(code: int) -> web.Response:
            rest = {"X-RateLimit-Remain": "0"} if code == codes.RATE_LIMITED else {}
            return _answer({**headers, **rest}, code)

        return Offer(
            message=message,
            message_id=message_id,
            accept=accept,
            refuse=refuse,
            throttled_code=codes.RATE_LIMITED,
            receipt=lambda: build_receipt(
                usage.account, message, message_id, _epoch_milliseconds()
            ),
        )


def _answer(headers: Mapping[str, str], code: int, **data: object) -> web.Response:
    document = {"error": code, "message": codes.MESSAGES.get(code, "Error"), **data}
    return web.Response(
        body=orjson.dumps(document), headers=headers, content_type="application/json"
    )


def _epoch_milliseconds() -> str:
    """The time now, as text, as Zalo writes it."""
    return str(time.time_ns() // 1_000_000)
