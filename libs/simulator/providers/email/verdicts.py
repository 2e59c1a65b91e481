"""What becomes of a message, by the recipient's address or by a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply that is no acceptance."""

    code: int
    enhanced_code: str
    text: str

    @property
    def reply(self) -> str:
        """The line as it is sent."""
        return f"{self.code} {self.enhanced_code} {self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says of an accepted message (RFC 3464)."""

    action: Literal["failed", "delayed"]
    status: str
    diagnostic: str


SYSTEM_PROBLEM: Final = Refusal(451, "4.3.0", "Temporary system problem")
THROTTLED: Final = Refusal(421, "4.7.0", "Too many messages, try again later")
GREYLISTED: Final = Refusal(451, "4.7.1", "Greylisted, try again later")
LOGIN_NEEDED: Final = Refusal(530, "5.7.0", "Authentication required")
# What the local part begins with, up to the first "." or "+".
REFUSALS: Final[Mapping[str, Refusal]] = {
    "unknown": Refusal(550, "5.1.1", "User unknown"),
    "disabled": Refusal(550, "5.2.1", "Mailbox disabled"),
    "full": Refusal(452, "4.2.2", "Mailbox full"),
    "blocked": Refusal(554, "5.7.1", "Message refused by policy"),
}
GREYLISTED_NAME: Final = "greylisted"
REPORTS: Final[Mapping[str, Report]] = {
    "bounces": Report("failed", "5.1.1", "550 5.1.1 User unknown"),
    "expires": Report("failed", "4.4.7", "451 4.4.1 No answer from host"),
    "delays": Report("delayed", "4.4.1", "451 4.4.1 No answer from host"),
}
# The enhanced code that commonly stands beside a scripted one.
ENHANCED_CODES: Final[Mapping[int, str]] = {
    421: "4.7.0",
    450: "4.2.0",
    451: "4.7.1",
    452: "4.2.2",
    454: "4.7.0",
    550: "5.1.1",
    552: "5.2.2",
    554: "5.7.1",
}


def name_of(recipient: str) -> str:
    """The part of an address that decides."""
    return recipient.partition("@")[0].partition("+")[0].partition(".")[0].lower()


def scripted_refusal(code: int, enhanced_code: str | None) -> Refusal:
    """The refusal that a fault wants."""
    enhanced_code = enhanced_code or ENHANCED_CODES.get(code, f"{code // 100}.0.0")
    return Refusal(code, enhanced_code, "Refused as scripted")
