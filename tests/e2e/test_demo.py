"""`leo demo` as a newcomer meets it: twice, with nothing but an empty folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.embedded.process import free_ports
from libs.supervisor.table import GROUND, SERVICES
from tests.faults.stack import LEO

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """An empty data folder and ports that nobody uses."""
    folder = Path(tempfile.mkdtemp(prefix="leo-demo-"))
    folder.chmod(0o711)  # under root PostgreSQL runs as another user, who must get to its folder
    names = [row.setting for row in (*GROUND, *SERVICES) if row.setting]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(names))]
    settings = dict(zip(names, addresses, strict=True))
    given = os.environ | settings | {"LEO_DATA": str(folder / "data"), "COLUMNS": "200"}
    try:
        yield given
    finally:
        subprocess.run([LEO, "down"], env=given, check=True, capture_output=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def first(environment: dict[str, str]) -> str:
    return run_demo(environment)


@pytest.fixture(scope="module")
def second(environment: dict[str, str], first: str) -> str:
    return run_demo(environment)


def run_demo(environment: dict[str, str]) -> str:
    run = subprocess.run(
        [LEO, "demo"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout, run.stderr)
    return run.stdout


def count(output: str, label: str) -> int:
    """The number beside a label of the table."""
    found = re.search(rf"│ +{re.escape(label)} +│ +([\d,]+) │", output)
    assert found, (label, output)
    return int(found.group(1).replace(",", ""))


def test_everything_is_new_on_the_first_run(first: str) -> None:
    assert count(first, "created") == 5342
    assert count(first, "accepted") == 5915
    assert count(first, "duplicate") == 50
    assert count(first, "rows in marketing_event, of this source") == 5915
    assert count(first, "rows in cdp_profiles") == 5342
    assert "The books balance" in first


def test_whoever_cannot_be_reached_for_good_is_told(first: str) -> None:
    table = first.partition("Addresses that get nothing more")[2]
    for channel, cause in (("email", "bounced"), ("zalo-template", "rejected")):
        assert re.search(rf"│ {channel} +│ {cause} +│ [^│]+│ +[\d,]+ │", table), table


def test_everything_is_recognised_on_the_second_run(second: str) -> None:
    assert count(second, "created") == 0
    assert count(second, "unchanged") == 5342
    assert count(second, "accepted") == 0
    assert count(second, "duplicate") == 5965
    assert count(second, "rows in marketing_event, of this source") == 5915
    assert "Nothing new" in second


def test_a_second_run_adds_nothing_but_what_it_is_told(first: str, second: str) -> None:
    for label in ("rows in cdp_profiles", "rows in profile_consent", "consent granted"):
        assert count(first, label) == count(second, label)
    # The consents are repeated under the ids of their first requests: no entry comes twice.
    assert count(first, "rows in audit_entry") <= count(second, "rows in audit_entry")
    for title in ("What was decided", "What became of the messages", "Doubts, and how they ended"):
        assert table(first, title) == table(second, title)


def table(output: str, title: str) -> list[list[str]]:
    """The rows of a table, by its title; a row that is folded is several."""
    lines = output.partition(title)[2].splitlines()
    rows = []
    for line in lines[1:]:
        if line.startswith("│"):
            rows.append([cell.strip() for cell in line.strip("│").split("│")])
        elif line.startswith("└"):
            break
    return rows


def total(output: str, title: str, **cells: str) -> int:
    """The sum of the counts of a table's rows that begin with these cells, in any of them."""
    wanted = set(cells.values())
    return sum(int(row[-1].replace(",", "")) for row in table(output, title) if wanted <= set(row))


def test_each_purchase_is_decided_and_messages_go_out(first: str) -> None:
    decided = "What was decided"
    messages = "What became of the messages"
    acted = total(first, decided, outcome="to send a message")
    assert acted > 1000
    sent = sum(int(row[-1].replace(",", "")) for row in table(first, messages))
    failed = total(first, messages, state="failed")
    # Who was refused for good, or whose mail came back, and who then bought again.
    suppressed = total(first, messages, state="suppressed")
    assert suppressed > 0
    # Where one way was refused and there was another one, a second message followed.
    assert acted < sent < acted + failed + suppressed
    for words in (
        "nothing: not in the segment",
        "nothing: had a message of this rule already",
        "nothing: never agreed to it",
        "nothing: held out, for comparison",
        "nothing: too long ago",
    ):
        assert total(first, decided, outcome=words) > 0, words
    # By the faults that the demo sets: 40 people without Zalo, 3 + 5 of its answers lost after the
    # message was taken, 3 error pages before; two answers of the mail server lost.
    zalo, email = {"channel": "zalo-template"}, {"channel": "email"}
    assert total(first, messages, **zalo, state="failed") == 40
    assert total(first, messages, **zalo, state="outcome_unknown") == 3
    # Whose mailbox is gone is no doubt any more, once the mail server's report says so.
    assert 1 <= total(first, messages, **email, state="outcome_unknown") <= 2
    assert total(first, messages, **email, state="failed") == failed - 40 > 0
    doubts = table(first, "Doubts, and how they ended")
    assert sum(int(row[-1]) for row in doubts if row[1].startswith("settled")) == 8
    assert total(first, messages, state="accepted") == sent - failed - suppressed - 3 - 2 - 1
    assert total(first, "What the providers said later", **email, receipt="bounced") > 0


def test_a_segment_is_frozen_and_launched_to_after_an_estimate(first: str, second: str) -> None:
    frozen = r"Frozen: ([\d,]+) people are in the segment.*\(digest ([0-9a-f]+)…\)"
    once, again = re.search(frozen, first), re.search(frozen, second)
    assert once
    assert again
    assert once.groups() == again.groups()
    people = int(once[1].replace(",", ""))
    expected = re.search(r"What would come of it now: .*?([\d,]+) to send a message", first)
    assert expected
    acted = total(first, "What was decided", rule="opening-party", outcome="to send a message")
    assert acted == int(expected[1].replace(",", "")) > 0
    assert total(first, "What was decided", rule="opening-party") == people
    assert "had a message of this rule already" in second.partition("5. A launch")[2]


@pytest.mark.parametrize("run", ["first", "second"])
def test_one_message_waits_for_the_end_of_quiet_hours_at_any_time_of_the_day(
    run: str, request: pytest.FixtureRequest
) -> None:
    output = request.getfixturevalue(run)
    assert total(output, "What became of the messages", state="pending", reason="quiet hours") == 1
    assert total(output, "What was decided", rule="not-at-this-hour") == 1
    assert re.search(r"at \d\d:\d\d in Việt Nam it goes out", output)


def test_it_can_be_watched_line_by_line(first: str) -> None:
    after = first.partition("seconds   events  decided")[2].partition("5. A launch")[0]
    lines = re.findall(r"^ +([\d.]+) +([\d,]+) +([\d,]+) ", after, re.MULTILINE)
    assert lines
    assert lines[-1][1:] == ("5,915", "5,915")


def test_a_customer_s_journey_tells_the_reason_of_every_step(first: str) -> None:
    journey = first.partition("One customer's journey")[2].partition("The books balance")[0]
    for words in ("event purchase of cdnow", "acted", "refused", "then by", "accepted"):
        assert words in journey


@pytest.mark.parametrize("run", ["first", "second"])
def test_bad_events_are_refused_with_their_reasons(
    run: str, request: pytest.FixtureRequest
) -> None:
    output = request.getfixturevalue(run)
    assert count(output, "FIELD_INVALID") == 4
    assert count(output, "EVENT_CONFLICT") == 1
    for words in ("has a NUL character", "nested too deep", "ahead of the server's clock"):
        assert words in output


def test_where_there_is_no_terminal_progress_is_plain_lines(first: str) -> None:
    assert re.search(r"2\. What some of them agreed to: (\d+) of \1, done", first)
    assert "\x1b" not in first


def test_what_it_says_to_look_at_next_works(environment: dict[str, str], second: str) -> None:
    commands = re.findall(r"^    (.+)$", second.partition("What to look at next")[2], re.MULTILINE)
    assert len(commands) == 5
    status, decided, again, by_sql, by_rpc = (
        subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
        )
        for command in commands
    )
    assert status.returncode == 0, status.stderr
    assert " no_consent " in decided.stdout, decided.stderr
    assert "then by" in again.stdout, again.stderr
    assert " attempt " in by_sql.stdout, by_sql.stderr
    assert '"step": "attempt"' in by_rpc.stdout, by_rpc.stderr


def test_after_a_restart_everything_is_known_also_to_the_provider(
    environment: dict[str, str], second: str
) -> None:
    for arguments in (["down"], ["up", "--detach"]):
        subprocess.run([LEO, *arguments], env=environment, check=True, capture_output=True)
    third = run_demo(environment)
    assert "Nothing new" in third
    accounts = json.loads(
        (Path(environment["LEO_DATA"]) / "simulator" / "accounts.json").read_text()
    )
    assert len(accounts["zalo-template"]) == len(accounts["email"]) == 1
