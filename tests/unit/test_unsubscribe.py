from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from libs.embedded.credentials import unsubscribe_keys_file
from libs.rpc.errors import StartError
from libs.unsubscribe import LinkInvalidError, UnsubscribeLinks, UnsubscribeSettings, Withdrawal

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://leo.shop.test/unsubscribe"
OLD, NEW = Fernet.generate_key(), Fernet.generate_key()
WITHDRAWAL = Withdrawal(
    tenant_id=uuid4(),
    ext_id="canary-84901234567",
    channel="email",
    purpose="marketing",
    delivery_id=uuid4(),
)


def token(links: UnsubscribeLinks) -> str:
    return links.url_of(WITHDRAWAL).removeprefix(f"{URL}/")


def test_a_link_says_what_was_sealed() -> None:
    links = UnsubscribeLinks([NEW], f"{URL}/")
    assert links.read(token(links)) == WITHDRAWAL


def test_a_link_of_long_ago_opens_as_long_as_its_key_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as past:
        # Tokens carry the time of their sealing.
        past.setattr("time.time", lambda: 1_000_000_000.0)
        old = token(UnsubscribeLinks([OLD], URL))
    assert UnsubscribeLinks([NEW, OLD], URL).read(old) == WITHDRAWAL
    with pytest.raises(LinkInvalidError):
        UnsubscribeLinks([NEW], URL).read(old)


def test_the_first_key_seals() -> None:
    sealed = token(UnsubscribeLinks([NEW, OLD], URL))
    assert UnsubscribeLinks([NEW], URL).read(sealed) == WITHDRAWAL


def test_nothing_of_a_person_is_printed() -> None:
    links = UnsubscribeLinks([NEW], URL)
    assert "canary" not in f"{WITHDRAWAL} {WITHDRAWAL!r} {links!r} {links.url_of(WITHDRAWAL)}"
    assert NEW.decode() not in repr(links)


def test_the_settings_of_a_development_stack_are_good(tmp_path: Path) -> None:
    keys_file = unsubscribe_keys_file(tmp_path)
    assert keys_file.stat().st_mode & 0o777 == 0o600
    links = UnsubscribeSettings(
        url="http://127.0.0.1:7080/unsubscribe", keys_file=keys_file
    ).links()
    assert links is not None
    assert unsubscribe_keys_file(tmp_path).read_text() == keys_file.read_text()


def test_without_settings_there_are_no_links() -> None:
    assert UnsubscribeSettings().links() is None


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"url": URL}, "LEO_UNSUBSCRIBE_KEYS"),
        ({"url": URL, "keys": "canary"}, "LEO_UNSUBSCRIBE_KEYS"),
        ({"url": URL, "keys": '["canary"]'}, "LEO_UNSUBSCRIBE_KEYS"),
        ({"url": URL, "keys": "[]"}, "LEO_UNSUBSCRIBE_KEYS"),
        ({"url": URL, "keys": "1"}, "LEO_UNSUBSCRIBE_KEYS"),
        ({"keys": json.dumps([NEW.decode()])}, "LEO_UNSUBSCRIBE_URL"),
        *(
            ({"url": url, "keys": json.dumps([NEW.decode()])}, "LEO_UNSUBSCRIBE_URL")
            for url in ("leo.shop.test", "http://leo.shop.test/u", "https://", "ftp://127.0.0.1/u")
        ),
        ({"url": URL, "keys_file": "/nowhere/keys.json"}, "/nowhere/keys.json"),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start(
    settings: dict[str, Any], variable: str
) -> None:
    with pytest.raises(StartError) as refused:
        UnsubscribeSettings(**settings).links()
    assert variable in str(refused.value)
    assert "canary" not in str(refused.value)
