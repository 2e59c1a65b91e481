"""`leo bench` measures, checks and cleans up. How fast it is, no test says."""

from __future__ import annotations

import json
import subprocess

from tests.faults.stack import LEO


def test_it_measures_every_way_on_a_stack_of_its_own_and_removes_it() -> None:
    run = subprocess.run(
        [LEO, "bench", "ingest", "--rows", "600", "--repeats", "2", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert [item["way"] for item in found["measurements"]] == [
        "bare",
        "batch",
        "stream",
        "unary",
    ] * 2
    assert {item["row_count"] for item in found["measurements"]} == {600}
    assert found["ways"]["bare"]["ratio_to_bare"] == 1
    assert found["postgresql"]["fsync"] == "on"
    assert {"processor", "cores", "memory"} <= set(found["machine"])
    assert "Removed /" in run.stderr
