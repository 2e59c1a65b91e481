from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.type.date_pb2 import Date

from leo.ingest.v1.ingest_service_pb2 import (
    ConsentHint,
    Profile,
    ProfileInput,
    ProfileResult,
    PushAddress,
    SourceDocument,
)
from leo_sdk import InvalidError, MissingError, error_of_status, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from leo_sdk import LeoClient

NOW = datetime.now(UTC).replace(microsecond=0)
CREATED = ProfileResult.OUTCOME_CREATED
UPDATED = ProfileResult.OUTCOME_UPDATED
UNCHANGED = ProfileResult.OUTCOME_UNCHANGED
STALE = ProfileResult.OUTCOME_STALE
REFUSED = ProfileResult.OUTCOME_REFUSED


def person(ext_id: str = "p-1", **changes: Any) -> ProfileInput:
    return ProfileInput(profile=Profile(**({"ext_id": ext_id, "city": "Huế"} | changes)))


def document(**values: Any) -> ProfileInput:
    text = json.dumps({"_key": "cdp-1", "status": 1, "dataContext": 1} | values)
    return ProfileInput(document=SourceDocument(source="leo-cdp", json=text))


async def outcomes(
    client: LeoClient, *profiles: ProfileInput
) -> list[ProfileResult.Outcome.ValueType]:
    return [result.outcome for result in await client.ingest.batch_upsert_profiles(profiles)]


async def versions(auditor: Any, tenant_id: UUID) -> list[int]:
    rows = await auditor.fetch(
        "SELECT version FROM cdp_profile_version WHERE tenant_id = $1 ORDER BY version", tenant_id
    )
    return [row["version"] for row in rows]


async def test_a_profile_comes_back_as_it_was_sent(client: LeoClient) -> None:
    sent = Profile(
        ext_id="p-1",
        state=Profile.STATE_ACTIVE,
        context=Profile.CONTEXT_PRODUCTION,
        given_name="Hạnh",
        middle_name="Thị Mỹ",
        family_name="Phạm",
        gender="female",
        birth_date=Date(year=1991, month=2, day=28),
        language="vi",
        city="Đà Nẵng",
        country="Việt Nam",
        emails=["hanh@khachhang.example"],
        phones=["+84903111222"],
        zalo_user_id="5142508692811270001",
        push_addresses=[PushAddress(provider="firebase", address="token-1")],
        labels=["VIP"],
        source_segment_ids=["s-1"],
        funnel_stage="engaged-customer",
        transaction_value_vnd=2**53 + 1,
        lifetime_value_vnd=12_000_000,
        churn_score=0.0,
        consent_hints=[ConsentHint(channel="email", agreed=True)],
        source_update_time=timestamp(NOW),
        source_revision="r1",
    )
    sent.attributes.update({"lead_score": 42, "jobs": ["Kế toán"], "nothing": None})
    (result,) = await client.ingest.batch_upsert_profiles([ProfileInput(profile=sent)])
    assert (result.outcome, result.version) == (CREATED, 1)
    response = await client.ingest.get_profile("p-1")
    received = response.profile
    assert received.profile_id == result.profile_id
    assert received.update_time.ToDatetime(tzinfo=UTC) >= NOW
    for output in ("profile_id", "version", "update_time"):
        received.ClearField(output)
    assert received == sent
    assert not response.consents


async def test_a_change_makes_a_version_and_no_change_makes_none(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    assert await outcomes(client, person()) == [CREATED]
    assert await outcomes(client, person()) == [UNCHANGED]
    assert await outcomes(client, person(source_revision="r2")) == [UNCHANGED]
    assert await versions(auditor, tenant_id) == [1]
    (result,) = await client.ingest.batch_upsert_profiles([person(city="Hội An")])
    assert (result.outcome, result.version) == (UPDATED, 2)
    assert await versions(auditor, tenant_id) == [1, 2]
    documents = await auditor.fetch("SELECT document FROM cdp_profile_version ORDER BY version")
    assert [json.loads(row["document"])["city"] for row in documents] == ["Huế", "Hội An"]
    assert await outcomes(client, person()) == [UPDATED]


async def test_an_older_profile_does_not_replace_a_newer_one(client: LeoClient) -> None:
    old, new = timestamp(NOW - timedelta(days=1)), timestamp(NOW)
    assert await outcomes(client, person(source_update_time=old)) == [CREATED]
    # The same content seen again later counts as news about its time.
    assert await outcomes(client, person(source_update_time=new)) == [UNCHANGED]
    assert await outcomes(client, person(city="Vinh", source_update_time=old)) == [STALE]
    assert (await client.ingest.get_profile("p-1")).profile.city == "Huế"
    assert await outcomes(client, person(city="Vinh", source_update_time=new)) == [UPDATED]


async def test_one_person_twice_in_a_batch_is_written_in_order(
    client: LeoClient, tenant_id: UUID, auditor: Any
) -> None:
    batch = [person(city="A"), person("p-2"), person(city="B"), person(city="B")]
    assert await outcomes(client, *batch) == [CREATED, CREATED, UPDATED, UNCHANGED]
    assert (await client.ingest.get_profile("p-1")).profile.city == "B"
    assert await versions(auditor, tenant_id) == [1, 1, 2]


async def test_a_bad_profile_holds_back_no_other(client: LeoClient) -> None:
    results = await client.ingest.batch_upsert_profiles(
        [
            person("good"),
            person(
                "",
                emails=["khong-co"],
                phones=["0903111222"],
                gender="F",
                birth_date=Date(year=2025, month=2, day=29),
                merged_into_ext_id="x",
                churn_score=1.5,
                labels=[""],
            ),
            ProfileInput(),
            ProfileInput(document=SourceDocument(source="crm", json="{}")),
            ProfileInput(document=SourceDocument(source="leo-cdp", json="{")),
        ]
    )
    assert [result.outcome for result in results] == [CREATED] + 4 * [REFUSED]
    fields = []
    for result in results[1:]:
        error = error_of_status(result.error)
        assert isinstance(error, InvalidError)
        fields.append([violation.field for violation in error.violations])
    assert fields == [
        [
            "profiles[1].profile.ext_id",
            "profiles[1].profile.labels[0]",
            "profiles[1].profile.emails[0]",
            "profiles[1].profile.phones[0]",
            "profiles[1].profile.merged_into_ext_id",
            "profiles[1].profile.gender",
            "profiles[1].profile.birth_date",
            "profiles[1].profile.churn_score",
        ],
        ["profiles[2]"],
        ["profiles[3].document.source"],
        ["profiles[4].document.json"],
    ]


async def test_a_document_of_the_cdp_becomes_a_profile_with_warnings(client: LeoClient) -> None:
    (result,) = await client.ingest.batch_upsert_profiles(
        [
            document(
                firstName=" Bảo ",
                primaryPhone="0903 111 222",
                secondaryEmails=["khong-co", "bao@khachhang.example"],
                receiveEmail="1",
                eventStatistics={"id_default_journey-purchase": 3},
            )
        ]
    )
    assert result.outcome == CREATED
    assert [warning.field for warning in result.warnings] == ["secondaryEmails[0]", "receiveEmail"]
    profile = (await client.ingest.get_profile("cdp-1")).profile
    assert profile.given_name == "Bảo"
    assert list(profile.phones) == ["+84903111222"]
    assert list(profile.emails) == ["bao@khachhang.example"]
    statistics = profile.attributes.fields["event_statistics"].struct_value
    assert statistics.fields["id_default_journey-purchase"].number_value == 3


async def test_a_merged_profile_names_its_winner(client: LeoClient) -> None:
    await client.ingest.batch_upsert_profiles([document(status=0, rootProfileId="winner")])
    profile = (await client.ingest.get_profile("cdp-1")).profile
    assert profile.state == Profile.STATE_MERGED
    assert profile.merged_into_ext_id == "winner"


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_a_size(client: LeoClient, count: int) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.ingest.batch_upsert_profiles([person(str(number)) for number in range(count)])
    assert [violation.field for violation in refused.value.violations] == ["profiles"]


async def test_a_missing_profile_is_not_found_and_its_id_is_not_repeated(
    client: LeoClient,
) -> None:
    with pytest.raises(MissingError) as refused:
        await client.ingest.get_profile("0903111222")
    assert refused.value.reason == "PROFILE_MISSING"
    assert "0903111222" not in str(refused.value)


async def test_get_profile_wants_an_id(client: LeoClient) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.ingest.get_profile("")
    assert [violation.field for violation in refused.value.violations] == ["ext_id"]


async def test_another_tenant_sees_no_profile_and_has_its_own(
    client: LeoClient, client_of: Callable[..., LeoClient], other_tenant_id: UUID
) -> None:
    await client.ingest.batch_upsert_profiles([person()])
    other = client_of(other_tenant_id)
    with pytest.raises(MissingError):
        await other.ingest.get_profile("p-1")
    assert await outcomes(other, person(city="Cần Thơ")) == [CREATED]
    assert (await client.ingest.get_profile("p-1")).profile.city == "Huế"
