from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from libs.audit import ROOT_OF_NOTHING, canonical_row, exact, leaf, root
from libs.audit.tree import path

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 80, tzinfo=UTC)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01", left, right)


def test_row_is_one_json_object_with_its_columns_in_order() -> None:
    row = {
        "tenant_id": UUID("018f3c2e-0000-7000-8000-0000000000ab"),
        "salt": b"\x00\xff",
        "created_at": MOMENT,
        "evidence": "Nguyễn \n",
        "document": {"b": 1.0, "a": [True, None]},
        "actor": None,
        "version": 2,
    }
    assert (
        canonical_row(row)
        == (
            '{"actor":null,"created_at":"2026-03-04T05:06:07.000080Z",'
            '"document":{"a":[true,null],"b":1},"evidence":"Nguyễn \\n","salt":"00ff",'
            '"tenant_id":"018f3c2e-0000-7000-8000-0000000000ab","version":2}'
        ).encode()
    )


def test_one_moment_in_two_zones_is_one_row() -> None:
    there = MOMENT.astimezone(timezone(timedelta(hours=7)))
    assert canonical_row({"at": MOMENT}) == canonical_row({"at": there})


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 3, 4),  # noqa: DTZ001 - a time without a zone is what is refused
        2**53,
        float("nan"),
        Decimal(1),
        "\ud800",
        {1: "one"},
    ],
)
def test_value_without_a_canonical_form_is_refused_by_its_column(value: object) -> None:
    with pytest.raises(ValueError, match=r"^no canonical form: column bad$"):
        canonical_row({"good": 1, "bad": value})


def test_leaf_hides_a_row_behind_its_salt() -> None:
    assert leaf(b"salt", b"{}") == sha256(b"\x00", b"salt", b"{}")
    assert leaf(b"salt", b"{}") != leaf(b"tlas", b"{}")


def test_root_of_nothing_is_zeros_and_of_one_the_leaf() -> None:
    assert root([]) == ROOT_OF_NOTHING == bytes(32)
    assert root([sha256(b"a")]) == sha256(b"a")


def test_root_pairs_in_order_and_carries_the_odd_one_up() -> None:
    a, b, c, d, e = (sha256(letter.encode()) for letter in "abcde")
    assert root([a, b]) == node(a, b)
    assert root([a, b, c]) == node(node(a, b), c)
    assert root([a, b, c, d]) == node(node(a, b), node(c, d))
    assert root([a, b, c, d, e]) == node(node(node(a, b), node(c, d)), e)
    assert root([b, a]) != root([a, b])


def test_root_does_not_change_the_leaves() -> None:
    leaves = [sha256(b"a"), sha256(b"b"), sha256(b"c")]
    root(leaves)
    assert leaves == [sha256(b"a"), sha256(b"b"), sha256(b"c")]


def test_the_path_of_each_leaf_leads_to_the_root() -> None:
    for count in range(1, 20):
        leaves = [leaf(b"salt", bytes([number])) for number in range(count)]
        for number in range(count):
            value = leaves[number]
            for before, behind in path(leaves, number):
                value = sha256(before, value, behind)
            assert value == root(leaves), (count, number)


def test_numbers_that_readers_would_round_are_told_as_text() -> None:
    document = {"a": [2**53 - 1, 2**53, -(2**60)], "b": 0.5, "c": True, "d": None, "e": "x"}
    assert exact(document) == document | {"a": [2**53 - 1, str(2**53), str(-(2**60))]}
