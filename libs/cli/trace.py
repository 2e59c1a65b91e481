"""`leo trace`: what became of one event, as a tree and in one sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from libs.cli.database import connected
from libs.cli.errors import CommandError, UsageError
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
_FURTHEST: Final = ("sent", "delivered", "read", "clicked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of v_journey."""

    at: datetime
    step: str
    outcome: str
    reason: str
    id: UUID
    parent_id: UUID | None
    channel: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that happened about one event; the first step is the event itself."""

    tenant: str
    time_zone: str
    event_id: UUID
    steps: Sequence[Step]

    def of(self, step: str, parent_id: UUID | None = None) -> list[Step]:
        """The steps of one kind, of all or of one parent."""
        return [
            found
            for found in self.steps
            if found.step == step and parent_id in {None, found.parent_id}
        ]


def trace(event_id: str, *, source: str, source_event_id: str, as_json: bool) -> None:
    """Print the story of an event of the running stack."""
    story = asyncio.run(_read(event_id, source=source, source_event_id=source_event_id))
    if as_json:
        typer.echo(orjson.dumps(as_document(story), default=str, option=orjson.OPT_INDENT_2))
        return
    console = Console(highlight=False)
    console.print(as_tree(story))
    console.print()
    console.print(in_one_sentence(story), style="bold")


async def _read(event_id: str, *, source: str, source_event_id: str) -> Story:
    if bool(event_id) == bool(source or source_event_id) or bool(source) != bool(source_event_id):
        raise UsageError("name the event: by its id, or by --source and --source-event-id")
    async with connected(roles.AUDITOR) as connection:
        tenant_id, found = (
            await _find(connection, event_id)
            if event_id
            else await _find_by_source(connection, source, source_event_id)
        )
        return await read_story(connection, tenant_id, found)


async def _find(connection: Any, event_id: str) -> tuple[UUID, UUID]:
    try:
        wanted = UUID(event_id)
    except ValueError:
        raise UsageError(
            f'"{event_id}" is not the id of an event: it is a UUID, as ingest returned it'
        ) from None
    tenant_id = await connection.fetchval(
        "SELECT e.tenant_id FROM tenant AS t"
        " JOIN marketing_event AS e ON e.tenant_id = t.tenant_id AND e.event_id = $1",
        wanted,
    )
    if tenant_id is None:
        raise CommandError(f"no tenant has an event {wanted}")
    return tenant_id, wanted


async def _find_by_source(connection: Any, source: str, source_event_id: str) -> tuple[UUID, UUID]:
    rows = await connection.fetch(
        "SELECT tenant_id, event_id FROM marketing_event"
        " WHERE source = $1 AND source_event_id = $2",
        source,
        source_event_id,
    )
    if not rows:
        raise CommandError(f'no tenant has an event "{source_event_id}" of the source "{source}"')
    if len(rows) > 1:
        ids = ", ".join(str(row["event_id"]) for row in rows)
        raise CommandError(f"{len(rows)} tenants have such an event; trace one by its id: {ids}")
    return rows[0]["tenant_id"], rows[0]["event_id"]


async def read_story(connection: Any, tenant_id: UUID, event_id: UUID) -> Story:
    """Read a story by the one statement that tells it."""
    tenant = await connection.fetchrow(
        "SELECT name, time_zone FROM tenant WHERE tenant_id = $1", tenant_id
    )
    rows = await connection.fetch(
        "SELECT at, step, outcome, reason, id, parent_id, channel, details FROM v_journey"
        " WHERE tenant_id = $1 AND event_id = $2 ORDER BY at, rank",
        tenant_id,
        event_id,
    )
    return Story(
        tenant=tenant["name"],
        time_zone=tenant["time_zone"],
        event_id=event_id,
        steps=[Step(**{**row, "details": orjson.loads(row["details"])}) for row in rows],
    )


def as_document(story: Story) -> dict[str, Any]:
    """The story for scripts, with times in the tenant's zone."""
    zone = ZoneInfo(story.time_zone)
    return {
        "tenant": story.tenant,
        "time_zone": story.time_zone,
        "event_id": story.event_id,
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
    """The story for people: event, decisions, deliveries, what happened to each."""
    (event,) = story.of("event")
    tree = Tree(_event_line(story, event), guide_style="dim")
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


def _event_line(story: Story, event: Step) -> Text:
    line = Text("event ")
    line.append(event.details["event_type"], style="bold")
    line.append(f" of {event.details['source']}, received ")
    line.append(f"{event.at.astimezone(ZoneInfo(story.time_zone)):%Y-%m-%d %H:%M:%S}", style="bold")
    line.append(f" ({story.time_zone}), tenant {story.tenant}")
    line.append(f"  {story.event_id}", style="dim")
    return line


def _line(story: Story, step: Step, words: str) -> Text:
    start = story.steps[0].at
    line = Text(f"{_clock(story, step.at)} {_after(step.at - start):>9}  ", style="dim")
    line.append(words, style=_COLOURS.get(step.outcome, "default"))
    return line


def _decision_words(story: Story, decision: Step) -> str:
    words = _decided(decision)
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
    """What happened about the event, and why."""
    decisions = sorted(story.of("decision"), key=lambda step: step.details["ordinal"])
    if not decisions:
        return "Nothing is decided about this event yet."
    acting = [decision for decision in decisions if decision.outcome == "acted"]
    if not acting:
        return f"Nothing was sent: {'; '.join(_decided(decision) for decision in decisions)}."
    return " ".join(_acted_sentence(story, decision) for decision in acting)


def _acted_sentence(story: Story, decision: Step) -> str:
    states = [step for step in story.of("delivery", decision.id) if step.outcome != "created"]
    # One after the other: each choice's end brings the next.
    told = "; then ".join(_fate(story, state) for state in states) or "no delivery is made yet"
    sentence = f"{_decided(decision)}; {told}"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _decided(decision: Step) -> str:
    words = _why(DECIDED[decision.outcome], decision.reason)
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
