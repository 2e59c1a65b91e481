"""What docs/guides/releases.md promises about changes of the schema."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guides/releases.md"
TAKES_AWAY = re.compile(
    r"^(DROP\s+(TABLE|VIEW|MATERIALIZED|FUNCTION|PROCEDURE|ROUTINE)\b[^;]*"
    r"|REVOKE\b[^;]*\bleo_(ingest|segment|decision|dispatch|finder|auditor)\b[^;]*);",
    re.IGNORECASE | re.MULTILINE,
)
# What squawk must go on refusing, whatever is switched off: a statement for each rule of the guide.
REFUSED = {
    "ban-drop-column": "ALTER TABLE a DROP COLUMN b;",
    "renaming-column": "ALTER TABLE a RENAME COLUMN b TO c;",
    "renaming-table": "ALTER TABLE a RENAME TO b;",
    "changing-column-type": "ALTER TABLE a ALTER COLUMN b TYPE bigint;",
    "adding-required-field": "ALTER TABLE a ADD COLUMN b int NOT NULL;",
    "adding-not-nullable-field": "ALTER TABLE a ALTER COLUMN b SET NOT NULL;",
    "ban-drop-not-null": "ALTER TABLE a ALTER COLUMN b DROP NOT NULL;",
    "ban-drop-default": "ALTER TABLE a ALTER COLUMN b DROP DEFAULT;",
    "adding-field-with-default": "ALTER TABLE a ADD COLUMN b float DEFAULT random();",
    "constraint-missing-not-valid": "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
    "adding-foreign-key-constraint": "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c (d);",
    "disallowed-unique-constraint": "ALTER TABLE a ADD CONSTRAINT c UNIQUE (b);",
    "ban-drop-constraint": "ALTER TABLE a DROP CONSTRAINT c;",
    "require-concurrent-index-creation": "CREATE INDEX i ON a (b);",
    "require-concurrent-index-deletion": "DROP INDEX i;",
    "ban-drop-schema": "DROP SCHEMA a;",
    "ban-drop-type": "DROP TYPE a;",
    "ban-drop-database": "DROP DATABASE a;",
    "ban-truncate-cascade": "TRUNCATE a CASCADE;",
}


def going_up() -> dict[str, str]:
    """The half of each migration that goes up."""
    return {
        path.name: path.read_text().partition("-- migrate:down")[0]
        for path in sorted((ROOT / "migrations").glob("[0-9]*.sql"))
    }


def unexplained(text: str) -> list[str]:
    """What takes something away without saying since when nobody uses it."""
    return [
        found[0]
        for found in TAKES_AWAY.finditer(text)
        if not re.search(r"^-- contract: \S[^\n]*\n\Z", text[: found.start()], re.MULTILINE)
    ]


def without_reason(text: str) -> list[str]:
    """Blocks of statements with an exception from a rule and nothing that says why."""
    return [
        block
        for block in re.split(r"\n\s*\n", text)
        if "squawk-ignore" in block
        and not re.search(r"^-- (?!squawk-ignore|migrate:)\S", block, re.MULTILINE)
    ]


def test_squawk_refuses_what_the_guide_says(tmp_path: Path) -> None:
    planted = tmp_path / "planted.sql"
    planted.write_text("\n".join(REFUSED.values()))
    squawk = Path(sys.executable).with_name("squawk")
    run = subprocess.run(
        [squawk, "--config", ROOT / ".squawk.toml", "--reporter", "gcc", planted],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = planted.read_text().splitlines()
    found = re.findall(r":(\d+):\d+: \w+: (\S+)", run.stdout)
    # Its lines count from 0.
    refused = {(lines[int(number)], rule) for number, rule in found}
    assert {(statement, rule) for rule, statement in REFUSED.items()} <= refused
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", GUIDE.read_text()))
    assert told == REFUSED.keys()


def test_what_takes_something_away_says_since_when_nobody_uses_it() -> None:
    migrations = going_up()
    assert migrations
    for name, text in migrations.items():
        assert not unexplained(text), name


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("DROP TABLE a;", 1),
        ("-- It is old.\nDROP VIEW a;", 1),
        ("-- contract: since v0.2.0 nobody reads it\nDROP FUNCTION a();", 0),
        ("-- contract:\nREVOKE SELECT ON a\nFROM leo_ingest;", 1),
        ("REVOKE CREATE ON SCHEMA public FROM leo_eraser;", 0),
        ("DROP TRIGGER a ON b;\nCREATE TABLE c (d int);", 0),
    ],
)
def test_what_takes_something_away_is_found(text: str, count: int) -> None:
    assert len(unexplained(text)) == count


def test_each_exception_from_a_rule_has_its_reason() -> None:
    for name, text in going_up().items():
        assert not without_reason(text), name
    assert without_reason("-- squawk-ignore ban-drop-column\nALTER TABLE a DROP COLUMN b;")
    excluded = (ROOT / ".squawk.toml").read_text().partition("excluded_rules = [")[2]
    assert excluded.lstrip().startswith("# ")
