from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from libs.rpc.errors import StartError
from services.dispatch.settings import DispatchSettings

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(b"canary" + b"k" * 26).decode()
OTHER = base64.b64encode(b"o" * 32).decode()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KEYS", "KEYS_FILE", "KEY_ID"):
        monkeypatch.delenv(f"LEO_DISPATCH_CREDENTIAL_{name}", raising=False)
    return monkeypatch


def test_one_key_is_the_active_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEYS", json.dumps({"k1": KEY}))
    settings = DispatchSettings()
    assert settings.key_ring().active_key_id == "k1"
    assert KEY not in repr(settings)


def test_keys_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"k1": KEY, "k2": OTHER}))
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEYS_FILE", str(file))
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEY_ID", "k2")
    ring = DispatchSettings().key_ring()
    assert ring.active_key_id == "k2"
    assert ring.key("k1") == base64.b64decode(KEY)


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "canary",
        "[]",
        "{}",
        json.dumps({"k1": "canary"}),
        json.dumps({"k1": 1}),
        json.dumps({"k1": base64.b64encode(b"canary").decode()}),
        json.dumps({"k|1": KEY}),
    ],
)
def test_what_is_no_ring_stops_the_start_and_is_not_repeated(
    environment: pytest.MonkeyPatch, keys: str
) -> None:
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEYS", keys)
    with pytest.raises(StartError, match="LEO_DISPATCH_CREDENTIAL_KEYS") as error:
        DispatchSettings().key_ring()
    assert "canary" not in str(error.value)
    assert KEY not in str(error.value)


def test_among_several_keys_one_must_be_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEYS", json.dumps({"k1": KEY, "k2": OTHER}))
    for key_id in ("", "k3"):
        environment.setenv("LEO_DISPATCH_CREDENTIAL_KEY_ID", key_id)
        with pytest.raises(StartError, match="one of: k1, k2"):
            DispatchSettings().key_ring()


def test_a_missing_file_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEO_DISPATCH_CREDENTIAL_KEYS_FILE", "/nowhere/keys.json")
    with pytest.raises(StartError, match=r"/nowhere/keys\.json"):
        DispatchSettings().key_ring()
