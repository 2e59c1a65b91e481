"""The slice is what SOURCE.md says, and everything made from it is the same on every run."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from libs.demo import dirt, people, purchases, steps
from libs.demo.bad_events import bad_events
from services.ingest.domain.profile import Profile
from services.ingest.sources import read_document

CREATED_AT = datetime(2026, 11, 25, 20, 30, tzinfo=UTC)
SOURCE_TEXT = (purchases.SLICE.parent / "SOURCE.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def log() -> list[purchases.Purchase]:
    return purchases.read_purchases()


@pytest.fixture(scope="module")
def documents(log: list[purchases.Purchase]) -> list[str]:
    return [item.document.json for item in steps.profile_inputs(log, CREATED_AT)]


def test_the_slice_is_the_one_that_its_source_note_describes(
    log: list[purchases.Purchase],
) -> None:
    customers = {purchase.customer_id for purchase in log}
    assert f"{len(log):,} purchases of {len(customers):,} customers" in SOURCE_TEXT
    first, last = min(item.day for item in log), max(item.day for item in log)
    assert f"({first} to {last})" in SOURCE_TEXT
    assert last - first == timedelta(days=13)
    assert hashlib.sha256(purchases.SLICE.read_bytes()).hexdigest() in SOURCE_TEXT
    assert f"{purchases.VND_PER_USD:,}" in SOURCE_TEXT
    assert "Permission is hereby granted, free of charge" in SOURCE_TEXT


def test_every_day_of_the_slice_has_purchases_and_each_line_is_one_event(
    log: list[purchases.Purchase],
) -> None:
    assert len({purchase.day for purchase in log}) == 14
    assert len({purchase.line for purchase in log}) == len(log)
    assert [purchase.line for purchase in log] == sorted(purchase.line for purchase in log)


@pytest.mark.parametrize(
    "created_at",
    [
        CREATED_AT,
        datetime(2026, 11, 25, 16, 59, 59, tzinfo=UTC),  # one second to midnight in Viet Nam
        datetime(2026, 11, 25, 17, 0, tzinfo=UTC),  # midnight in Viet Nam
    ],
)
def test_moved_times_lie_before_the_tenants_creation_and_within_the_shops_hours(
    log: list[purchases.Purchase], created_at: datetime
) -> None:
    times = purchases.moved_times(log, created_at)
    assert max(times.values()) < created_at
    assert created_at - max(times.values()) < timedelta(days=2)
    local = [time.astimezone(purchases.VIETNAM) for time in times.values()]
    assert {7, 22} <= {time.hour for time in local} <= set(range(7, 23))
    assert len({time.date() for time in local}) == 14


def test_a_later_run_tells_the_same_events(log: list[purchases.Purchase]) -> None:
    first = purchases.purchase_events(log, CREATED_AT)
    second = purchases.purchase_events(list(reversed(log)), CREATED_AT)
    assert [event.SerializeToString(deterministic=True) for event in first] == [
        event.SerializeToString(deterministic=True) for event in second
    ]
    happened_at = [event.event_time.ToNanoseconds() for event in first]
    assert happened_at == sorted(happened_at)


def test_an_event_says_what_the_log_says(log: list[purchases.Purchase]) -> None:
    purchase = next(item for item in log if item.line == 44)
    event = purchases.purchase_event(purchase, CREATED_AT)
    assert (event.source, event.source_event_id) == ("cdnow", "44")
    assert event.profile_ext_id == people.ext_id_of("00011")
    assert dict(event.properties.items()) == {
        "cd_count": 1,
        "value_vnd": 319_250,
        "original_day": "1997-03-17",
        "original_value_usd": "12.77",
    }


def test_the_people_are_the_same_on_every_run(
    log: list[purchases.Purchase], documents: list[str]
) -> None:
    again = [item.document.json for item in steps.profile_inputs(log, CREATED_AT)]
    assert again == documents
    # A person drawn on another day or by another Python is the same one.
    person = people.document_of("00011", created_at=CREATED_AT, purchase_count=1, value_vnd=319_250)
    assert (person["lastName"], person["middleName"], person["firstName"]) == NAME_OF_11
    assert person["_key"] == "erJuQqYqtyBnXwEjBXs9MJ"


NAME_OF_11 = ("Nguyễn", "Anh", "Cường")


def test_two_percent_of_the_documents_are_dirty_and_every_way_occurs(
    log: list[purchases.Purchase],
) -> None:
    customers = {purchase.customer_id for purchase in log}
    dirty = [customer_id for customer_id in customers if dirt.is_dirty(customer_id)]
    assert 0.015 < len(dirty) / len(customers) < 0.025
    ways = {int(customer_id) // dirt.DIRTY_EVERY % 8 for customer_id in dirty}
    assert ways == set(range(8))


def test_clean_documents_give_no_warning_and_dirty_ones_are_never_fatal(
    log: list[purchases.Purchase],
) -> None:
    states = set()
    for customer_id in sorted({purchase.customer_id for purchase in log}):
        document = people.document_of(
            customer_id, created_at=CREATED_AT, purchase_count=1, value_vnd=1
        )
        if dirt.is_dirty(customer_id):
            document = dirt.soil(document, customer_id)
        profile, warnings = read_document("leo-cdp", json.dumps(document), "document", CREATED_AT)
        assert isinstance(profile, Profile)
        assert dirt.is_dirty(customer_id) or not warnings
        states.add((profile.state, profile.context))
    assert states == {
        ("active", "production"),
        ("active", "test"),
        ("active", "fake"),
        ("inactive", "production"),
        ("merged", "production"),
    }


def test_unreadable_documents_are_refused(documents: list[str]) -> None:
    for text in dirt.unreadable_documents():
        assert text in documents
        profile, _ = read_document("leo-cdp", text, "document", CREATED_AT)
        assert not isinstance(profile, Profile)


def test_contacts_belong_to_nobody_and_phones_come_in_many_forms(documents: list[str]) -> None:
    text = "\n".join(documents)
    addresses = set(re.findall(r"[\w.]+@[\w.]+", text))
    assert len(addresses) > 5000
    assert {address for address in addresses if not address.lower().endswith(".example")} == {"a@b"}
    forms = {
        re.sub(r"\d", "9", json.loads(document)["primaryPhone"]) for document in documents[:300]
    }
    assert len(forms) >= 8


def test_each_bad_event_says_that_it_is_bad_on_purpose(log: list[purchases.Purchase]) -> None:
    events = purchases.purchase_events(log, CREATED_AT)
    *made, conflicting = bad_events(events)
    assert all(bad.event.source_event_id.startswith("bad-on-purpose-") for bad in made)
    assert conflicting.event.source_event_id == events[0].source_event_id
    assert conflicting.event != events[0]
