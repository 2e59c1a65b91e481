"""Proofs: what `leo audit prove` prints, a stranger checks by the lines of the documentation."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from libs import audit
from libs.audit.checkpoint import public_key_text
from libs.cli import audit as command
from libs.cli import database
from libs.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from typer.testing import Result

    from tests.contract.audit.site import Recorded, Site

    Leo = Callable[..., Awaitable[Result]]

DOCUMENTATION = Path(__file__).parents[3] / "docs/reference/audit.md"


@pytest.fixture
def leo(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Leo:
    """Runs `leo audit …` on the test's database in place of a running stack's."""
    monkeypatch.setattr(command, "dsn_of", site.dsn_of)
    monkeypatch.setattr(database, "dsn_of", site.dsn_of)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("LEO_DATA", str(tmp_path / "no-stack"))

    async def run(*arguments: str) -> Result:
        # In a thread, because the command runs a loop of its own.
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(command.app, arguments, catch_exceptions=True)
        )

    return run


def checkpoints_of(site: Site) -> tuple[str, ...]:
    key = public_key_text(site.key.public_key())
    return ("--checkpoints", str(site.checkpoint_file), "--public-key", key)


def stranger_accepts(proof: str) -> bool:
    """Whether the program of the documentation ends well on a proof."""
    (program,) = re.findall(r"```python\n(.+?)```", DOCUMENTATION.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], input=proof, text=True, check=False, capture_output=True
    )
    assert not done.returncode or "AssertionError" in done.stderr, done.stderr
    return done.returncode == 0


async def test_a_stranger_checks_a_proof_with_the_lines_of_the_documentation(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    for delivery_id, ends in zip(
        recorded.delivery_ids,
        (["attempt 1, result"], ["attempt 1, result"], ["deliveries_ended"]),
        strict=True,
    ):
        answer = await leo("prove", str(delivery_id), *checkpoints_of(site))
        assert answer.exit_code == 0, answer.exception
        items = json.loads(answer.stdout)["items"]
        assert [item["what"] for item in items] == ["decision", *ends]
        assert json.loads(items[0]["row"])["outcome"] == "acted"
        assert str(delivery_id) in items[1]["row"]
        assert stranger_accepts(answer.stdout)
        line = json.dumps(items[0]["checkpoint"], separators=(",", ":"), sort_keys=True)
        assert line in site.checkpoint_file.read_text()


async def test_a_stranger_refuses_a_proof_of_anything_else(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    answer = await leo("prove", str(recorded.delivery_ids[0]), *checkpoints_of(site))
    proof = json.loads(answer.stdout)
    item = proof["items"][0]
    item["row"] = item["row"].replace('"outcome":"acted"', '"outcome":"expired"')
    assert not stranger_accepts(json.dumps(proof))


async def test_a_proof_without_rows_tells_nothing_of_them_and_is_checked_alike(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    for delivery_id in recorded.delivery_ids:
        arguments = ("prove", str(delivery_id), *checkpoints_of(site))
        full = json.loads((await leo(*arguments)).stdout)
        answer = await leo(*arguments, "--without-rows")
        assert answer.exit_code == 0, answer.exception
        assert stranger_accepts(answer.stdout)
        proof = json.loads(answer.stdout)
        for item, whole in zip(proof["items"], full["items"], strict=True):
            # The first step, which has the salt, is left out with the row.
            assert item == {
                "what": whole["what"],
                "leaf": item["leaf"],
                "steps": whole["steps"][1:],
                "checkpoint": whole["checkpoint"],
            }
            ((before, behind), *_) = whole["steps"]
            row = bytes.fromhex(before) + whole["row"].encode() + bytes.fromhex(behind)
            assert item["leaf"] == hashlib.sha256(row).hexdigest()
        proof["items"][0]["leaf"] = "00" * 32
        assert not stranger_accepts(json.dumps(proof))


async def test_what_is_in_no_checkpoint_yet_is_said(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    site.checkpoint_file.write_text("")
    answer = await leo("prove", str(recorded.delivery_ids[0]), *checkpoints_of(site))
    assert isinstance(answer.exception, CommandError)
    assert "decision is in no signed checkpoint yet" in str(answer.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("prove", "order-1"), '"order-1" is not the id of a delivery'),
        (("prove", str(uuid7())), "there are no checkpoints here"),
        (("verify", "--public-key", "00"), "--checkpoints and --public-key go together"),
        (
            ("verify", "--checkpoints", "x", "--public-key", "00"),
            "--public-key takes 64 hexadecimal digits",
        ),
        (
            ("verify", "--checkpoints", "/nowhere", "--public-key", "00" * 32),
            "/nowhere: No such file",
        ),
        (("verify", "--tenant", "nobody"), 'there is no tenant named "nobody"'),
        (("show", "--after", "x"), "--after takes the token"),
        (("show", "--since", "yesterday"), "--since takes a time such as"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    leo: Leo, arguments: tuple[str, ...], says: str
) -> None:
    answer = await leo(*arguments)
    assert isinstance(answer.exception, CommandError), answer.exception
    assert says in str(answer.exception)


async def test_an_unknown_delivery_is_said(site: Site, leo: Leo) -> None:
    answer = await leo("prove", str(uuid7()), *checkpoints_of(site))
    assert "no tenant has a delivery" in str(answer.exception)


async def test_verify_says_what_it_did_and_ends_well(site: Site, leo: Leo) -> None:
    answer = await leo("verify", "--jobs", "1", *checkpoints_of(site))
    assert answer.exit_code == 0, answer.exception
    assert "2 tenants: " in answer.stdout
    assert f"3 checkpoints, signed by {public_key_text(site.key.public_key())}." in answer.stdout
    assert "Everything verifies." in answer.stdout
    without = await leo("verify", "--jobs", "1")
    assert "No checkpoints were compared" in without.stdout


async def test_verify_names_the_first_bad_entry_and_ends_with_1(
    site: Site, leo: Leo, recorded: Recorded, connect: Any
) -> None:
    async with connect("postgres") as superuser:
        await superuser.execute("SET session_replication_role = replica")
        await superuser.execute(
            "UPDATE profile_consent_version SET actor = 'x' WHERE tenant_id = $1",
            recorded.tenant_id,
        )
    answer = await leo("verify", "--jobs", "1", *checkpoints_of(site))
    assert answer.exit_code == 1
    assert "6 findings" in answer.stdout
    assert "rows_changed" in answer.stdout
    told = json.loads((await leo("verify", "--jobs", "1", "--json")).stdout)
    assert told["verified"] is False
    assert [finding["what"] for finding in told["findings"]] == ["rows_changed"] * 6
    # The first entries are about the tenant and a template; each consent is one more.
    assert [finding["seq"] for finding in told["findings"]] == list(range(3, 9))


async def test_show_lists_page_by_page_what_fits(site: Site, leo: Leo, recorded: Recorded) -> None:
    tenant = ("--tenant", str(recorded.tenant_id))
    everything = json.loads((await leo("show", *tenant, "--json")).stdout)
    assert everything["next"] == ""
    times = [entry["time"] for entry in everything["entries"]]
    assert times == sorted(times, reverse=True)
    seen: list[dict[str, Any]] = []
    token = ""
    while True:
        page = json.loads(
            (await leo("show", *tenant, "--json", "--count", "4", "--after", token)).stdout
        )
        seen += page["entries"]
        token = page["next"]
        if not token:
            break
    assert seen == everything["entries"]
    for option, value, field in (
        ("--kind", "decided", "kind"),
        ("--actor", "an-administrator", "actor"),
    ):
        fitting = json.loads((await leo("show", *tenant, "--json", option, value)).stdout)
        expected = [entry for entry in seen if entry[field] == value]
        assert fitting["entries"] == expected
        assert 0 < len(expected) < len(seen)
    since = ("--since", seen[3]["time"], "--until", seen[1]["time"])
    fitting = json.loads((await leo("show", *tenant, "--json", *since)).stdout)["entries"]
    assert fitting == [
        entry for entry in seen if seen[3]["time"] <= entry["time"] < seen[1]["time"]
    ]
    table = (await leo("show", *tenant, "--count", "2")).stdout
    assert "decided" in (await leo("show", "--kind", "decided")).stdout
    assert "There are more: --after " in table
    assert "No audit entries fit." in (await leo("show", "--kind", "nothing")).stdout


async def test_an_entry_that_waits_for_its_seal_is_shown(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    tenant_id: UUID = recorded.tenant_id
    async with site.ingest.tenant(tenant_id) as connection:
        await audit.append(
            connection,
            kind="tried",
            actor="a",
            call_id="",
            details={},
        )
    (entry,) = json.loads((await leo("show", "--kind", "tried", "--json")).stdout)["entries"]
    assert (entry["seq"], entry["hash"]) == (None, None)
