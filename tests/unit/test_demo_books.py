"""The demo succeeds only if its books balance: each way in which they may not is told."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from google.rpc.status_pb2 import Status
from rich.console import Console

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Event, EventResult, ProfileResult
from libs.demo.bad_events import BadEvent
from libs.demo.progress import progress
from libs.demo.report import Books, print_report
from libs.demo.tally import ConsentTally, EventTally, ProfileTally

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSED = EventResult(
    outcome=EventResult.OUTCOME_REFUSED, error=Status(code=3, message="bad", details=[])
)


def books(
    *, results: list[EventResult], bad: Mapping[int, str] | None = None, row_count: int
) -> Books:
    events = EventTally(seconds=2.0)
    for position, result in enumerate(results, start=1):
        events.add(position, result)
    profiles = ProfileTally()
    profiles.add(ProfileResult(outcome=ProfileResult.OUTCOME_CREATED))
    profiles.add(ProfileResult(outcome=ProfileResult.OUTCOME_REFUSED, error=Status(code=3)))
    return Books(
        profiles=profiles,
        consents=ConsentTally(),
        events=events,
        bad_events={
            position: BadEvent(Event(), "bad on purpose", reason)
            for position, reason in (bad or {}).items()
        },
        stored={
            "marketing_event": row_count,
            "cdp_profiles": 1,
            "profile_consent": 0,
            "audit_entry": 0,
        },
        came_to_rest=True,
        breaches=[],
    )


def stored(event_id: str, outcome: EventResult.Outcome.ValueType) -> EventResult:
    return EventResult(outcome=outcome, event_id=event_id)


ACCEPTED = EventResult.OUTCOME_ACCEPTED
DUPLICATE = EventResult.OUTCOME_DUPLICATE


def test_each_identity_counts_once_however_often_it_was_sent() -> None:
    results = [stored("a", ACCEPTED), stored("b", DUPLICATE), stored("a", DUPLICATE)]
    assert books(results=results, row_count=2).problems() == []


@pytest.mark.parametrize("row_count", [0, 2])
def test_a_lost_or_a_doubled_row_is_a_problem(row_count: int) -> None:
    (problem,) = books(results=[stored("a", ACCEPTED)], row_count=row_count).problems()
    assert f"has {row_count} events, but 1" in problem


def test_a_good_event_that_is_refused_is_a_problem() -> None:
    (problem,) = books(results=[REFUSED], row_count=0).problems()
    assert "event 1 was refused although nothing is wrong with it" in problem


def test_a_bad_event_that_is_stored_or_refused_for_another_reason_is_a_problem() -> None:
    results = [stored("a", ACCEPTED), REFUSED]
    found = books(results=results, bad={1: "FIELD_INVALID", 2: "FIELD_INVALID"}, row_count=1)
    as_stored, as_other = found.problems()
    assert "the answer is stored" in as_stored
    assert "expected FIELD_INVALID" in as_other


def test_a_profile_that_is_not_there_is_a_problem() -> None:
    found = books(results=[], row_count=0)
    found.stored["cdp_profiles"] = 0
    (problem,) = found.problems()
    assert "0 profiles, but 1" in problem


def test_the_report_shows_every_refusal() -> None:
    output = io.StringIO()
    print_report(Console(file=output, width=200), books(results=[REFUSED], row_count=0))
    assert "event 1" in output.getvalue()
    assert "a document that cannot be read" in output.getvalue()


def test_refusals_are_typed_as_the_sdk_types_them() -> None:
    tally = EventTally()
    tally.add(7, REFUSED)
    assert isinstance(tally.refusals[7], leo_sdk.InvalidError)


def test_progress_is_plain_lines_without_a_terminal_and_a_bar_with_one() -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    for output, is_terminal in ((plain, False), (terminal, True)):
        console = Console(file=output, force_terminal=is_terminal, width=100)
        with progress(console, "People", 2) as advance:
            advance(1)
            advance(1)
    assert plain.getvalue() == "People …\nPeople: 2 of 2, done\n"
    assert "2/2" in terminal.getvalue()
    assert "\x1b" in terminal.getvalue()
