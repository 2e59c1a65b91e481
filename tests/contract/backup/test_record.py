"""What this version cannot restore is refused by what stands beside the database in a backup."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from libs.backup.record import missing_keys, new_record, read_record
from libs.embedded.credentials import (
    CREDENTIAL_KEYS_FILE,
    credential_keys_file,
    unsubscribe_keys_file,
)
from libs.embedded.installation import install_postgres
from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from libs.backup.record import BackupRecord


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    credential_keys_file(folder)
    unsubscribe_keys_file(folder)
    return folder


def record_of(data_folder: Path) -> BackupRecord:
    return new_record(
        data_folder,
        created_at=datetime.now(UTC),
        server_version="18.0",
        schema_versions=("202611250001", "202611250002"),
        byte_count=1,
    )


@pytest.fixture
def backup(tmp_path: Path, data_folder: Path) -> Path:
    folder = tmp_path / "backup"
    folder.mkdir()
    (folder / "backup.json").write_text(record_of(data_folder).model_dump_json())
    return folder


def test_a_backup_of_an_older_schema_and_minor_version_is_taken(
    backup: Path, data_folder: Path
) -> None:
    assert read_record(backup, install_postgres()).schema_version == "202611250002"
    key = json.loads((data_folder / CREDENTIAL_KEYS_FILE).read_text())["local-1"]
    assert key not in (backup / "backup.json").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_versions": ["202611250001", "299912310001"]}, "migration 299912310001"),
        ({"server_version": "19.2"}, "is of PostgreSQL 19.2"),
        ({"machine": "riscv64"}, "was made on riscv64"),
        ({"format": 2}, "newer version"),
        ({"byte_count": "many"}, "is damaged"),
    ],
)
def test_what_fits_another_version_is_refused(
    backup: Path, change: dict[str, Any], words: str
) -> None:
    path = backup / "backup.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StartError, match=words):
        read_record(backup, install_postgres())


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    for other in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StartError, match="is no backup"):
            read_record(other, install_postgres())


def test_a_key_that_is_missing_or_another_one_is_told_and_a_second_one_beside_it_is_not(
    data_folder: Path,
) -> None:
    record = record_of(data_folder)
    assert missing_keys(record, data_folder) == []
    path = data_folder / CREDENTIAL_KEYS_FILE
    keys = json.loads(path.read_text())
    path.write_text(json.dumps(keys | {"newer": "a" * 44}))
    assert missing_keys(record, data_folder) == []
    path.write_text(json.dumps({"local-1": "a" * 44}))
    (problem,) = missing_keys(record, data_folder)
    assert str(path) in problem
    path.unlink()
    assert missing_keys(record, data_folder) == [problem]
