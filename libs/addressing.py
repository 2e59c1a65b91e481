"""Where a channel reaches a person: which kind of address it needs, and where a profile has it.

A decision names an address by its kind and its place in the profile version that it saw, such as
"phone:0", and never by the address itself: "recipient_ref". A profile may be given as a version's
document or as a row of cdp_profiles; both have the lists under the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
