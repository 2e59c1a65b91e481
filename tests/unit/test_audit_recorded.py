"""The canonical form from what PostgreSQL writes is the one from what the services had in hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.audit import canonical_row
from libs.audit.recorded import NULL, Form, fields_of
from libs.audit.tree import exact

FORM = Form({"first": "middle", "second": "z"}, erasable=("second",))


def as_jsonb(value: Any) -> bytes:
    """As PostgreSQL writes a jsonb value."""
    return json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"a": 1, "b": [True, None, -5, "x"]},
        # Numbers that writers differ about.
        {"a": 1.0, "b": 0.1, "c": -0.5, "d": [1.5, 2]},
        [0.25],
        0.5,
        {"a": [2.5, {"b": 3.25}], "c": "1.5, 2.5] 3.5}"},
        {"a": 9007199254740991, "b": 9007199254740993, "c": 2**63 - 1},
        # Keys that encodings sort differently, and others.
        {"\ue000": 1, "\U0001f600": 2, "é": 3, "z": 4},
        {"tên": "Nguyễn Thị 💎", "b": {"ổ": 1}},
        # Texts that look like something else.
        {"a": '"middle":1,"z":2', "b": ' 1.5 [2.5 "', "c": '\\ \\\\ " / \u007f \u2028'},
        {"a": "dòng 1\nvà\t2\r\b\f\v", "\\N": "\\N"},
    ],
)
def test_documents_stand_in_their_places_in_canonical_form(document: Any) -> None:
    columns = {"aaa": 'x ,"middle": y', "middle": None, "z": 7}
    told = json.dumps(columns, separators=(",", ":")).encode()
    expected = canonical_row(columns | {"first": exact(document), "second": None})
    # "aaa" < "first" < "middle" < "second" < "z".
    assert FORM.canonical(told, [as_jsonb(document), NULL]) == expected


def test_a_column_that_came_later_is_left_out_where_it_is_null() -> None:
    form = Form({}, later=("added",))
    assert form.canonical(b'{"a":1,"added":null,"b":2}', []) == b'{"a":1,"b":2}'
    assert form.canonical(b'{"a":1,"added":0,"b":2}', []) == b'{"a":1,"added":0,"b":2}'


def test_what_an_erasure_empties_is_known() -> None:
    assert FORM.holds_erasable(b"{}", [NULL, b"{}"])
    assert not FORM.holds_erasable(b"{}", [b"{}", NULL])
    column = Form({}, erasable=("evidence",))
    assert column.holds_erasable(b'{"evidence":"form"}', [])
    assert not column.holds_erasable(b'{"evidence":null}', [])


def test_escapes_of_copy_are_resolved() -> None:
    line = rb"a\\b" + b"\t" + rb"\N" + b"\t" + rb"\\N" + b"\t" + rb"1\n2\t3\r\b\f\v" + b"\t"
    assert fields_of(line) == [rb"a\b", NULL, rb"\N", b"1\n2\t3\r\b\f\v", b""]
