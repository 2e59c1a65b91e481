"""Where a channel reaches a person: which kind of address it needs, and what is one.

A decision names an address by its kind and its place in the profile version that it saw, such as
"phone:0", and never by the address itself: "recipient_ref". A profile may be given as a version's
document or as a row of cdp_profiles; both have the lists under the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

if TYPE_CHECKING:
    from collections.abc import Mapping

# The kind of address that each channel needs. One that is not here reaches nobody.
ADDRESS_KINDS: Final[Mapping[str, str]] = {"zalo-template": "phone", "email": "email"}

_LISTS: Final[Mapping[str, str]] = {"phone": "phones", "email": "emails"}


def recipient_refs(channel: str, profile: Mapping[str, Any]) -> list[str]:
    """Every address of a profile that the channel can use, the first choice first."""
    kind = ADDRESS_KINDS.get(channel)
    if kind is None:
        return []
    return [f"{kind}:{place}" for place in range(len(profile.get(_LISTS[kind], ())))]


def address_of(recipient_ref: str, profile: Mapping[str, Any]) -> str | None:
    """The address that a recipient_ref names, or None where the profile has none there."""
    kind, _, place = recipient_ref.partition(":")
    addresses = profile.get(_LISTS.get(kind, ""), ())
    if not place.isdecimal() or int(place) >= len(addresses):
        return None
    return str(addresses[int(place)])


def normal_address(channel: str, value: str) -> str | None:
    """An address of the channel's kind as profiles have it, or None if it is none."""
    match ADDRESS_KINDS.get(channel):
        case "email":
            return normal_email(value)
        case "phone":
            return normal_phone(value)
        case _:
            return None


def normal_email(value: str) -> str | None:
    """The address in lower case as RFC 5321 has it, or None if it is none. Asks no server."""
    try:
        found = validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def ascii_email(value: str) -> str | None:
    """The address as mail servers write it, its domain in Punycode; None if it cannot be.

    That is so of what is no address, and of a name before the @ that is not in ASCII, which few
    servers take (RFC 6531). Asks no server.
    """
    try:
        found = validate_email(
            value, check_deliverability=False, test_environment=True, strict=True
        )
    except EmailNotValidError:
        return None
    return found.ascii_email


def normal_phone(value: str, *, region: str = "VN") -> str | None:
    """The number in E.164, or None if it cannot exist; without a country code it is `region`'s."""
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
