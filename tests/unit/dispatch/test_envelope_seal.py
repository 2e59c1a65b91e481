from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from services.dispatch.envelope import EnvelopeError, KeyRing, open_, seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.dispatch.domain.account import Credentials, SealedCredentials

TENANT = UUID("01993d00-0000-7000-8000-000000000001")
OTHER = UUID("01993d00-0000-7000-8000-000000000002")
OLD, NEW = b"o" * 32, b"n" * 32
SECRETS = {"access_token": "canary-token", "oa_secret_key": "canary-key"}


def sealed_with(ring: KeyRing, version: int = 1) -> SealedCredentials:
    return seal(SECRETS, tenant_id=TENANT, channel="zalo-template", version=version, key_ring=ring)


def opened(sealed: SealedCredentials, ring: KeyRing) -> Credentials:
    return open_(sealed, tenant_id=TENANT, channel="zalo-template", key_ring=ring)


def test_what_is_sealed_opens_and_shows_names_alone() -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    sealed = sealed_with(ring)
    assert sealed.names == ("access_token", "oa_secret_key")
    assert dict(opened(sealed, ring)) == SECRETS
    assert b"canary" not in sealed.ciphertext + sealed.data_key
    assert OLD not in sealed.data_key


def test_the_same_secrets_never_look_the_same() -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    first, second = sealed_with(ring), sealed_with(ring)
    assert first.ciphertext != second.ciphertext
    assert first.data_key != second.data_key


def test_a_new_key_seals_and_old_ones_still_open() -> None:
    before = sealed_with(KeyRing({"old": OLD}, "old"))
    ring = KeyRing({"old": OLD, "new": NEW}, "new")
    after = sealed_with(ring)
    assert (before.key_id, after.key_id) == ("old", "new")
    assert opened(before, ring) == opened(after, ring)
    with pytest.raises(EnvelopeError, match='"old" is not in'):
        opened(before, KeyRing({"new": NEW}, "new"))


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: replace(sealed, version=2),
        lambda sealed: replace(sealed, key_id="k2"),
        lambda sealed: replace(sealed, ciphertext=bytes(len(sealed.ciphertext))),
        lambda sealed: replace(sealed, data_key=sealed.data_key[:-1]),
        lambda sealed: replace(sealed, data_key=b""),
    ],
)
def test_changed_secrets_do_not_open(
    change: Callable[[SealedCredentials], SealedCredentials],
) -> None:
    # Both ids name the same key: what is refused is the id that the secrets were not sealed under.
    ring = KeyRing({"k1": OLD, "k2": OLD}, "k1")
    with pytest.raises(EnvelopeError):
        opened(change(sealed_with(ring)), ring)


@pytest.mark.parametrize(("tenant", "channel"), [(OTHER, "zalo-template"), (TENANT, "email")])
def test_secrets_of_one_do_not_open_for_another(tenant: UUID, channel: str) -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    with pytest.raises(EnvelopeError):
        open_(sealed_with(ring), tenant_id=tenant, channel=channel, key_ring=ring)


def test_nothing_that_holds_secrets_prints_them(caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing({"k1": b"canary" + b"x" * 26}, "k1")
    credentials = opened(sealed_with(ring), ring)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r %s", credentials, credentials, ring)
    assert "access_token" in caplog.text
    assert "canary" not in caplog.text
    with pytest.raises(TypeError):
        json.dumps(credentials)
