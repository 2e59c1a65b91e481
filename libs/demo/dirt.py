"""What bulk writers leave in a real CDP: about one document in fifty is dirty, in eight ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from libs.demo.people import ext_id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.demo.people import Document

# One customer in so many has a dirty document: two percent.
DIRTY_EVERY = 50


def is_dirty(customer_id: str) -> bool:
    """Whether this customer's document is one of the dirty ones."""
    return int(customer_id) % DIRTY_EVERY == 0


def soil(document: Document, customer_id: str) -> Document:
    """The document as a careless writer leaves it; the ways take turns."""
    way = _WAYS[int(customer_id) // DIRTY_EVERY % len(_WAYS)]
    return document | way(document, customer_id)


def unreadable_documents() -> list[str]:
    """Texts from which no profile can be made: refused, each with its reason."""
    without_key = {"status": 1, "dataContext": 1, "firstName": "Không Khóa"}
    return [
        json.dumps(without_key, ensure_ascii=False),
        json.dumps(without_key | {"_key": 12345}, ensure_ascii=False),
        '{"_key": "cutOffInTheMiddle", "firstName": "Nguy',
    ]


def _nulls(_document: Document, _customer_id: str) -> Document:
    return {"lastName": None, "notificationUserIds": None, "dataLabels": None} | {
        "inSegments": None,
        "updatedAt": None,
    }


def _wrong_types(_document: Document, _customer_id: str) -> Document:
    return {
        "gender": 9,
        "receiveEmail": "1",
        "jobTitles": "Giám đốc",
        "eventStatistics": {"id_default_journey-page-view": "12", "bad": None},
        "createdAt": "09/03/2020",
    }


def _duplicates(document: Document, _customer_id: str) -> Document:
    email = document["primaryEmail"]
    segment = {"id": "1bSgQxY6qEjuWycyOc9TYS", "name": "Khách VIP"}
    return {
        "secondaryEmails": [email.upper(), f" {email} "],
        "secondaryPhones": [document["primaryPhone"]],
        "identities": document["identities"] * 2,
        "inSegments": [{"id": segment["id"]}, None, segment],
    }


def _raw_contacts(document: Document, _customer_id: str) -> Document:
    return {
        "firstName": f" {document['firstName'].upper()} ",
        "primaryEmail": "khong-co",
        "secondaryEmails": ["a@b", document["primaryEmail"]],
        "primaryPhone": f"{document['primaryPhone']} / 028 3822 1234",
        "secondaryPhones": ["12345", "0169 123 4567"],
    }


def _merged(_document: Document, customer_id: str) -> Document:
    # The one before is clean, since only every DIRTY_EVERYth is not.
    winner = f"{int(customer_id) - 1:05d}"
    return {"status": 0, "mergeCode": 11, "rootProfileId": ext_id_of(winner)}


def _removed(_document: Document, _customer_id: str) -> Document:
    return {"status": -4, "inSegments": []}


def _test_data(_document: Document, _customer_id: str) -> Document:
    return {"dataContext": 0}


def _fake(_document: Document, _customer_id: str) -> Document:
    return {"dataContext": -1}


_WAYS: tuple[Callable[[Document, str], Document], ...] = (
    _nulls,
    _wrong_types,
    _duplicates,
    _raw_contacts,
    _merged,
    _removed,
    _test_data,
    _fake,
)
