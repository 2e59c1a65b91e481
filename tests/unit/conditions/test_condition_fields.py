"""The declared fields are the columns that there are."""

from __future__ import annotations

import re
from pathlib import Path

from libs.conditions.fields import PROFILE_FIELDS, Type, fields_of

MIGRATIONS = Path(__file__).parents[3] / "migrations"
SQL_TYPES = {
    "text": Type.TEXT,
    "int": Type.INT,
    "bigint": Type.INT,
    "double precision": Type.NUMBER,
    "text[]": Type.TEXTS,
    "timestamptz": Type.TIME,
    "jsonb": None,
}


def test_profile_fields_have_the_type_and_nullability_of_their_columns() -> None:
    (migration,) = MIGRATIONS.glob("*_profile.sql")
    table = migration.read_text().partition("CREATE TABLE cdp_profiles (")[2].partition("\n);")[0]
    columns = {
        name: (SQL_TYPES[kind], "NOT NULL" not in rest)
        for name, kind, rest in re.findall(
            rf"^    ([a-z_]+) ({'|'.join(map(re.escape, SQL_TYPES))})(?=[ ,])(.*)$",
            table,
            re.MULTILINE,
        )
    }
    declared = {name: (field.type, field.optional) for name, field in PROFILE_FIELDS.items()}
    assert declared == {name: columns[name] for name in PROFILE_FIELDS}


def test_only_a_rule_has_an_event() -> None:
    assert {name.split(".")[0] for name in fields_of("segment")} == {"profile", "now"}
    assert {name.split(".")[0] for name in fields_of("rule")} == {"profile", "now", "event"}
