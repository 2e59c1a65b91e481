"""`leo trace`: what became of an event or a person in a launch, as a tree and in one sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from libs.cli.database import connected
from libs.cli.errors import UsageError
from libs.cli.story import (
    Step,
    Story,
    story_of_delivery,
    story_of_event,
    story_of_launch,
    story_of_source,
)
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a rule did, and below it what happened where no rule is named.
DECIDED: Final[Mapping[str, str]] = {
    "acted": "acted",
    "not_in_segment": "did not act, outside its segment",
    "cooldown": "did not act, within its cooldown",
    "no_consent": "did not act, without consent",
    "hold_out": "did not act, on somebody held out",
    "no_address": "did not act, without an address",
    "expired": "did not act, too late",
    "no_rule": "no rule was met",
    "no_profile": "there was nobody to act for",
    "error": "deciding failed again and again",
}
STANDS: Final[Mapping[str, str]] = {
    "pending": "it waits for its turn",
    "sending": "it is in the provider's hands",
    "accepted": "the provider took it",
    "retry_wait": "the provider said not now; it is tried again",
    "failed": "the provider refused it",
    "suppressed": "it was not sent",
    "expired": "it was not sent in time",
    "cancelled": "it was stopped",
    "outcome_unknown": "nobody knows whether the provider took it; a receipt may tell",
    "closed_unknown": "nobody will know whether the provider took it",
    "dead_letter": "it cannot be carried out; a person must look",
}
ANSWERED: Final[Mapping[str, str]] = {
    "accepted": "accepted",
    "rejected": "refused",
    "retry_at": "not now",
    "unknown": "no answer",
}
_COLOURS: Final[Mapping[str, str]] = {
    "acted": "green",
    "accepted": "green",
    "failed": "red",
    "rejected": "red",
    "error": "red",
    "dead_letter": "red",
    "outcome_unknown": "yellow",
    "closed_unknown": "yellow",
    "unknown": "yellow",
    "retry_at": "yellow",
    "retry_wait": "yellow",
}
# In a launch, the rule is named in any case.
_DECIDED_IN_LAUNCH: Final[Mapping[str, str]] = {
    "no_rule": "was not met",
    "no_profile": "had nobody to act for",
}
_FURTHEST: Final = ("sent", "delivered", "read", "clicked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """How the command line names a story; texts that are not given are empty."""

    event_id: str
    source: str
    source_event_id: str
    launch: str
    profile: str
    delivery: str


def trace(named: Named, *, as_json: bool) -> None:
    """Print a story of the running stack."""
    story = asyncio.run(_read(named))
    if as_json:
        typer.echo(orjson.dumps(as_document(story), default=str, option=orjson.OPT_INDENT_2))
        return
    console = Console(highlight=False)
    console.print(as_tree(story))
    console.print()
    console.print(in_one_sentence(story), style="bold")


async def _read(named: Named) -> Story:
    ways = (
        bool(named.event_id),
        bool(named.source or named.source_event_id),
        bool(named.launch or named.profile),
        bool(named.delivery),
    )
    if (
        sum(ways) != 1
        or bool(named.source) != bool(named.source_event_id)
        or bool(named.launch) != bool(named.profile)
    ):
        raise UsageError(
            "name the event: by its id, or by --source and --source-event-id; or somebody in a "
            "launch by --launch and --profile; or a --delivery"
        )
    async with connected(roles.AUDITOR) as connection:
        if named.event_id:
            return await story_of_event(connection, named.event_id)
        if named.source:
            return await story_of_source(connection, named.source, named.source_event_id)
        if named.launch:
            return await story_of_launch(connection, named.launch, named.profile)
        return await story_of_delivery(connection, named.delivery)


def as_document(story: Story) -> dict[str, Any]:
    """The story for scripts, with times in the tenant's zone."""
    zone = ZoneInfo(story.time_zone)
    return {
        "tenant": story.tenant,
        "time_zone": story.time_zone,
        "event_id": story.event_id,
        "launch_id": story.launch_id,
        "profile_id": story.profile_id,
        "summary": in_one_sentence(story),
        "steps": [
            {
                "at": step.at.astimezone(zone),
                "step": step.step,
                "outcome": step.outcome,
                "reason": step.reason,
                "id": step.id,
                "parent_id": step.parent_id,
                "channel": step.channel,
                "details": step.details,
            }
            for step in story.steps
        ],
    }


def as_tree(story: Story) -> Tree:
    """The story for people: what began it, decisions, deliveries, what happened to each."""
    tree = Tree(_first_line(story), guide_style="dim")
    for decision in sorted(story.of("decision"), key=lambda step: step.details["ordinal"]):
        branch = tree.add(_line(story, decision, _decision_words(story, decision)))
        for made in story.of("delivery", decision.id):
            if made.outcome == "created":
                _add_delivery(story, branch, made)
    return tree


def _add_delivery(story: Story, branch: Tree, made: Step) -> None:
    steps = [
        step
        for step in story.steps
        if (step.step == "delivery" and step.id == made.id) or step.parent_id == made.id
    ]
    (state,) = (step for step in steps if step.step == "delivery" and step is not made)
    then = "then " if "follows" in made.details else ""
    label = Text(f"{then}by {made.channel} (choice {made.details['choice']}): ")
    label.append(state.outcome, style=_COLOURS.get(state.outcome, "bold"))
    label.append(f"  {made.id}", style="dim")
    delivery = branch.add(label)
    for step in steps:
        delivery.add(_line(story, step, _delivery_words(story, step)))


def _first_line(story: Story) -> Text:
    first = story.steps[0]
    details = first.details
    if story.launch_id is None:
        line = Text("event ")
        line.append(details["event_type"], style="bold")
        line.append(f" of {details['source']}, received ")
    else:
        line = Text("launch of the rule ")
        line.append(details["rule"], style="bold")
        line.append(f" (version {details['rule_version']}) of {details['campaign']}, begun ")
    line.append(f"{first.at.astimezone(ZoneInfo(story.time_zone)):%Y-%m-%d %H:%M:%S}", style="bold")
    line.append(f" ({story.time_zone}), tenant {story.tenant}")
    line.append(f"  {first.id}", style="dim")
    return line


def _line(story: Story, step: Step, words: str) -> Text:
    start = story.steps[0].at
    line = Text(f"{_clock(story, step.at)} {_after(step.at - start):>9}  ", style="dim")
    line.append(words, style=_COLOURS.get(step.outcome, "default"))
    return line


def _decision_words(story: Story, decision: Step) -> str:
    words = _decided(story, decision)
    if decision.outcome == "acted" and "not_before" in decision.details:
        words += f"; not before {_moment(story, decision.details['not_before'])}"
    return words


def _delivery_words(story: Story, step: Step) -> str:
    details = step.details
    if step.step == "receipt":
        return f"receipt: {step.outcome}"
    if step.step == "attempt":
        number = details["attempt"]
        if step.outcome == "intent":
            return f"attempt {number}: handed to the provider"
        late = ", after its time was over" if details["phase"] == "late" else ""
        answer = _why(f"attempt {number}: {ANSWERED[step.outcome]}{late}", step.reason)
        codes = [details[name] for name in ("provider_class", "provider_code") if name in details]
        return f"{answer} [{' '.join(codes)}]" if codes else answer
    if step.outcome == "created":
        to = f"made: {details['purpose']} to {details['recipient_ref']}"
        to += f", template {details['template']}" if "template" in details else ""
        return f"{to}; {step.reason}" if step.reason else to
    words = _why(STANDS[step.outcome], step.reason)
    return f"{words}; due {_moment(story, details['due_at'])}" if "due_at" in details else words


def in_one_sentence(story: Story) -> str:
    """What happened about the event or the person, and why."""
    decisions = sorted(story.of("decision"), key=lambda step: step.details["ordinal"])
    if not decisions:
        about = "this event" if story.launch_id is None else "this person"
        return f"Nothing is decided about {about} yet."
    acting = [decision for decision in decisions if decision.outcome == "acted"]
    if not acting:
        return (
            f"Nothing was sent: {'; '.join(_decided(story, decision) for decision in decisions)}."
        )
    return " ".join(_acted_sentence(story, decision) for decision in acting)


def _acted_sentence(story: Story, decision: Step) -> str:
    states = [step for step in story.of("delivery", decision.id) if step.outcome != "created"]
    # One after the other: each choice's end brings the next.
    told = "; then ".join(_fate(story, state) for state in states) or "no delivery is made yet"
    sentence = f"{_decided(story, decision)}; {told}"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _decided(story: Story, decision: Step) -> str:
    words = DECIDED[decision.outcome]
    if story.launch_id is not None:
        words = _DECIDED_IN_LAUNCH.get(decision.outcome, words)
    words = _why(words, decision.reason)
    details = decision.details
    if "rule" not in details:
        return words
    return f"the rule {details['rule']} (version {details['rule_version']}) {words}"


def _fate(story: Story, state: Step) -> str:
    fate = f"by {state.channel}, {_why(STANDS[state.outcome], state.reason)}"
    if "due_at" in state.details:
        fate += f", until {_moment(story, state.details['due_at'])}"
    receipts = {step.outcome for step in story.of("receipt", state.id)}
    reached = [kind for kind in _FURTHEST if kind in receipts][-1:]
    wrong = sorted(receipts - {*_FURTHEST, "other"})
    if reached or wrong:
        fate += f", and it was {' and '.join([*reached, *wrong])}"
    return fate


def _why(words: str, reason: str) -> str:
    return f"{words} ({reason})" if reason else words


def _clock(story: Story, at: datetime) -> str:
    zone = ZoneInfo(story.time_zone)
    local, start = at.astimezone(zone), story.steps[0].at.astimezone(zone)
    time = f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
    return time if local.date() == start.date() else f"{local:%Y-%m-%d} {time}"


def _moment(story: Story, told: str) -> str:
    return f"{datetime.fromisoformat(told).astimezone(ZoneInfo(story.time_zone)):%Y-%m-%d %H:%M}"


def _after(span: timedelta) -> str:
    if span < timedelta(seconds=1):
        return f"+{span / timedelta(milliseconds=1):.0f} ms"
    if span < timedelta(minutes=2):
        return f"+{span / timedelta(seconds=1):.1f} s"
    if span < timedelta(hours=2):
        return f"+{span / timedelta(minutes=1):.0f} min"
    return f"+{span / timedelta(hours=1):.0f} h"
