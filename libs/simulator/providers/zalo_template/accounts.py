"""OAs, their templates, and what they have used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from libs.simulator.providers.zalo_template import codes
from libs.simulator.providers.zalo_template.codes import RefusalError

if TYPE_CHECKING:
    from datetime import date


class ZaloParameter(BaseModel):
    """A value that a template asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    required: bool = True
    # In code points as they come: Vietnamese in decomposed form is longer.
    length_max: int = Field(default=30, ge=1)
    format: Literal["text", "number", "date"] = "text"


class ZaloTemplate(BaseModel):
    """A template of an OA."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template_id: str
    parameters: list[ZaloParameter] = []
    # Not sent at night.
    promotional: bool = False
    state: Literal["enabled", "pending_review", "disabled"] = "enabled"
    daily_quota: int | None = Field(default=None, ge=0)
    price_vnd: int = Field(default=300, ge=0)


class ZaloAccount(BaseModel):
    """An OA, with the app that acts for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    app_id: str
    access_token: SecretStr = Field(min_length=1)
    # Signs the webhooks; not the app's secret.
    oa_secret_key: SecretStr
    webhook_url: AnyHttpUrl | None = None
    templates: list[ZaloTemplate] = []
    daily_quota: int = Field(default=500, ge=0)
    # None is never spent.
    balance_vnd: int | None = Field(default=None, ge=0)
    calls_per_minute_max: int = Field(default=4000, ge=0)
    # Who may receive messages in the mode "development".
    admin_phones: frozenset[str] = frozenset()


class Tally:
    """Counts within one minute or day; a new one begins at 0."""

    def __init__(self) -> None:
        self._period: object = None
        self._count = 0

    def count(self, period: object) -> int:
        if period != self._period:
            self._period, self._count = period, 0
        return self._count

    def add(self, period: object) -> int:
        self._count = self.count(period) + 1
        return self._count


class Usage:
    """What one OA has used up."""

    def __init__(self, account_id: str, account: ZaloAccount) -> None:
        self.account_id = account_id
        self.account = account
        self.templates = {template.template_id: template for template in account.templates}
        self.balance_vnd = account.balance_vnd
        self.sent = Tally()
        self.sent_by_template = {name: Tally() for name in self.templates}

    def check(self, template: ZaloTemplate, today: date) -> None:
        """Refuse what quotas and balance do not allow."""
        if self.sent.count(today) >= self.account.daily_quota:
            raise RefusalError(codes.OA_QUOTA_SPENT)
        sent = self.sent_by_template[template.template_id].count(today)
        if template.daily_quota is not None and sent >= template.daily_quota:
            raise RefusalError(codes.TEMPLATE_QUOTA_SPENT)
        if self.balance_vnd is not None and self.balance_vnd < template.price_vnd:
            raise RefusalError(codes.BALANCE_SPENT)

    def book(self, template: ZaloTemplate, today: date) -> int:
        """Book one accepted message; what is left of the OA's quota."""
        self.sent_by_template[template.template_id].add(today)
        if self.balance_vnd is not None:
            self.balance_vnd -= template.price_vnd
        return self.account.daily_quota - self.sent.add(today)
