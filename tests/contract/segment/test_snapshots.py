"""Who was in a segment: taken once, at one moment, and never changed."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from leo_sdk import ForbiddenError, InvalidError, MissingError, StateError
from libs.fields.paging import token_of
from libs.postgres import roles
from tests.contract.segment.conftest import MEMBER_COUNT_MAX

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.contract.segment.client import Client
    from tests.contract.segment.conftest import ClientOf
    from tests.contract.segment.people import People

PAGE = Path(__file__).parents[3] / "docs/reference/snapshots.md"
CHECK = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[-1]
MARKETING = ("email", "marketing")


async def test_a_snapshot_has_the_people_of_the_segment_and_how_they_were(
    client: Client, people: People
) -> None:
    an = await people.person("an", consents=[(*MARKETING, "granted"), ("sms", "care", "granted")])
    await people.person("binh", city="Hà Nội")
    chi = await people.person("chi", version=7, consents=[(*MARKETING, "withdrawn")])
    before = datetime.now(UTC)
    segment = await client.create_segment(name="hue", condition='profile.city == "Huế"')
    snapshot = await client.create_snapshot(segment.segment_id)
    assert UUID(snapshot.snapshot_id).version == 7
    assert (snapshot.segment_id, snapshot.segment_version) == (segment.segment_id, 1)
    assert (snapshot.condition, snapshot.member_count) == (segment.condition, 2)
    assert len(snapshot.digest) == 32
    assert abs((snapshot.create_time.ToDatetime(tzinfo=UTC) - before).total_seconds()) < 60
    assert await client.get_snapshot(snapshot.snapshot_id) == snapshot
    assert [
        (member.profile_id, member.ext_id, member.profile_version, list(member.consents))
        for member in await client.members_of(snapshot.snapshot_id)
    ] == [
        (str(an), "an", 2, ["email.marketing", "sms.care"]),
        (str(chi), "chi", 7, []),
    ]


async def test_what_changes_afterwards_does_not_change_a_snapshot(
    client: Client, people: People
) -> None:
    await people.person("an", consents=[(*MARKETING, "granted")])
    snapshot = await client.snapshot_of('profile.city == "Huế"')
    members = await client.members_of(snapshot.snapshot_id)
    await people.person("binh")
    await people.run("UPDATE cdp_profiles SET city = 'Hà Nội', version = 9")
    await people.run("UPDATE profile_consent SET state = 'withdrawn'")
    await people.run("UPDATE segment SET condition = 'false', version = 2")
    assert await client.get_snapshot(snapshot.snapshot_id) == snapshot
    assert await client.members_of(snapshot.snapshot_id) == members


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('consent.granted("email", "marketing")', ["an"]),
        ('!consent.granted("email", "marketing")', ["binh", "chi"]),
        ('profile.attributes.points > 10 && profile.labels == ["x"] || true', None),
        ('"vip" in profile.labels', ["chi"]),
        ("profile.churn_score > 0.1", ["binh"]),
        ("profile.attributes.points >= 10", ["an"]),
        ("profile.created_at <= now && now < timestamp('2100-01-01T00:00:00Z')", "everybody"),
        ("true", "everybody"),
        ("false", []),
    ],
)
async def test_a_condition_reads_all_that_a_segment_may(
    client: Client, people: People, condition: str, expected: Any
) -> None:
    await people.person(
        "an", consents=[(*MARKETING, "granted")], attributes='{"points": 10}', labels=["new"]
    )
    await people.person(
        "binh", consents=[(*MARKETING, "withdrawn")], attributes='{"points": "10"}', churn_score=0.5
    )
    await people.person("chi", consents=[("sms", "marketing", "granted")], labels=["old", "vip"])
    if expected is None:
        # Lists are not compared with each other: refused before anything is stored.
        with pytest.raises(InvalidError):
            await client.snapshot_of(condition)
        return
    snapshot = await client.snapshot_of(condition)
    found = [member.ext_id for member in await client.members_of(snapshot.snapshot_id)]
    assert found == (["an", "binh", "chi"] if expected == "everybody" else expected)
    assert snapshot.member_count == len(found)


async def test_only_living_and_real_people_are_members(client: Client, people: People) -> None:
    await people.person("an")
    for state in ("inactive", "merged"):
        await people.person(state, state=state)
    for context in ("test", "fake"):
        await people.person(context, context=context)
    snapshot = await client.snapshot_of("true")
    assert [member.ext_id for member in await client.members_of(snapshot.snapshot_id)] == ["an"]


async def test_a_segment_without_members_gives_an_empty_snapshot(
    client: Client, people: People
) -> None:
    snapshot = await client.snapshot_of("true")
    assert snapshot.member_count == 0
    assert len(snapshot.digest) == 32
    assert await client.members_of(snapshot.snapshot_id) == []
    assert (await people.connection.fetchrow(CHECK))["is_intact"]


async def test_a_snapshot_is_the_truth_of_one_moment(
    client: Client, people: People, connect: Connect
) -> None:
    """Somebody moves between two of its pages: they are in it once, where they were."""
    await people.crowd(5000)
    segment = await client.create_segment(name="hue", condition='profile.city == "Huế"')
    async with connect("postgres") as other:
        # The consents of the first page come after its people, and before the next page's.
        async with other.transaction():
            await other.execute("LOCK TABLE profile_consent")
            taking = asyncio.create_task(client.create_snapshot(segment.segment_id))
            while not await other.fetchval(  # noqa: ASYNC110 - in the database
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            ):
                await asyncio.sleep(0.01)
            await people.run("UPDATE cdp_profiles SET city = 'Hà Nội'")
        snapshot = await taking
    assert snapshot.member_count == 1250
    assert (await people.connection.fetchrow(CHECK))["is_intact"]


async def test_a_repeated_request_gets_its_first_snapshot(client: Client, people: People) -> None:
    await people.person("an")
    segment = await client.create_segment(name="all", condition="true")
    request_id = str(uuid4())
    answers = await asyncio.gather(
        *(client.create_snapshot(segment.segment_id, request_id) for _ in range(4))
    )
    await people.person("binh")
    answers.append(await client.create_snapshot(segment.segment_id, request_id))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].member_count == 1
    assert await people.connection.fetchval("SELECT count(*) FROM segment_snapshot") == 1
    assert await people.connection.fetchval("SELECT count(*) FROM segment_snapshot_member") == 1
    # Without one, it is another snapshot.
    assert (await client.create_snapshot(segment.segment_id)).member_count == 2


async def test_a_request_id_with_another_body_is_refused(client: Client, people: People) -> None:
    first = await client.create_segment(name="a", condition="true")
    second = await client.create_segment(name="b", condition="true")
    request_id = str(uuid4())
    await client.create_snapshot(first.segment_id, request_id)
    with pytest.raises(InvalidError) as refused:
        await client.create_snapshot(second.segment_id, request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.metadata == {"request_id": request_id}


async def test_the_same_request_id_of_two_tenants_makes_two_snapshots(
    client: Client, other_client: Client
) -> None:
    request_id = str(uuid4())
    made = []
    for each in (client, other_client):
        segment = await each.create_segment(name="all", condition="true")
        made.append(await each.create_snapshot(segment.segment_id, request_id))
    assert made[0].snapshot_id != made[1].snapshot_id


async def test_too_many_members_are_refused_and_leave_nothing(
    client: Client, people: People
) -> None:
    await people.crowd(MEMBER_COUNT_MAX + 1)
    segment = await client.create_segment(name="all", condition="true")
    with pytest.raises(StateError) as refused:
        await client.create_snapshot(segment.segment_id)
    assert refused.value.reason == "SNAPSHOT_TOO_LARGE"
    assert refused.value.metadata == {
        "segment_id": segment.segment_id,
        "member_count_max": str(MEMBER_COUNT_MAX),
    }
    for table in ("segment_snapshot", "segment_snapshot_member", "audit_entry"):
        assert await people.connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_pages_bring_every_member_once_and_across_chunks(
    client: Client, people: People
) -> None:
    await people.crowd(MEMBER_COUNT_MAX)
    snapshot = await client.snapshot_of("true")
    members = await client.members_of(snapshot.snapshot_id, page_size=467)
    assert [member.ext_id for member in members] == [f"p{n}" for n in range(MEMBER_COUNT_MAX)]
    for number, member in enumerate(members):
        assert member.profile_version == number % 7 + 1
        expected = ["email.marketing"] * (number % 3 == 0)
        expected += ["zalo-template.marketing"] * (number % 5 == 0)
        assert list(member.consents) == expected
    # The view shows the same.
    rows = await people.connection.fetch(
        "SELECT m.position, p.ext_id, m.profile_version, m.consents FROM v_snapshot_member AS m"
        " JOIN cdp_profiles AS p USING (tenant_id, profile_no) ORDER BY m.position"
    )
    assert [tuple(row) for row in rows] == [
        (number, member.ext_id, member.profile_version, list(member.consents))
        for number, member in enumerate(members)
    ]
    counts = await people.connection.fetch(
        "SELECT member_count FROM segment_snapshot_member ORDER BY chunk_no"
    )
    assert [row["member_count"] for row in counts] == [10_000, 2000]
    assert (await people.connection.fetchrow(CHECK))["is_intact"]


async def test_a_page_has_fifty_members_unless_told_and_never_more_than_five_hundred(
    client: Client, people: People
) -> None:
    await people.crowd(600)
    snapshot = await client.snapshot_of("true")
    for page_size, count in ((0, 50), (7, 7), (500, 500), (100_000, 500)):
        page = await client.list_snapshot_members(
            snapshot_id=snapshot.snapshot_id, page_size=page_size
        )
        assert len(page.members) == count


async def test_who_was_erased_keeps_a_place_without_a_name(client: Client, people: People) -> None:
    await people.person("an")
    binh = await people.person("binh")
    snapshot = await client.snapshot_of("true")
    await people.run("DELETE FROM cdp_profiles WHERE profile_id = $1", binh)
    an, nobody = await client.members_of(snapshot.snapshot_id)
    assert an.ext_id == "an"
    assert (nobody.profile_id, nobody.ext_id, nobody.profile_version) == ("", "", 2)
    assert (await people.connection.fetchrow(CHECK))["is_intact"]


async def test_the_audit_says_how_many_under_which_digest(client: Client, people: People) -> None:
    await people.crowd(12)
    snapshot = await client.snapshot_of("true")
    (entry,) = await people.connection.fetch(
        "SELECT * FROM audit_entry WHERE kind = 'snapshot_created'"
    )
    assert entry["tenant_id"] == people.tenant_id
    assert entry["actor"]
    assert orjson.loads(entry["details"]) == {
        "snapshot_id": snapshot.snapshot_id,
        "segment_id": snapshot.segment_id,
        "segment_version": 1,
        "member_count": 12,
        "digest": snapshot.digest.hex(),
    }


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE segment_snapshot SET condition = 'false'",
        "UPDATE segment_snapshot SET taken_at = taken_at + interval '1 microsecond'",
        "UPDATE segment_snapshot_member SET profile_nos[3] = profile_nos[3] + 1000000",
        "UPDATE segment_snapshot_member SET profile_versions[3] = 9",
        "UPDATE segment_snapshot_member SET consents = set_bit(consents, 1, 1)",
        "UPDATE segment_snapshot_member SET consent_keys[1] = 'email.care'",
        "DELETE FROM segment_snapshot_member",
    ],
)
async def test_the_digest_shows_every_change_past_the_triggers(
    client: Client, people: People, connect: Connect, change: str
) -> None:
    await people.crowd(20)
    await client.snapshot_of("true")
    async with connect("postgres") as superuser:
        assert tuple(await superuser.fetchrow(CHECK))[1:] == (True, True)
        await superuser.execute("SET session_replication_role = replica")
        await superuser.execute(change)
        assert tuple(await superuser.fetchrow(CHECK))[1:] == (False, False)


async def test_nobody_joins_a_snapshot_that_is_closed(
    client: Client, people: People, connect: Connect
) -> None:
    await people.crowd(3)
    await client.snapshot_of("true")
    joining = (
        "INSERT INTO segment_snapshot_member"
        " SELECT tenant_id, snapshot_id, chunk_no + 1, member_count, profile_nos,"
        " profile_versions, consent_keys, consents FROM segment_snapshot_member"
    )
    for role in (roles.SEGMENT, roles.OWNER, roles.MIGRATE):
        async with connect(role) as connection, connection.transaction():
            await connection.execute(
                "SELECT set_config('leo.tenant_id', $1, true)", str(people.tenant_id)
            )
            with pytest.raises(Exception, match="the snapshot is closed"):
                await connection.execute(joining)


async def test_a_tenant_neither_takes_reads_nor_lists_anothers(
    client: Client, other_client: Client, people: People
) -> None:
    await people.person("an")
    snapshot = await client.snapshot_of("true")
    with pytest.raises(MissingError) as refused:
        await other_client.create_snapshot(snapshot.segment_id)
    assert refused.value.reason == "SEGMENT_MISSING"
    for call in (
        other_client.get_snapshot(snapshot.snapshot_id),
        other_client.list_snapshot_members(snapshot_id=snapshot.snapshot_id),
    ):
        with pytest.raises(MissingError) as refused:
            await call
        assert refused.value.reason == "SNAPSHOT_MISSING"
        assert refused.value.metadata == {"snapshot_id": snapshot.snapshot_id}
    assert (await other_client.snapshot_of("true")).member_count == 0


async def test_ids_and_pages_that_are_none_are_refused(client: Client, people: People) -> None:
    snapshot_id = (await client.snapshot_of("true")).snapshot_id
    listed = client.list_snapshot_members
    for call, field in (
        (client.create_snapshot(""), "segment_id"),
        (client.create_snapshot(str(uuid4()), "x"), "request_id"),
        (client.get_snapshot("x"), "snapshot_id"),
        (listed(snapshot_id=""), "snapshot_id"),
        (listed(snapshot_id=snapshot_id, page_size=-1), "page_size"),
        (listed(snapshot_id=snapshot_id, page_token="x"), "page_token"),
        (listed(snapshot_id=snapshot_id, page_token=token_of("-1")), "page_token"),
        (listed(snapshot_id=snapshot_id, page_token=token_of("9" * 20)), "page_token"),
        (listed(snapshot_id=snapshot_id, page_token=token_of("1", "2")), "page_token"),
    ):
        with pytest.raises(InvalidError) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("FIELD_INVALID", {"field": field})
    behind = await listed(snapshot_id=snapshot_id, page_token=token_of("999999999"))
    assert not behind.members


async def test_what_is_not_there_is_missing(client: Client) -> None:
    missing = str(uuid4())
    for call, reason in (
        (client.create_snapshot(missing), "SEGMENT_MISSING"),
        (client.get_snapshot(missing), "SNAPSHOT_MISSING"),
        (client.list_snapshot_members(snapshot_id=missing), "SNAPSHOT_MISSING"),
    ):
        with pytest.raises(MissingError) as refused:
            await call
        assert refused.value.reason == reason


async def test_reading_and_taking_need_their_scopes(client_for: ClientOf, tenant_id: UUID) -> None:
    reader = await client_for(tenant_id, "leo.segments.read")
    writer = await client_for(tenant_id, "leo.segments.write")
    missing = str(uuid4())
    for call in (
        reader.create_snapshot(missing),
        writer.get_snapshot(missing),
        writer.list_snapshot_members(snapshot_id=missing),
    ):
        with pytest.raises(ForbiddenError):
            await call
