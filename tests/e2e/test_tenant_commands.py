"""`leo tenant` and `leo retention` as an operator uses them, on a whole stack."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from leo.ingest.v1.ingest_service_pb2 import Event, Profile, ProfileInput
from leo_sdk import StateError, timestamp
from tests.faults.stack import LEO, Stack, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as stack:
        yield stack


def refused(stack: Stack, *arguments: str) -> tuple[int, str]:
    """The exit status and the sentence of a command that is not carried out."""
    done = subprocess.run(
        [LEO, *arguments],
        env=os.environ | {"LEO_DATA": str(stack.data_folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.strip()


async def told(stack: Stack, *arguments: str) -> Any:
    return json.loads(await stack.leo(*arguments, "--json"))


async def fill(stack: Stack, tenant: str) -> None:
    """Two events of one person."""
    async with await stack.client(await stack.token("--tenant", tenant, "--preset", "all")) as shop:
        await shop.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id="p-1"))])
        await shop.ingest.batch_ingest_events(
            [
                Event(
                    source="shop",
                    source_event_id=str(number),
                    event_type="purchase",
                    profile_ext_id="p-1",
                    event_time=timestamp(datetime.now(UTC)),
                )
                for number in range(2)
            ]
        )


async def test_a_tenant_from_its_beginning_to_its_end(stack: Stack) -> None:
    assert await told(stack, "tenant", "list") == []
    assert "There is no tenant yet" in await stack.leo("tenant", "list")
    made = await told(stack, "tenant", "create", "hoa-sen", "--display-name", "Hoa Sen")
    assert (made["name"], made["state"]) == ("hoa-sen", "active")
    assert await told(stack, "tenant", "list") == [made]
    assert "Hoa Sen" in await stack.leo("tenant", "list")
    await fill(stack, "hoa-sen")

    assert "nothing is sent" in await stack.leo("tenant", "suspend", "hoa-sen")
    by_id = await told(stack, "tenant", "show", made["tenant_id"])
    assert by_id["state"] == "suspended"
    assert {"table": "marketing_event", "row_count": 2, "more": False} in by_id["tables"]
    assert (await told(stack, "tenant", "resume", "hoa-sen"))["state"] == "active"

    plan = await stack.leo("tenant", "remove", "hoa-sen", "--dry-run")
    assert "marketing_event" in plan
    assert "not taken back" in plan
    assert (await told(stack, "tenant", "show", "hoa-sen"))["state"] == "active"
    removed = await told(stack, "tenant", "remove", "hoa-sen", "--yes", "hoa-sen")
    assert removed["state"] == "removing"
    while (  # noqa: ASYNC110 - in other processes
        shown := await told(stack, "tenant", "show", "hoa-sen")
    )["state"] == "removing":
        await asyncio.sleep(0.1)
    assert (shown["state"], shown["tables"]) == ("removed", [])
    with pytest.raises(StateError, match="was removed"):
        await fill(stack, "hoa-sen")
    assert "removed" in await stack.leo("tenant", "remove", "hoa-sen")


async def test_a_removal_asks_for_the_name_and_takes_no_other(stack: Stack) -> None:
    await stack.leo("tenant", "create", "sen-da")
    assert refused(stack, "tenant", "remove", "sen-da") == (
        1,
        "nobody can be asked here; add --yes sen-da",
    )
    status, sentence = refused(stack, "tenant", "remove", "sen-da", "--yes", "sen-do")
    assert (status, "is not the name" in sentence) == (1, True)
    status, sentence = refused(stack, "tenant", "remove", "sen-da", "--json")
    assert (status, "--dry-run" in sentence) == (2, True)
    assert type_name(stack, "sen-da", "sen-do") == 1
    assert (await told(stack, "tenant", "show", "sen-da"))["state"] == "active"
    assert type_name(stack, "sen-da", "sen-da") == 0
    assert (await told(stack, "tenant", "show", "sen-da"))["state"] in {"removing", "removed"}


def type_name(stack: Stack, tenant: str, typed: str) -> int:
    """Remove a tenant at a terminal; the exit status."""
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, f"{typed}\n".encode())
        return subprocess.run(
            [LEO, "tenant", "remove", tenant],
            env=os.environ | {"LEO_DATA": str(stack.data_folder)},
            stdin=terminal,
            capture_output=True,
            check=False,
        ).returncode
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_what_cannot_be_done_is_one_sentence(stack: Stack) -> None:
    for arguments, word in (
        (("tenant", "show", "nobody"), "TENANT_MISSING"),
        (("tenant", "create", "Hoa Sen"), "tenant.name"),
        (("tenant", "suspend", "nobody"), "TENANT_MISSING"),
    ):
        status, sentence = refused(stack, *arguments)
        assert status == 1
        assert word in sentence
        assert "Traceback" not in sentence


async def test_retention_says_that_nothing_is_old(stack: Stack) -> None:
    await stack.leo("tenant", "create", "sen-nau")
    for arguments in (("--dry-run",), ()):
        said = await stack.leo("retention", "run", *arguments)
        assert said.strip() == "Nothing is older than its time."
    (report,) = [
        report for report in await told(stack, "retention", "run") if report["name"] == "sen-nau"
    ]
    assert report["row_counts"] == {}
