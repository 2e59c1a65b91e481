"""`leo demo` as a newcomer meets it: twice, with nothing but an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.embedded.process import free_port
from tests.faults.stack import LEO

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """An empty data folder and ports that nobody uses."""
    folder = Path(tempfile.mkdtemp(prefix="leo-demo-"))
    folder.chmod(0o711)  # under root PostgreSQL runs as another user, who must get to its folder
    settings = {
        f"LEO_{name}_ADDRESS": f"127.0.0.1:{free_port()}" for name in ("ISSUER", "INGEST", "EDGE")
    }
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
    assert "Purchases, as one stream: 5970 of 5970, done" in first
    assert "\x1b" not in first


def test_what_it_says_to_look_at_next_works(environment: dict[str, str], second: str) -> None:
    commands = re.findall(r"^    (.+)$", second.partition("What to look at next")[2], re.MULTILINE)
    assert len(commands) == 3
    status, best_days, profile = (
        subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
        )
        for command in commands
    )
    assert status.returncode == 0, status.stderr
    assert "(5 rows)" in best_days.stdout, best_days.stderr
    assert '"extId": "erJuQqYqtyBnXwEjBXs9MJ"' in profile.stdout, profile.stderr
