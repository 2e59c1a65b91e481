"""`leo bench` measures, checks and cleans up. How fast it is, no test says."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.faults.stack import LEO


def measured(what: str) -> tuple[dict[str, Any], str]:
    """What `leo bench` tells as JSON, and its progress."""
    run = subprocess.run(
        [LEO, "bench", *what.split(), "--json"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), run.stderr


def test_it_measures_every_way_on_a_stack_of_its_own_and_removes_it() -> None:
    found, stderr = measured("ingest --rows 600 --repeats 2")
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
    assert "Removed /" in stderr


def test_the_main_job_is_measured_checked_and_removed() -> None:
    found, stderr = measured("main-job --tenants 2 --profiles 20 --events 200 --seconds 1")
    assert found["workload"]["rules each"] == "20"
    assert found["accepted_per_second"] >= found["settled_per_second"] > 0
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert 0 < found["rule_evaluation_ms"]["p50"] <= found["rule_evaluation_ms"]["p99"]
    cost = found["cost_per_activation"]
    # Event, decision, delivery, intent, its update, result, its update, receipt.
    assert cost["wal_bytes"] > 1000
    assert cost["row_versions"] > 0
    assert {"marketing_event", "decision", "delivery_log"} <= set(cost["table_bytes"])
    assert {"postgres", "decision", "dispatch-work"} <= set(cost["cpu_microseconds"])
    assert found["postgresql"]["synchronous_commit"] == "on"
    assert "Removed /" in stderr


def test_email_is_measured_beside_its_library_alone() -> None:
    found, _ = measured(
        "main-job --channel email --tenants 1 --profiles 20 --events 100 --seconds 1"
    )
    assert found["workload"]["channel"] == "email"
    assert found["accepted_per_second"] > 0
    assert found["library_per_second"] > 0


def test_a_launch_is_measured_checked_and_removed() -> None:
    found, stderr = measured("launch --profiles 120")
    assert found["member_count"] == 120
    assert 0 < found["accepted_seconds"] <= found["settled_seconds"]
    assert found["snapshot_seconds"] > 0
    assert "Removed /" in stderr


def test_the_audit_is_measured_verified_and_removed() -> None:
    found, stderr = measured("audit --seals 2000 --rows 450 --repeats 2")
    assert (found["seals"], found["rows"]) == (2000, 450)
    assert len(found["chain_seconds"]) == len(found["rows_per_second"]) == 2
    assert found["postgresql"]["fsync"] == "on"
    assert "Removed /" in stderr


def test_what_the_audit_chain_costs_is_measured_on_two_stacks_which_are_removed() -> None:
    # It fails by itself where the one has no entries, or the other one has any.
    found, stderr = measured("audit-cost --tenants 1 --profiles 20 --events 100 --repeats 2")
    assert [item["way"] for item in found["rounds"]] == ["with", "without", "without", "with"]
    rates = found["accepted_per_second"]
    assert found["cost_ratio"] == 1 - rates["with"] / rates["without"]
    assert all(item["cost"]["wal_bytes"] > 0 for item in found["rounds"])
    assert stderr.count("Removed /") == 2


def test_the_stores_are_measured_beside_the_bare_inserts_counted_and_removed() -> None:
    found, stderr = measured("database --deliveries 11 --events 700 --repeats 2")
    assert found["postgresql"]["fsync"] == found["postgresql"]["synchronous_commit"] == "on"
    operations = {name: figures["operations"] for name, figures in found["ways"].items()}
    # Of two repeats: one by one, in batches of 100, in batches of 500.
    for name, count in (("delivery", 22), ("delivery_batch", 4), ("event_batch", 4)):
        assert operations[name] == operations[f"{name}_bare"] == count
        assert found["ways"][name]["ratio_to_bare"] > 0
        assert len(found["ways"][name]["p99_ms"]) == 2
    assert operations["person_events"] == 1000
    assert "The stack is up: without ingest and edge." in stderr
    assert "Removed /" in stderr


def test_retention_is_measured_beside_ingest() -> None:
    found, _ = measured("retention --stories 1500 --rate 50 --seconds 1")
    assert found["rows_removed"] == {
        "marketing_event": 1500,
        "decision": 1500,
        "delivery_log": 1500,
        "delivery_attempt": 3000,
        "delivery_receipt": 1500,
    }
    assert found["rows_removed_per_second"] > 0
    for calls in found["ingest_ms"].values():
        assert 0 < calls["p50"] <= calls["p99"]
    assert found["p99_ratio"] > 0
