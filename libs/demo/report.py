"""The table at the end: what was sent, what became of it, and whether the books balance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from leo_sdk import LeoRpcError
    from libs.demo.bad_events import BadEvent
    from libs.demo.campaign import Wish
    from libs.demo.tally import ConsentTally, EventTally, ProfileTally

PROFILE_OUTCOMES = ("created", "updated", "unchanged", "stale", "refused")
EVENT_OUTCOMES = ("accepted", "duplicate", "refused")


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that the demo counted.

    Attributes:
        bad_events: the events that must be refused, by their position in the stream.
        stored: rows by table, as the auditor sees them.
        came_to_rest: whether nothing was on its way any more.
        breaches: what does not balance between events, decisions, messages and the provider.
    """

    profiles: ProfileTally
    consents: ConsentTally
    events: EventTally
    bad_events: dict[int, BadEvent]
    stored: Any
    came_to_rest: bool
    breaches: Sequence[str]

    def problems(self) -> list[str]:
        """Where the books do not balance, in words; empty if they do."""
        found = []
        row_count, identity_count = self.stored["marketing_event"], len(self.events.identities)
        if row_count != identity_count:
            found.append(
                f"the database has {row_count} events, but {identity_count} different events "
                "were answered as stored"
            )
        for position, bad in self.bad_events.items():
            error = self.events.refusals.get(position)
            if error is None or error.reason != bad.reason:
                answer = error.reason if error else "stored"
                found.append(f"{bad.what}: expected {bad.reason}, the answer is {answer}")
        found.extend(
            f"event {position} was refused although nothing is wrong with it: {error}"
            for position, error in self.events.refusals.items()
            if position not in self.bad_events
        )
        usable_count = self.profiles.outcomes.total() - self.profiles.outcomes["refused"]
        if self.stored["cdp_profiles"] < usable_count:
            found.append(
                f"the database has {self.stored['cdp_profiles']} profiles, but {usable_count} "
                "were answered as stored"
            )
        if not self.came_to_rest:
            found.append("something is still on its way; `leo status` and the logs say more")
        found.extend(self.breaches)
        return found


def print_report(console: Console, books: Books) -> None:
    """Print the tables."""
    console.print(_count_table(books))
    console.print(_refusal_table(books))


def _count_table(books: Books) -> Table:
    table = Table(title="What came in", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("count", justify="right")

    profiles, events = books.profiles, books.events
    table.add_row("documents of people sent", f"{profiles.outcomes.total():,}")
    for outcome in PROFILE_OUTCOMES:
        table.add_row(f"  {outcome}", f"{profiles.outcomes[outcome]:,}")
    table.add_row("  with values left out, each named", f"{profiles.warned_count:,}")
    for state, count in sorted(books.consents.states.items()):
        table.add_row(f"consent {state}", f"{count:,}")
    table.add_section()

    table.add_row("purchases sent", f"{events.sent_count:,}")
    for outcome in EVENT_OUTCOMES:
        table.add_row(f"  {outcome}", f"{events.outcomes[outcome]:,}")
    for reason, count in sorted(Counter(e.reason for e in events.refusals.values()).items()):
        table.add_row(f"    {reason}", f"{count:,}")
    rate = events.sent_count / events.seconds if events.seconds else 0.0
    table.add_row("purchases a second, to durable rows", f"{rate:,.0f}")
    table.add_section()

    table.add_row("rows in marketing_event, of this source", f"{books.stored['marketing_event']:,}")
    for name in ("cdp_profiles", "profile_consent", "audit_entry"):
        table.add_row(f"rows in {name}", f"{books.stored[name]:,}")
    return table


def _refusal_table(books: Books) -> Table:
    table = Table(title="Refused, as it should be", title_justify="left", title_style="bold")
    table.add_column("made bad on purpose")
    table.add_column("reason", no_wrap=True)
    table.add_column("the answer in words", overflow="fold")
    for position, error in sorted(books.events.refusals.items()):
        bad = books.bad_events.get(position)
        table.add_row(bad.what if bad else f"event {position}", error.reason, _words(error))
    for refusal in books.profiles.refusals:
        table.add_row(refusal.what, refusal.reason, refusal.answer)
    return table


def _words(error: LeoRpcError) -> str:
    if error.violations:
        return "; ".join(
            f"{violation.field} {violation.description}" for violation in error.violations
        )
    return error.message


def print_wishes(console: Console, wishes: Sequence[Wish]) -> None:
    """Print what the shop's rules say."""
    table = Table(
        title=f"3. What the shop wants: one campaign, {len(wishes)} rules",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("rule", no_wrap=True)
    table.add_column("about", no_wrap=True)
    table.add_column("in words", overflow="fold")
    for wish in wishes:
        table.add_row(wish.rule.name, wish.rule.purpose, wish.words)
    console.print(table)


def print_next_steps(console: Console, commands: Sequence[tuple[str, str]]) -> None:
    """Print commands that work now, each with what it shows."""
    console.print("[bold]What to look at next[/bold]")
    for what, command in commands:
        console.print(f"  {what}:")
        # A command is copied: it must neither be wrapped nor read as markup.
        console.print(f"    {command}", soft_wrap=True, markup=False, highlight=False)
