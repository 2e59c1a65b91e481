from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest

from leo.dispatch.v1.dispatch_service_pb2 import ChannelAccount, SetChannelAccountRequest
from leo_sdk import ForbiddenError, InvalidError
from libs.rpc.requests import Origin
from services.dispatch.domain.account import SealedCredentials
from services.dispatch.envelope import KeyRing, open_
from services.dispatch.messages import account_of
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import set_channel_account
from tests.contract.dispatch.world import CHANNEL, CREDENTIALS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.postgres.database import Database
    from tests.contract.dispatch.conftest import Client

CANARY = "canary-8f2c"
MAIL = {"host": "mail.test", "from_address": "a@shop.test", "return_path": "b@shop.test"}


def account(**changes: Any) -> ChannelAccount:
    values: dict[str, Any] = {
        "name": "main-oa",
        "channel": CHANNEL,
        "settings": SETTINGS,
        "credentials": CREDENTIALS,
    }
    return ChannelAccount(**(values | changes))


async def put(client: Client, **changes: Any) -> ChannelAccount:
    request = SetChannelAccountRequest(account=account(**changes))
    stored: ChannelAccount = (await client.SetChannelAccount(request)).account
    return stored


async def test_an_account_comes_back_without_its_secrets(client: Client) -> None:
    stored = await put(client)
    assert UUID(stored.account_id).version == 7
    assert (stored.name, stored.channel) == ("main-oa", CHANNEL)
    assert dict(stored.settings) == SETTINGS
    assert not stored.credentials
    assert list(stored.credentials_set) == sorted(CREDENTIALS)
    assert stored.concurrent_send_count_max == 50
    assert stored.HasField("update_time")


async def test_the_same_name_replaces_settings_and_keeps_the_id(
    client: Client, auditor: Any
) -> None:
    first = await put(client)
    settings = {**SETTINGS, "mode": "development"}
    second = await put(client, settings=settings, concurrent_send_count_max=7)
    assert second.account_id == first.account_id
    assert dict(second.settings) == settings
    assert second.concurrent_send_count_max == 7
    await put(client, name="second-oa")
    assert await auditor.fetchval("SELECT count(*) FROM channel_account") == 2


async def test_a_secret_that_is_not_named_stays(
    client: Client, auditor: Any, tenant_id: UUID, key_ring: KeyRing
) -> None:
    stored = await put(client)
    await put(client, credentials={})
    one = min(CREDENTIALS)
    changed = await put(client, credentials={one: "renewed", "extra": "more"})
    assert list(changed.credentials_set) == sorted([*CREDENTIALS, "extra"])
    sealed = await sealed_of(auditor, stored)
    # Without secrets nothing is sealed anew.
    assert (sealed.version, sealed.key_id) == (2, "k2")
    assert secrets_of(sealed, tenant_id, key_ring) == {
        **CREDENTIALS,
        one: "renewed",
        "extra": "more",
    }


async def test_changes_at_once_lose_no_secret(
    client: Client, auditor: Any, tenant_id: UUID, key_ring: KeyRing
) -> None:
    added = {f"secret_{number}": str(number) for number in range(8)}
    answers = await asyncio.gather(
        *(put(client, credentials={**CREDENTIALS, name: added[name]}) for name in added)
    )
    assert len({answer.account_id for answer in answers}) == 1
    sealed = await sealed_of(auditor, answers[0])
    assert sealed.version == len(added)
    assert secrets_of(sealed, tenant_id, key_ring) == {**CREDENTIALS, **added}


async def sealed_of(auditor: Any, stored: ChannelAccount) -> SealedCredentials:
    """The secrets of an account, as they are stored."""
    row = await auditor.fetchrow(
        "SELECT credential_names AS names, credentials AS ciphertext, data_key, key_id,"
        " credential_version AS version FROM channel_account WHERE account_id = $1",
        UUID(stored.account_id),
    )
    return SealedCredentials(**row)


def secrets_of(sealed: SealedCredentials, tenant_id: UUID, key_ring: KeyRing) -> dict[str, str]:
    return dict(open_(sealed, tenant_id=tenant_id, channel=CHANNEL, key_ring=key_ring))


@pytest.mark.parametrize("missing", sorted(SETTINGS))
async def test_a_missing_setting_is_named(client: Client, auditor: Any, missing: str) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != missing}
    with pytest.raises(InvalidError) as refused:
        await put(client, settings=settings)
    assert refused.value.reason == "FIELD_INVALID"
    assert [each.field for each in refused.value.violations] == [f"account.settings.{missing}"]
    assert await auditor.fetchval("SELECT count(*) FROM channel_account") == 0


@pytest.mark.parametrize("missing", sorted(CREDENTIALS))
async def test_a_missing_secret_is_named(client: Client, missing: str) -> None:
    credentials = {name: value for name, value in CREDENTIALS.items() if name != missing}
    with pytest.raises(InvalidError) as refused:
        await put(client, credentials=credentials)
    assert [each.field for each in refused.value.violations] == [f"account.credentials.{missing}"]
    assert all(secret not in str(refused.value) for secret in CREDENTIALS.values())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Main OA"}, "account.name"),
        ({"channel": "pigeon"}, "account.channel"),
        ({"channel": ""}, "account.channel"),
        ({"settings": {**SETTINGS, "a b": "x"}}, "account.settings"),
        ({"settings": {**SETTINGS, "x": "y" * 2001}}, "account.settings.x"),
        ({"credentials": {**CREDENTIALS, CANARY: "x"}}, "account.credentials"),
        ({"credentials": {**CREDENTIALS, "x": ""}}, "account.credentials.x"),
        ({"credentials": {**CREDENTIALS, "x": CANARY + "\x00"}}, "account.credentials.x"),
        ({"settings": {**SETTINGS, "base_url": "ftp://zalo"}}, "account.settings.base_url"),
        (
            {
                "channel": "email",
                "settings": {**MAIL, "port": CANARY},
                "credentials": {"bounce_key": "k" * 16},
            },
            "account.settings.port",
        ),
        (
            {"channel": "email", "settings": MAIL, "credentials": {"bounce_key": "canary"}},
            "account.credentials.bounce_key",
        ),
        ({"concurrent_send_count_max": -1}, "account.concurrent_send_count_max"),
        ({"concurrent_send_count_max": 1001}, "account.concurrent_send_count_max"),
    ],
)
async def test_bad_fields_are_named_without_their_values(
    client: Client, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await put(client, **changes)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [field]
    assert CANARY not in str(refused.value)
    assert CANARY not in str(refused.value.violations)


async def test_an_account_keeps_its_channel(
    client: Client, superuser: Any, tenant_id: UUID
) -> None:
    await superuser.execute(
        "INSERT INTO channel_account (tenant_id, account_id, name, channel,"
        " concurrent_send_count_max) VALUES ($1, $1, 'main-oa', 'email', 1)",
        tenant_id,
    )
    with pytest.raises(InvalidError) as refused:
        await put(client)
    assert [violation.field for violation in refused.value.violations] == ["account.channel"]


async def test_who_sets_an_account_lets_it_send_again(
    client: Client, superuser: Any, auditor: Any
) -> None:
    await put(client)
    await superuser.execute("UPDATE channel_account SET paused_reason = 'token refused'")
    await put(client)
    assert await auditor.fetchval("SELECT paused_reason FROM channel_account") == ""


async def test_each_change_is_in_the_audit_by_names(client: Client, auditor: Any) -> None:
    stored = await put(client)
    await put(client, credentials={"extra": CANARY})
    rows = await auditor.fetch(
        "SELECT actor, member_count, details FROM audit_entry WHERE kind = 'channel_account_set'"
        " ORDER BY entry_id"
    )
    details = [orjson.loads(row["details"]) for row in rows]
    assert [each["credentials_changed"] for each in details] == [sorted(CREDENTIALS), ["extra"]]
    assert [each["credential_version"] for each in details] == [1, 2]
    assert {each["account_id"] for each in details} == {stored.account_id}
    assert CANARY not in str(rows)


async def test_secrets_are_nowhere_but_in_the_envelope(
    client: Client,
    superuser: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets = {name: f"{CANARY}-{name}" for name in CREDENTIALS}
    with caplog.at_level(logging.DEBUG):
        stored = await put(client, credentials=secrets)
        # Kept and changed: the stored ones are opened on the way.
        await put(client, credentials={"extra": CANARY})
        with pytest.raises(InvalidError):
            await put(client, settings={}, credentials=secrets)
    tables = await superuser.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert len(tables) > 10
    dump = ""
    for table in tables:
        rows = await superuser.fetch(f"SELECT t::text FROM {table['tablename']} AS t")
        dump += "".join(row["t"] for row in rows)
    assert stored.account_id in dump
    printed = capfd.readouterr()
    for told in (dump, caplog.text, str(stored), printed.out, printed.err):
        assert CANARY not in told
        assert CANARY.encode().hex() not in told


async def test_a_new_key_takes_over_while_old_ones_still_open(
    client: Client, dispatch_database: Database, tenant_id: UUID, auditor: Any
) -> None:
    await put(client)
    assert await auditor.fetchval("SELECT key_id FROM channel_account") == "k2"
    # As after a restart with one more key.
    ring = KeyRing({"k2": b"2" * 32, "k3": b"3" * 32}, "k3")
    stored = await set_channel_account(
        DispatchStore(dispatch_database),
        ring,
        tenant_id,
        account_of(account(credentials={"extra": "x"})),
        Origin(actor="test", call_id="test", request=None),
    )
    assert stored.sealed is not None
    assert stored.sealed.key_id == "k3"
    assert secrets_of(stored.sealed, tenant_id, ring) == {**CREDENTIALS, "extra": "x"}


async def test_tenants_have_accounts_of_their_own(
    client: Client, client_as: Callable[..., Client], other_tenant_id: UUID, auditor: Any
) -> None:
    mine, theirs = await put(client), await put(client_as(other_tenant_id))
    assert mine.account_id != theirs.account_id
    rows = await auditor.fetch("SELECT DISTINCT tenant_id FROM channel_account")
    assert len(rows) == 2


async def test_dispatching_does_not_let_set_accounts(
    client_as: Callable[..., Client], tenant_id: UUID
) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await put(client_as(tenant_id, "leo.dispatch.write"))
    assert refused.value.reason == "SCOPE_MISSING"
