"""What a request asks to be sent, checked as Zalo checks it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from libs.simulator.providers.zalo_template import codes
from libs.simulator.providers.zalo_template.codes import RefusalError

if TYPE_CHECKING:
    from libs.simulator.providers.zalo_template.accounts import Usage, ZaloTemplate

TRACKING_ID_LENGTH_MAX = 48
# 84…, +84…, 0… and the bare number of a Vietnamese mobile phone.
PHONE = re.compile(r"(?:\+?84|0)?([35789]\d{8})", re.ASCII)
FORMATS = {
    "text": re.compile(r".+", re.DOTALL),
    "number": re.compile(r"-?\d+([.,]\d+)*", re.ASCII),
    "date": re.compile(r"(\d{2}:\d{2}:\d{2} )?\d{2}/\d{2}/\d{4}", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A request whose every part was found right."""

    phone: str
    tracking_id: str
    template: ZaloTemplate


def read_draft(usage: Usage, content_type: str, body: bytes) -> Draft:
    """Check everything that the request alone decides, in the order of Zalo's parameters."""
    document = _read_document(content_type, body)
    phone = document.get("phone")
    found = PHONE.fullmatch(phone) if isinstance(phone, str) else None
    if found is None:
        raise RefusalError(codes.PHONE_INVALID)
    number = f"84{found.group(1)}"
    template_id = document.get("template_id")
    template = usage.templates.get(template_id) if isinstance(template_id, str) else None
    if template is None:
        raise RefusalError(codes.TEMPLATE_INVALID)
    if template.state != "enabled":
        pending = template.state == "pending_review"
        raise RefusalError(codes.TEMPLATE_NOT_APPROVED if pending else codes.TEMPLATE_DISABLED)
    _check_template_data(template, document.get("template_data"))
    tracking_id = document.get("tracking_id")
    # Assumed: which code a bad tracking_id or mode gets, and that tracking_id is required.
    if not isinstance(tracking_id, str) or not 0 < len(tracking_id) <= TRACKING_ID_LENGTH_MAX:
        raise RefusalError(codes.DATA_INVALID)
    if document.get("sending_mode", "1") != "1":
        raise RefusalError(codes.DATA_INVALID)
    mode = document.get("mode")
    if mode not in (None, "development"):
        raise RefusalError(codes.DATA_INVALID)
    if mode == "development" and number not in usage.account.admin_phones:
        raise RefusalError(codes.DEVELOPMENT_RECIPIENT)
    return Draft(number, tracking_id, template)


def _read_document(content_type: str, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    # Assumed: the code of a body that is no JSON object.
    if not isinstance(document, dict) or content_type != "application/json":
        raise RefusalError(codes.DATA_INVALID)
    return document


def _check_template_data(template: ZaloTemplate, data: object) -> None:
    if data is None or (data == {} and template.parameters):
        raise RefusalError(codes.DATA_EMPTY)
    if not isinstance(data, dict):
        raise RefusalError(codes.DATA_INVALID)
    for parameter in template.parameters:
        value = data.get(parameter.name)
        if value is None or value == "":
            if parameter.required:
                raise RefusalError(codes.DATA_MISSING)
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise RefusalError(codes.DATA_MISFORMATTED)
        if len(str(value)) > parameter.length_max:
            raise RefusalError(codes.DATA_TOO_LONG)
        if not FORMATS[parameter.format].fullmatch(str(value)):
            raise RefusalError(codes.DATA_MISFORMATTED)
