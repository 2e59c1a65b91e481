from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.ingest.domain.profile import BirthDate, Profile, PushAddress, with_document
from services.ingest.errors import DocumentInvalidError, FieldInvalidError
from services.ingest.sources import read_document

if TYPE_CHECKING:
    from libs.rpc.errors import LeoError

NOW = datetime(2026, 11, 25, tzinfo=UTC)

CLEAN: dict[str, Any] = {
    "_key": "5rTm8WqXs2LcVbNzKd7PgA",
    "_rev": "_kYa0b1C--_",
    "rootProfileId": "",
    "mergeCode": 0,
    "type": 2,
    "status": 1,
    "dataContext": 1,
    "crmRefId": "KH-000417",
    "firstName": "Hạnh",
    "middleName": "Thị Mỹ",
    "lastName": "Phạm",
    "gender": 0,
    "dateOfBirth": "1991-02-28T00:00:00.000Z",
    "primaryLanguage": "vi",
    "primaryEmail": "Hanh.Pham@Khachhang.example",
    "secondaryEmails": ["hanh@congty.example", "hanh.pham@khachhang.example"],
    "primaryPhone": "0903 111 222",
    "secondaryPhones": ["+84 28 3822 1234"],
    "livingCity": "Đà Nẵng",
    "livingCountry": "Việt Nam",
    "identities": ["email:hanh.pham@khachhang.example", "zalo:7001"],
    "socialMediaProfiles": {"zalo": "5142508692811270001"},
    "notificationUserIds": {"firebase": ["token-1", "token-2"]},
    "receiveEmail": 1,
    "receiveSMS": -1,
    "receiveWebPush": 0,
    "dataLabels": ["VIP", "web-user", "VIP"],
    "inSegments": [{"id": "1bSgQxY6qEjuWycyOc9TYS", "name": "Khách VIP"}],
    "funnelStage": "engaged-customer",
    "eventStatistics": {"id_default_journey-purchase": 3},
    "jobTitles": ["Kế toán trưởng"],
    "totalTransactionValue": 5400000.0,
    "totalCLV": 12000000.4,
    "churnScore": 0.12,
    "totalLeadScore": 42,
    "extAttributes": {"shirt": "M"},
    "password": "never to be seen",
    "updatedAt": "2026-08-21T09:15:02.417Z",
}

# What bulk and AQL writers leave behind: nulls, wrong types, raw input, duplicates.
DIRTY: dict[str, Any] = {
    "_key": "0bDirtyTranVanD",
    "type": 4,
    "status": 1,
    "dataContext": 1,
    "firstName": " TRẦN VĂN DŨNG ",
    "lastName": None,
    "gender": 9,
    "primaryEmail": "Dung.Tran@Khachhang.example ",
    "secondaryEmails": ["dung.tran@khachhang.example", "khong-co", "a@b"],
    "primaryPhone": "0903.333.444 / 028 3822 1234",
    "secondaryPhones": ["12345", "+84 (0)903 333 444", "0169 123 4567"],
    "identities": ["phone:0903333444", "phone:0903333444"],
    "socialMediaProfiles": {"zalo": "", "facebook": "https://facebook.com/dung.tran"},
    "notificationUserIds": None,
    "receiveEmail": "1",
    "receiveSMS": -1,
    "dataLabels": None,
    "jobTitles": "Giám đốc",
    "inSegments": [{"id": "1bSg"}, None, {"id": "1bSg", "name": "Khách VIP miền Nam"}],
    "inJourneyMaps": None,
    "eventStatistics": {"id_default_journey-page-view": "12", "bad": None},
    "extAttributes": {"base_account_id": 10293},
    "createdAt": "09/03/2020",
    "updatedAt": None,
}


def read(document: dict[str, Any] | str) -> tuple[Profile | LeoError, list[str]]:
    text = document if isinstance(document, str) else json.dumps(document)
    profile, warnings = read_document("leo-cdp", text, "profiles[0].document", NOW)
    return profile, [warning.field for warning in warnings]


def good(document: dict[str, Any]) -> Profile:
    profile, _ = read(document)
    assert isinstance(profile, Profile)
    return profile


def test_a_clean_document_is_a_profile_without_a_warning() -> None:
    profile, warnings = read(CLEAN)
    assert warnings == []
    assert profile == Profile(
        ext_id="5rTm8WqXs2LcVbNzKd7PgA",
        given_name="Hạnh",
        middle_name="Thị Mỹ",
        family_name="Phạm",
        gender="female",
        birth_date=BirthDate(1991, 2, 28),
        language="vi",
        city="Đà Nẵng",
        country="Việt Nam",
        emails=("hanh.pham@khachhang.example", "hanh@congty.example"),
        phones=("+84903111222", "+842838221234"),
        zalo_user_id="5142508692811270001",
        push_addresses=(PushAddress("firebase", "token-1"), PushAddress("firebase", "token-2")),
        labels=("VIP", "web-user"),
        source_segment_ids=("1bSgQxY6qEjuWycyOc9TYS",),
        funnel_stage="engaged-customer",
        transaction_value_vnd=5_400_000,
        lifetime_value_vnd=12_000_000,
        churn_score=0.12,
        consent_hints={"email": True, "sms": False},
        attributes={
            "job_titles": ["Kế toán trưởng"],
            "lead_score": 42,
            "type": 2,
            "event_statistics": {"id_default_journey-purchase": 3},
            "ext": {"shirt": "M"},
        },
        source_updated_at=datetime(2026, 8, 21, 9, 15, 2, 417000, tzinfo=UTC),
        source_revision="_kYa0b1C--_",
    )


def test_what_is_not_asked_for_goes_nowhere() -> None:
    assert "never to be seen" not in with_document(good(CLEAN)).document


def test_a_dirty_document_keeps_what_can_be_used_and_names_the_rest() -> None:
    profile, warnings = read(DIRTY)
    assert isinstance(profile, Profile)
    assert profile.given_name == "TRẦN VĂN DŨNG"
    assert profile.emails == ("dung.tran@khachhang.example",)
    assert profile.phones == ("+84903333444",)
    assert profile.zalo_user_id == ""
    assert profile.source_segment_ids == ("1bSg",)
    assert profile.consent_hints == {"sms": False}
    assert profile.attributes == {"type": 4, "ext": {"base_account_id": 10293}}
    assert set(warnings) == {
        "gender",
        "secondaryEmails[1]",
        "secondaryEmails[2]",
        "primaryPhone",
        "secondaryPhones[0]",
        "secondaryPhones[2]",
        "inSegments[1]",
        "receiveEmail",
        "jobTitles",
        "eventStatistics.id_default_journey-page-view",
        "eventStatistics.bad",
    }


def test_a_warning_never_repeats_the_value() -> None:
    _, warnings = read_document("leo-cdp", json.dumps(DIRTY), "p", NOW)
    said = " ".join(f"{warning.field} {warning.description}" for warning in warnings)
    for value in ("khong-co", "a@b", "0903", "12345", "Giám"):
        assert value not in said


def test_a_profile_born_at_zalo_has_its_user_id() -> None:
    document = {"_key": "z", "status": 1, "dataContext": 1, "crmRefId": "zalo-6098812345670012345"}
    assert good(document).zalo_user_id == "6098812345670012345"
    document = {"_key": "z", "status": 1, "dataContext": 1, "identities": ["zalo:7001"]}
    assert good(document).zalo_user_id == "7001"


@pytest.mark.parametrize(
    ("values", "state", "winner"),
    [
        ({"status": 1}, "active", ""),
        ({"status": 0, "mergeCode": 11, "rootProfileId": "winner"}, "merged", "winner"),
        ({"status": 0, "rootProfileId": ""}, "inactive", ""),
        ({"status": -4, "inSegments": []}, "inactive", ""),
        ({"status": -44}, "inactive", ""),
        ({"status": None}, "inactive", ""),
        ({"status": "1"}, "inactive", ""),
    ],
)
def test_only_a_positive_status_is_alive(values: dict[str, Any], state: str, winner: str) -> None:
    profile = good({"_key": "k", "dataContext": 1, **values})
    assert (profile.state, profile.merged_into_ext_id) == (state, winner)


@pytest.mark.parametrize(
    ("code", "context"),
    [(1, "production"), (0, "test"), (-1, "fake"), (None, "test"), (7, "test"), ("1", "test")],
)
def test_only_data_context_1_is_production(code: object, context: str) -> None:
    assert good({"_key": "k", "status": 1, "dataContext": code}).context == context


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800"])
def test_text_that_cannot_be_stored_is_left_out(name: str) -> None:
    profile, warnings = read({**CLEAN, "firstName": name})
    assert isinstance(profile, Profile)
    assert profile.given_name == ""
    assert warnings == ["firstName"]


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("", "profiles[0].document.json", "is not JSON at line 1, column 1"),
        ("{", "profiles[0].document.json", "is not JSON"),
        ("[]", "profiles[0].document.json", "is not a JSON object"),
        ("[" * 100_000, "profiles[0].document.json", "is not JSON"),
        ("{}", "profiles[0].document.json._key", "is required"),
        ('{"_key": null}', "profiles[0].document.json._key", "is required"),
        ('{"_key": "a\\u0000b"}', "profiles[0].document.json._key", "is required"),
        (json.dumps({"_key": "k" * 300_000}), "profiles[0].document.json", "is larger than"),
        ('{"_key":"k","age":' + "9" * 5000 + "}", "profiles[0].document.json", "is not JSON"),
    ],
)
def test_what_cannot_be_a_profile_at_all_is_refused(text: str, field: str, says: str) -> None:
    error, _ = read(text)
    assert isinstance(error, DocumentInvalidError)
    assert error.metadata["source"] == "leo-cdp"
    assert [violation.field for violation in error.violations] == [field]
    assert says in error.violations[0].description


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    error, _ = read_document("crm", "{}", "profiles[2].document", NOW)
    assert isinstance(error, FieldInvalidError)
    assert error.violations[0].field == "profiles[2].document.source"
    assert "leo-cdp" in error.violations[0].description


def test_a_new_revision_alone_is_the_same_version() -> None:
    first = with_document(good(CLEAN))
    renewed = {**CLEAN, "_rev": "_kZZ", "updatedAt": "2026-08-22T00:00:00Z"}
    assert with_document(good(renewed)).digest == first.digest
    changed = {**CLEAN, "livingCity": "Hội An"}
    assert with_document(good(changed)).digest != first.digest


JUNK: list[Any] = [None, 0, -1, 1.5, 10**400, True, "", "x", "\x00", [], [None], {}, {"a": []}]


@pytest.mark.parametrize("field", sorted(CLEAN))
def test_no_value_of_any_field_stops_the_projection(field: str) -> None:
    for junk in JUNK:
        profile, _ = read({**CLEAN, field: junk})
        assert isinstance(profile, Profile) or field == "_key"
