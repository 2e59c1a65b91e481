"""What a mail server's reply says of a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.dispatch.channels.contract import SendResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.smtp.client import SmtpReply
    from services.dispatch.channels.contract import ProviderClass

TRANSIENT: Final = range(400, 500)
# How long greylisting servers commonly want to be left alone. Source: RFC 6647, 4.2
GREYLISTING: Final = timedelta(minutes=5)
THROTTLING: Final = timedelta(minutes=1)

# By enhanced status code. Source: RFC 3463, with
# https://www.iana.org/assignments/smtp-enhanced-status-codes
CLASSES: Final[Mapping[str, ProviderClass]] = {
    # The recipient: no such mailbox, no such domain, no address, moved away, no mail at all.
    **dict.fromkeys(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4"), "P"),
    # The mailbox: disabled, full.
    **dict.fromkeys(("5.2.1", "5.2.2"), "P"),
    # Full may be over tomorrow.
    "4.2.2": "R",
    # Greylisting, which comes as a matter of policy.
    "4.7.1": "R",
    # The server asks for credentials, or does not accept these.
    **dict.fromkeys(("5.7.8", "5.7.9"), "T"),
}
# Of the recipient, what does not go away by itself: no such mailbox, domain or address, moved away,
# no mail at all, disabled. A reply that names none of them may as well be about us, on some list.
SUPPRESSING: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
# By the first two numbers of those that are not above.
SUBJECT_CLASSES: Final[Mapping[str, ProviderClass]] = {"4.7": "RL"}
# By the basic code of a reply without an enhanced one, or with one that says nothing more.
CODE_CLASSES: Final[Mapping[int, ProviderClass]] = {
    # The login: throttled (SES), asked for, too weak, refused, without TLS.
    454: "RL",
    **dict.fromkeys((530, 534, 535, 538), "T"),
}
# The same, in answer to the recipient: no such mailbox, not here, not allowed.
RECIPIENT_CODE_CLASSES: Final[Mapping[int, ProviderClass]] = dict.fromkeys(
    (550, 551, 553, 556), "P"
)
REASONS: Final[Mapping[ProviderClass, str]] = {
    "R": "the mail server could not take it for now",
    "RL": "the mail server asks for fewer messages",
    "T": "the mail server does not accept the login; set the account's username and password",
    "P": "the person cannot be reached at this address",
    "C": "the mail server does not accept the message as it is",
}

# What is wrong with the account if not even a connection was tried, or nobody could log in.
ACCOUNT_PROBLEMS: Final[Mapping[str, str]] = {
    "address": "the account's host is no address",
    "private": "the account's host leads into a private network",
    "unprotected": "without TLS, or without checking the certificate, only this machine is reached",
    "login": "the mail server offers no login that we know; leave out the account's username",
}


def result_of(reply: SmtpReply, message_id: str) -> SendResult:
    """What became of a message, by the server's last reply."""
    if reply.is_accepted:
        return SendResult(
            kind="accepted",
            provider_class="OK",
            code=_code_of(reply),
            provider_message_id=message_id,
        )
    provider_class = class_of(reply)
    if provider_class in {"P", "C"}:
        return SendResult(
            kind="rejected",
            provider_class=provider_class,
            code=_code_of(reply),
            reason=REASONS[provider_class],
            suppresses_recipient=provider_class == "P" and reply.enhanced_code in SUPPRESSING,
        )
    return SendResult(
        kind="retry_at",
        provider_class=provider_class,
        code=_code_of(reply),
        reason=REASONS[provider_class],
        retry_at=_retry_time(reply, provider_class),
        pauses_account=provider_class == "T",
    )


def not_sent(problem: str) -> SendResult:
    """What became of a message that the server has nothing of."""
    return SendResult(
        kind="retry_at",
        provider_class="R",
        code=f"not_sent_{problem}",
        reason=ACCOUNT_PROBLEMS.get(problem, "the mail server could not be reached, or went away"),
        pauses_account=problem in ACCOUNT_PROBLEMS,
    )


def no_answer(problem: str) -> SendResult:
    """What became of a message that the server may have taken."""
    return SendResult(
        kind="unknown",
        provider_class="AMB",
        code=f"no_answer_{problem}",
        reason="nobody knows yet whether the mail server accepted it",
    )


def class_of(reply: SmtpReply) -> ProviderClass:
    """The class of a reply that is no acceptance."""
    # Before the message the server speaks of nothing but who we are.
    if reply.step == "login" and reply.code not in TRANSIENT:
        return "T"
    found = CLASSES.get(reply.enhanced_code) or SUBJECT_CLASSES.get(
        reply.enhanced_code.rpartition(".")[0]
    )
    if found is None:
        found = CODE_CLASSES.get(reply.code)
    if found is None and reply.step == "rcpt" and _says_nothing_more(reply.enhanced_code):
        found = RECIPIENT_CODE_CLASSES.get(reply.code)
    if found == "P" and reply.step in ("connect", "mail"):
        # It is not the recipient of whom nothing was said yet.
        found = None
    if found is None:
        found = "R" if reply.code in TRANSIENT else "C"
    return found


def _says_nothing_more(enhanced_code: str) -> bool:
    """Whether an enhanced code is missing, or one of "other or undefined"."""
    return enhanced_code in ("", "5.0.0", "5.1.0", "5.2.0")


def _retry_time(reply: SmtpReply, provider_class: ProviderClass) -> datetime | None:
    """When the server may say something else; None where nothing tells."""
    if provider_class == "RL":
        return datetime.now(UTC) + THROTTLING
    return datetime.now(UTC) + GREYLISTING if reply.enhanced_code == "4.7.1" else None


def _code_of(reply: SmtpReply) -> str:
    return f"{reply.code} {reply.enhanced_code}".rstrip()
