"""`leo trace` on stories of every kind."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from libs.cli import database, trace
from libs.cli.__main__ import app
from libs.cli.errors import CommandError
from tests.contract.journey.stories import HEALTHY, START, History, Teller, attempt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from typer.testing import Result

    from tests.conftest import DsnOf

    Leo = Callable[..., Awaitable[Result]]


@pytest.fixture
def leo(dsn_of: DsnOf, monkeypatch: pytest.MonkeyPatch) -> Leo:
    """Runs a command on the test's database in place of a running stack's."""
    monkeypatch.setattr(database, "dsn_of", dsn_of)
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str) -> Result:
        # In a thread, because the command runs a loop of its own.
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["trace", *arguments]))

    return run


async def test_trace_shows_the_tree_with_times_in_the_tenant_s_zone_and_a_sentence(
    teller: Teller, tenant_id: UUID, leo: Leo
) -> None:
    told = await teller.story(
        tenant_id,
        History(
            state="accepted",
            attempts=[*attempt(1, "retry_at"), *attempt(2, "accepted")],
            receipts=["delivered", "read"],
        ),
    )
    await teller.decision(
        tenant_id,
        told.event_id,
        profile_id=told.profile_id,
        ordinal=1,
        outcome="no_consent",
        reason="zalo-template: none recorded",
    )
    answer = await leo(str(told.event_id))
    assert answer.exit_code == 0
    told_in_full = f"""\
event purchase of shop, received 2026-03-01 08:30:00 (Asia/Ho_Chi_Minh), tenant \
tenant-{tenant_id.hex}  {told.event_id}
├── 08:30:00.020    +20 ms  the rule thank-you (version 1) acted (every condition holds)
│   └── by zalo-template (choice 0): accepted  {told.delivery_id}
│       ├── 08:30:00.040    +40 ms  made: marketing to phone:0, template thanks
│       ├── 08:30:00.500   +500 ms  attempt 1: handed to the provider
│       ├── 08:30:01.000    +1.0 s  attempt 1: not now [P -124]
│       ├── 08:30:01.500    +1.5 s  attempt 2: handed to the provider
│       ├── 08:30:02.000    +2.0 s  attempt 2: accepted [P -124]
│       ├── 08:30:02.500    +2.5 s  the provider took it
│       ├── 08:31:00.000   +60.0 s  receipt: delivered
│       └── 08:32:00.000    +2 min  receipt: read
└── 08:30:00.020    +20 ms  the rule thank-you (version 1) did not act, without consent \
(zalo-template: none recorded)

The rule thank-you (version 1) acted (every condition holds); by zalo-template, the provider took \
it, and it was read.
"""
    assert "\n".join(line.rstrip() for line in answer.output.splitlines()) + "\n" == told_in_full


@pytest.mark.parametrize("name", HEALTHY)
async def test_each_state_is_told_in_words(
    teller: Teller, tenant_id: UUID, leo: Leo, name: str
) -> None:
    told = await teller.story(tenant_id, HEALTHY[name])
    answer = await leo(str(told.event_id))
    assert answer.exit_code == 0, answer.exception
    sentence = answer.output.strip().rsplit("\n", 1)[-1]
    assert trace.STANDS[HEALTHY[name].state] in sentence
    assert HEALTHY[name].reason in sentence
    assert "PERSONAL" not in answer.output


@pytest.mark.parametrize("outcome", sorted(set(trace.DECIDED) - {"acted"}))
async def test_each_decision_not_to_act_is_told_in_words(
    teller: Teller, tenant_id: UUID, leo: Leo, outcome: str
) -> None:
    profile_id = await teller.profile(tenant_id)
    event_id = await teller.event(tenant_id, profile_id=profile_id)
    await teller.decision(
        tenant_id, event_id, profile_id=profile_id, outcome=outcome, reason="so it is"
    )
    answer = await leo(str(event_id))
    assert answer.output.strip().endswith(
        f"Nothing was sent: the rule thank-you (version 1) {trace.DECIDED[outcome]} (so it is)."
    )


async def test_story_that_has_just_begun_says_what_is_missing(
    teller: Teller, tenant_id: UUID, leo: Leo
) -> None:
    told = await teller.acted(tenant_id)
    assert "; no delivery is made yet." in (await leo(str(told.event_id))).output
    event_id = await teller.event(tenant_id, profile_id=told.profile_id)
    assert "Nothing is decided about this event yet." in (await leo(str(event_id))).output


async def test_message_that_waits_says_until_when(
    teller: Teller, tenant_id: UUID, leo: Leo
) -> None:
    profile_id = await teller.profile(tenant_id)
    event_id = await teller.event(tenant_id, profile_id=profile_id)
    decision_id = await teller.decision(
        tenant_id, event_id, profile_id=profile_id, not_before=START + timedelta(hours=22)
    )
    told = await teller.acted(tenant_id)
    told.event_id, told.decision_id = event_id, decision_id
    await teller.delivery(
        told,
        History(state="pending", reason="quiet hours"),
        due_at=START + timedelta(hours=22),
    )
    output = (await leo(str(event_id))).output
    assert "not before 2026-03-02 06:30" in output
    assert (
        "by zalo-template, it waits for its turn (quiet hours), until 2026-03-02 06:30." in output
    )


async def test_json_has_every_row_of_the_journey(teller: Teller, tenant_id: UUID, leo: Leo) -> None:
    told = await teller.story(tenant_id, HEALTHY["was accepted"])
    document = json.loads((await leo(str(told.event_id), "--json")).output)
    assert document["event_id"] == str(told.event_id)
    assert document["time_zone"] == "Asia/Ho_Chi_Minh"
    assert document["summary"].endswith("and it was read.")
    assert [step["step"] for step in document["steps"]] == [
        *("event", "decision", "delivery", "attempt", "attempt", "delivery"),
        *("receipt", "receipt"),
    ]
    assert document["steps"][0]["at"] == "2026-03-01T08:30:00+07:00"


async def test_event_is_found_by_its_source(teller: Teller, leo: Leo) -> None:
    tenants = [await teller.tenant(), await teller.tenant()]
    told = await teller.acted(tenants[0])
    by_source = ("--source", "shop", "--source-event-id")
    found = await leo(*by_source, f"order-{told.event_id}")
    assert str(told.event_id) in found.output
    for tenant in tenants:
        await teller.run_as_migrate(
            "INSERT INTO marketing_event SELECT $1, gen_random_uuid(), source, 'twice', event_type,"
            " profile_ext_id, occurred_at, received_at, properties, body_digest"
            " FROM marketing_event WHERE event_id = $2",
            tenant,
            told.event_id,
        )
    refused = await leo(*by_source, "twice")
    assert isinstance(refused.exception, CommandError)
    assert "2 tenants have such an event; trace one by its id" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([str(uuid7())], "no tenant has an event "),
        (["order-1"], '"order-1" is not the id of an event'),
        (
            ["--source", "shop", "--source-event-id", "1"],
            'no tenant has an event "1" of the source',
        ),
        ([], "name the event"),
        (["--source", "shop"], "name the event"),
        ([str(uuid7()), "--source", "shop"], "name the event"),
        ([str(uuid7()), "--delivery", str(uuid7())], "name the event"),
        (["--launch", str(uuid7())], "name the event"),
        (["--profile", "an"], "name the event"),
        (["--launch", str(uuid7()), "--profile", "an"], "no tenant has a launch "),
        (["--launch", "tet", "--profile", "an"], '"tet" is not the id of a launch'),
        (["--delivery", str(uuid7())], "no tenant has a delivery "),
        (["--delivery", "an"], '"an" is not the id of a delivery'),
    ],
)
async def test_event_that_is_not_there_is_said_in_a_sentence(
    leo: Leo, arguments: list[str], says: str
) -> None:
    answer = await leo(*arguments)
    assert isinstance(answer.exception, CommandError)
    assert says in str(answer.exception)


async def test_words_are_there_for_all_that_the_database_allows(teller: Teller) -> None:
    checks = {
        "decision_outcome_check": set(trace.DECIDED),
        "delivery_log_state_check": set(trace.STANDS),
        "delivery_attempt_kind_check": set(trace.ANSWERED),
    }
    for name, words in checks.items():
        allowed = await teller.fetchval(
            "SELECT array_agg(found[1]) FROM pg_constraint,"
            " regexp_matches(pg_get_constraintdef(oid), '''([a-z_]+)''', 'g') AS found"
            " WHERE conname = $1",
            name,
        )
        assert set(allowed) == words, name


async def test_a_chain_of_choices_is_one_story(teller: Teller, tenant_id: UUID, leo: Leo) -> None:
    why = "not reachable"
    refused = History(state="failed", attempts=attempt(1, "rejected"), reason=why)
    told = await teller.story(tenant_id, refused)
    ended_at = START + timedelta(milliseconds=1500)
    second_id = await teller.delivery(
        told,
        History(state="suppressed", reason="no consent"),
        choice=1,
        channel="email",
        created_at=ended_at,
        updated_at=ended_at + timedelta(seconds=1),
    )
    third_id = await teller.delivery(
        told,
        History(state="pending"),
        choice=3,
        created_at=ended_at + timedelta(seconds=1),
        updated_at=ended_at + timedelta(seconds=1),
    )
    answer = await leo(str(told.event_id))
    assert answer.exit_code == 0, answer.exception
    lines = [line.lstrip("│├└─ ").rstrip() for line in answer.output.splitlines()]
    of_deliveries = [line for line in lines if "(choice" in line or "made:" in line]
    made = "made: marketing to phone:0, template thanks"
    assert of_deliveries == [
        f"by zalo-template (choice 0): failed  {told.delivery_id}",
        f"08:30:00.040    +40 ms  {made}",
        f"then by email (choice 1): suppressed  {second_id}",
        f"08:30:01.500    +1.5 s  {made}; {told.delivery_id} by zalo-template ended failed: {why}",
        f"then by zalo-template (choice 3): pending  {third_id}",
        f"08:30:02.500    +2.5 s  {made}; {second_id} by email ended suppressed: no consent",
    ]
    assert " ".join(lines[-2:]) == (
        "The rule thank-you (version 1) acted (every condition holds); by zalo-template, the "
        "provider refused it (not reachable); then by email, it was not sent (no consent); then by "
        "zalo-template, it waits for its turn, until 2126-03-01 07:00."
    )


async def test_a_person_in_a_launch_has_a_story(teller: Teller, tenant_id: UUID, leo: Leo) -> None:
    told = await teller.launched(tenant_id, HEALTHY["was accepted"])
    answer = await leo("--launch", str(told.event_id), "--profile", str(told.profile_id))
    assert answer.exit_code == 0, answer.exception
    lines = [line.rstrip() for line in answer.output.splitlines()]
    assert lines[:3] == [
        (
            "launch of the rule thank-you (version 1) of spring, begun 2026-03-01 08:30:00"
            f" (Asia/Ho_Chi_Minh), tenant tenant-{tenant_id.hex}  {told.event_id}"
        ),
        "└── 08:30:00.020    +20 ms  the rule thank-you (version 1) acted (every condition holds)",
        f"    └── by zalo-template (choice 0): accepted  {told.delivery_id}",
    ]
    assert lines[-1] == (
        "The rule thank-you (version 1) acted (every condition holds); by zalo-template, the"
        " provider took it, and it was read."
    )
    # By the id at the data platform, and from its delivery, it is the same story.
    ext_id = f"PERSONAL-{told.profile_id}"
    assert (await leo("--launch", str(told.event_id), "--profile", ext_id)).output == answer.output
    assert (await leo("--delivery", str(told.delivery_id))).output == answer.output
    document = json.loads((await leo("--delivery", str(told.delivery_id), "--json")).output)
    assert document["launch_id"] == str(told.event_id)
    assert document["profile_id"] == str(told.profile_id)
    assert document["event_id"] is None
    assert document["steps"][0]["step"] == "launch"


async def test_a_delivery_of_an_event_leads_to_its_story(
    teller: Teller, tenant_id: UUID, leo: Leo
) -> None:
    told = await teller.story(tenant_id, HEALTHY["was refused"])
    assert (await leo("--delivery", str(told.delivery_id))).output == (
        await leo(str(told.event_id))
    ).output


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("no_rule", "the rule thank-you (version 1) was not met (so it is)."),
        ("no_profile", "the rule thank-you (version 1) had nobody to act for (so it is)."),
        ("expired", "the rule thank-you (version 1) did not act, too late (so it is)."),
    ],
)
async def test_who_a_launch_did_not_act_for_is_told_why(
    teller: Teller, tenant_id: UUID, leo: Leo, outcome: str, says: str
) -> None:
    profile_id = await teller.profile(tenant_id)
    launch_id = await teller.launch(tenant_id, [profile_id], state="running")
    asked = ("--launch", str(launch_id), "--profile", str(profile_id))
    assert "Nothing is decided about this person yet." in (await leo(*asked)).output
    await teller.decision(
        tenant_id,
        launch_id,
        profile_id=profile_id,
        trigger_kind="launch",
        outcome=outcome,
        reason="so it is",
    )
    assert (await leo(*asked)).output.strip().endswith(f"Nothing was sent: {says}")


async def test_somebody_whom_the_tenant_does_not_know_is_said_in_a_sentence(
    teller: Teller, tenant_id: UUID, leo: Leo
) -> None:
    launch_id = await teller.launch(tenant_id, [])
    answer = await leo("--launch", str(launch_id), "--profile", "nobody")
    assert isinstance(answer.exception, CommandError)
    assert "has no such profile" in str(answer.exception)
