"""People for real purchases: invented documents in the CDP's own shape, the same on every run."""

from __future__ import annotations

import hashlib
import string
import unicodedata
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from libs.demo import names

if TYPE_CHECKING:
    from collections.abc import Sequence

Document: TypeAlias = dict[str, Any]
_Item = TypeVar("_Item")

SEED = 2027
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VIP_VALUE_VND = 2_500_000
_FEMALE_SHARE = 0.55
_ZALO_SHARE = 0.6
_WEB_PUSH_SHARE = 0.3
# One mailbox in so many is gone: the mail server refuses it at once, or takes the message and
# reports later that it came back. Its name says so to the simulated server.
_UNKNOWN_EVERY = 45
_BOUNCING_EVERY = 60


def ext_id_of(customer_id: str) -> str:
    """The person's `_key` in the CDP: 22 characters of base62, as its ids look."""
    return _base62(f"key:{customer_id}", 22)


def document_of(
    customer_id: str, *, created_at: datetime, purchase_count: int, value_vnd: int
) -> Document:
    """The `cdp_profile` of one customer.

    Everything about the person is drawn from SEED and the number of the customer, so a run makes
    the same people as the one before it, and another slice changes none of them.

    Args:
        customer_id: the number in the purchase log.
        created_at: when the demo's tenant was created; the document's times count back from it.
        purchase_count: how many purchases the log has of them.
        value_vnd: their sum.
    """
    # A text seeds by SHA-512, and random() keeps its sequence over Python's versions.
    draw = Random(f"{SEED}:{customer_id}")  # noqa: S311, it must be repeatable
    key = ext_id_of(customer_id)
    person = _name_of(draw)
    email, phone = _email_of(person, customer_id), _phone_of(draw, customer_id)
    city, place = _pick(draw, names.CITIES)
    zalo = str(5_000_000_000_000_000_000 + _number_of(f"zalo:{customer_id}", 10**15))
    has_zalo, has_web_push = draw.random() < _ZALO_SHARE, draw.random() < _WEB_PUSH_SHARE
    vip = value_vnd >= _VIP_VALUE_VND
    updated_at = created_at - timedelta(seconds=60 + int(draw.random() * 14 * 86_400))
    return {
        "_key": key,
        "_rev": f"_{_base62(f'rev:{customer_id}', 10)}--",
        "rootProfileId": "",
        "mergeCode": 0,
        "type": 2,
        "status": 1,
        "dataContext": 1,
        "crmRefId": f"KH-{customer_id}",
        **person,
        "dateOfBirth": _birthday(draw),
        "primaryLanguage": _pick(draw, ("vi", "vi", "vi", "en")),
        "primaryEmail": email,
        "secondaryEmails": [],
        "primaryPhone": phone,
        "secondaryPhones": [],
        "livingCity": city,
        "livingCountry": "Việt Nam",
        "locationCode": place,
        "identities": [key, f"email:{email}", f"phone:{phone}", f"crm:KH-{customer_id}"],
        "socialMediaProfiles": {"zalo": zalo} if has_zalo else {},
        "notificationUserIds": {"pushalert": [_base62(f"push:{customer_id}", 12)]}
        if has_web_push
        else {},
        "receiveEmail": _pick(draw, (1, 1, 1, 0, -1)),
        "receiveSMS": _pick(draw, (1, 1, 0, 0, -1)),
        "receiveWebPush": 1 if has_web_push else 0,
        "receiveAppPush": 0,
        "receiveAds": 1,
        "dataLabels": ["cd-buyer", "VIP"] if vip else ["cd-buyer"],
        "mediaChannels": ["email", "zalo"] if has_zalo else ["email"],
        "productKeywords": ["cd"],
        "inSegments": [{"id": "1bSgQxY6qEjuWycyOc9TYS", "name": "Khách VIP"}] if vip else [],
        "funnelStage": "engaged-customer" if purchase_count > 1 else "new-customer",
        "behavioralEvents": ["purchase"],
        "eventStatistics": {"id_default_journey-purchase": purchase_count},
        "totalTransactionValue": float(value_vnd),
        "totalCLV": float(value_vnd * 3),
        "churnScore": round(draw.random(), 3),
        "extAttributes": {},
        "createdAt": _iso(updated_at - timedelta(days=30)),
        "updatedAt": _iso(updated_at),
    }


def _name_of(draw: Random) -> Document:
    families, shares = zip(*names.FAMILY_NAMES, strict=True)
    female = draw.random() < _FEMALE_SHARE
    middle = names.FEMALE_MIDDLE_NAMES if female else names.MALE_MIDDLE_NAMES
    given = names.FEMALE_GIVEN_NAMES if female else names.MALE_GIVEN_NAMES
    return {
        "firstName": _pick(draw, given),
        "middleName": _pick(draw, middle),
        "lastName": draw.choices(families, shares)[0],
        "gender": 0 if female else 1,
    }


def _email_of(person: Document, customer_id: str) -> str:
    """An address under ".example", which belongs to nobody (RFC 2606)."""
    words = f"{person['firstName']}.{person['lastName']}".replace("Đ", "D").replace("đ", "d")
    letters = unicodedata.normalize("NFD", words).encode("ascii", "ignore").decode().lower()
    number = int(customer_id)
    if number % _UNKNOWN_EVERY == 1:
        letters = f"unknown.{letters}"
    elif number % _BOUNCING_EVERY == 1:
        letters = f"bounces.{letters}"
    return f"{letters}.{number}@mail.example"


def _phone_of(draw: Random, customer_id: str) -> str:
    """A number that could be dialled in form alone, written as somebody would."""
    number = int(customer_id)
    prefix = names.MOBILE_PREFIXES[number % len(names.MOBILE_PREFIXES)]
    rest = f"{number // len(names.MOBILE_PREFIXES):04d}"
    form = _pick(draw, names.PHONE_FORMS)
    return form.format(n=f"{prefix}000{rest}", a=prefix, b="000", c=rest)


def _birthday(draw: Random) -> str:
    day = datetime(1955, 1, 1, tzinfo=UTC) + timedelta(days=int(draw.random() * 50 * 365))
    return _iso(day)


def _pick(draw: Random, items: Sequence[_Item]) -> _Item:
    return items[int(draw.random() * len(items))]


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number_of(text: str, below: int) -> int:
    digest = hashlib.sha256(f"{SEED}:{text}".encode()).digest()
    return int.from_bytes(digest[:20], "big") % below


def _base62(text: str, length: int) -> str:
    number = _number_of(text, len(_BASE62) ** length)
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(digits)
