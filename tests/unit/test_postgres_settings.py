from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from libs.postgres.settings import PostgresSettings

DSN = "postgresql://leo_ingest:a-password@127.0.0.1/leo"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEO_POSTGRES_DSN", DSN)
    monkeypatch.setenv("LEO_POSTGRES_POOL_COUNT_MAX", "20")
    monkeypatch.setenv("LEO_POSTGRES_STATEMENT_TIMEOUT", "PT2.5S")
    settings = PostgresSettings()
    assert settings.dsn.get_secret_value() == DSN
    assert settings.pool_count_max == 20
    assert settings.statement_timeout == timedelta(seconds=2.5)


def test_password_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEO_POSTGRES_DSN", DSN)
    assert "a-password" not in repr(PostgresSettings())
    monkeypatch.setenv("LEO_POSTGRES_POOL_COUNT_MIN", "9")
    with pytest.raises(ValidationError, match="POOL_COUNT_MIN must not exceed") as raised:
        PostgresSettings()
    assert "a-password" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("POOL_COUNT_MAX", "0"), ("POOL_COUNT_MIN", "-1"), ("STATEMENT_TIMEOUT", "PT0S")],
)
def test_limit_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("LEO_POSTGRES_DSN", DSN)
    monkeypatch.setenv(f"LEO_POSTGRES_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        PostgresSettings()
