from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from leo.dispatch.v1.dispatch_service_pb2 import (
    ListSuppressionsRequest,
    Recipient,
    Suppression,
    SuppressRequest,
    UnsuppressRequest,
)
from leo_sdk import ForbiddenError, InvalidError, LeoRpcError, MissingError, StateError
from tests.contract.dispatch.world import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dispatch.conftest import Client
    from tests.contract.dispatch.machines import Site
    from tests.contract.dispatch.world import World

PHONE = "+84903555666"
CANARY = "903555666"


def phone(address: str = PHONE) -> Recipient:
    return Recipient(channel=CHANNEL, address=address)


def person(ext_id: str, channel: str = CHANNEL) -> Recipient:
    return Recipient(channel=channel, profile_ext_id=ext_id)


async def suppress(client: Client, recipient: Recipient, **values: Any) -> list[Suppression]:
    answer = await client.Suppress(SuppressRequest(recipient=recipient, **values))
    return list(answer.suppressions)


async def unsuppress(client: Client, recipient: Recipient, **values: Any) -> list[Suppression]:
    answer = await client.Unsuppress(UnsuppressRequest(recipient=recipient, **values))
    return list(answer.suppressions)


async def listed(client: Client, **values: Any) -> list[str]:
    answer = await client.ListSuppressions(ListSuppressionsRequest(**values))
    return [found.suppression_id for found in answer.suppressions]


async def test_an_address_that_somebody_names_gets_nothing_until_it_is_lifted(
    site: Site, client: Client
) -> None:
    (made,) = await suppress(client, phone())
    assert UUID(made.suppression_id).version == 7
    assert (made.channel, made.cause) == (CHANNEL, Suppression.CAUSE_REQUESTED)
    assert (made.source, made.delivery_id) == (Suppression.SOURCE_CALL, "")
    assert made.HasField("create_time")
    assert not made.HasField("lift_time")
    first = await site.delivery(await site.person(phones=[PHONE]))
    async with site.machine():
        await site.wait_for(suppressed=1)
        (lifted,) = await unsuppress(client, phone())
        second = await site.delivery(await site.person(phones=[PHONE]))
        await site.wait_for(suppressed=1, accepted=1)
    assert (lifted.suppression_id, lifted.HasField("lift_time")) == (made.suppression_id, True)
    assert site.acceptances([first, second]) == [0, 1]
    assert (await site.outcome(first))[1].startswith("SUPPRESSED: somebody asked")


@pytest.mark.parametrize("written", ["0903555666", "84903555666", "+84 903 555 666"])
async def test_an_address_may_be_written_in_any_way(client: Client, written: str) -> None:
    (made,) = await suppress(client, phone(written))
    assert await suppress(client, phone()) == [made]
    (mail,) = await suppress(client, Recipient(channel="email", address="An.Nguyen@Person.Test"))
    assert await suppress(client, Recipient(channel="email", address="an.nguyen@person.test")) == [
        mail
    ]
    assert await listed(client) == [mail.suppression_id, made.suppression_id]


async def test_of_a_person_each_address_is_suppressed(client: Client, world: World) -> None:
    known = await world.person(phones=[PHONE, "+84903777888", PHONE], emails=["an@person.test"])
    (one,) = await suppress(client, phone(), cause=Suppression.CAUSE_BOUNCED)
    both = await suppress(client, person(known.ext_id))
    assert len(both) == 2
    # What was there stays as it was.
    assert [found.cause for found in both if found.suppression_id == one.suppression_id] == [
        Suppression.CAUSE_BOUNCED
    ]
    assert await listed(client, recipient=person(known.ext_id, "email")) == []
    assert len(await listed(client, recipient=person(known.ext_id))) == 2
    assert await listed(client, recipient=phone()) == [one.suppression_id]
    assert len(await unsuppress(client, person(known.ext_id))) == 2
    assert await unsuppress(client, person(known.ext_id)) == []
    assert await listed(client) == []


async def test_a_repeat_changes_nothing_also_after_the_contrary(client: Client) -> None:
    request_id, lift_id = str(uuid4()), str(uuid4())
    first = await suppress(client, phone(), request_id=request_id)
    assert await suppress(client, phone(), request_id=request_id) == first
    lifted = await unsuppress(client, phone(), request_id=lift_id)
    assert await suppress(client, phone(), request_id=request_id) == first
    assert await listed(client) == []
    again = await suppress(client, phone())
    assert await unsuppress(client, phone(), request_id=lift_id) == lifted
    assert await listed(client) == [again[0].suppression_id]


async def test_a_request_id_is_for_one_request(client: Client) -> None:
    request_id = str(uuid4())
    await suppress(client, phone(), request_id=request_id)
    for recipient, values in (
        (phone("+84903777888"), {}),
        (phone(), {"cause": Suppression.CAUSE_BOUNCED}),
    ):
        with pytest.raises(InvalidError) as refused:
            await suppress(client, recipient, request_id=request_id, **values)
        assert refused.value.reason == "REQUEST_ID_REUSED"
    await unsuppress(client, phone(), request_id=request_id)
    with pytest.raises(InvalidError) as refused:
        await unsuppress(client, phone("+84903777888"), request_id=request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_calls_at_once_suppress_an_address_once(client: Client, auditor: Any) -> None:
    answers = await asyncio.gather(*(suppress(client, phone()) for _ in range(8)))
    assert len({found.suppression_id for answer in answers for found in answer}) == 1
    assert await auditor.fetchval("SELECT count(*) FROM suppression") == 1
    kinds = await auditor.fetch("SELECT kind FROM audit_entry")
    assert [row["kind"] for row in kinds].count("addresses_suppressed") == 1


async def test_the_audit_says_who_and_what_but_not_whom(client: Client, auditor: Any) -> None:
    (made,) = await suppress(client, phone(), cause=Suppression.CAUSE_COMPLAINED)
    await suppress(client, phone())
    await unsuppress(client, phone())
    await unsuppress(client, phone())
    rows = await auditor.fetch("SELECT kind, actor, call_id, details FROM audit_entry ORDER BY 1")
    found = {row["kind"]: orjson.loads(row["details"]) for row in rows}
    assert len(rows) == len(found)
    assert found["addresses_suppressed"] == {
        "suppressions": [[made.suppression_id, CHANNEL, "complained", "call", None]]
    }
    assert found["addresses_unsuppressed"] == {"suppressions": [made.suppression_id]}
    assert {bool(row["actor"] and row["call_id"]) for row in rows} == {True}


async def test_the_address_is_kept_nowhere_and_nothing_that_it_could_be_found_by(
    client: Client, superuser: Any, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    request_id = str(uuid4())
    with caplog.at_level(logging.DEBUG):
        await suppress(client, phone(), request_id=request_id)
        await unsuppress(client, phone(), request_id=request_id)
        with pytest.raises(InvalidError) as refused:
            await suppress(client, phone(f"{PHONE}{PHONE}"))
    printed = capsys.readouterr()
    stored = await superuser.fetchval(
        "SELECT string_agg(t, ' ') FROM (SELECT s::text AS t FROM suppression AS s"
        " UNION ALL SELECT e::text FROM audit_entry AS e) AS t"
    )
    for told in (caplog.text, printed.out, printed.err, str(refused.value), stored):
        assert CANARY not in told
    # A digest without a key is found by trying all phone numbers.
    body = {"channel": CHANNEL, "address": PHONE}
    plain = await superuser.fetchval(
        "SELECT count(*) FROM suppression WHERE request_digest = sha256($1)"
        " OR lift_request_digest = sha256($1)",
        orjson.dumps({"recipient": body}, option=orjson.OPT_SORT_KEYS),
    )
    assert plain == 0


@pytest.mark.parametrize(
    ("recipient", "field"),
    [
        (Recipient(), "recipient.channel"),
        (Recipient(channel="pigeon", address=PHONE), "recipient.channel"),
        (Recipient(channel=CHANNEL), "recipient.address"),
        (phone(""), "recipient.address"),
        (phone("an@person.test"), "recipient.address"),
        (phone("+849"), "recipient.address"),
        (phone("9" * 300), "recipient.address"),
        (Recipient(channel="email", address=PHONE), "recipient.address"),
        (person(""), "recipient.profile_ext_id"),
        (person("x" * 200), "recipient.profile_ext_id"),
    ],
)
async def test_what_is_no_recipient_is_refused(
    client: Client, recipient: Recipient, field: str
) -> None:
    calls: list[Any] = [
        client.Suppress(SuppressRequest(recipient=recipient)),
        client.Unsuppress(UnsuppressRequest(recipient=recipient)),
        client.ListSuppressions(ListSuppressionsRequest(recipient=recipient)),
    ]
    for call in calls:
        with pytest.raises(InvalidError) as refused:
            await call
        assert refused.value.reason == "FIELD_INVALID"
        assert field in [violation.field for violation in refused.value.violations]


async def test_other_fields_are_checked_too(client: Client) -> None:
    refusals: list[tuple[Any, str]] = [
        (client.Suppress(SuppressRequest(recipient=phone(), cause=99)), "cause"),  # type: ignore[arg-type]
        (client.Suppress(SuppressRequest(recipient=phone(), request_id="x")), "request_id"),
        (client.Unsuppress(UnsuppressRequest(recipient=phone(), request_id="x")), "request_id"),
        (client.ListSuppressions(ListSuppressionsRequest(page_size=-1)), "page_size"),
        (client.ListSuppressions(ListSuppressionsRequest(page_token="x")), "page_token"),
    ]
    for call, field in refusals:
        with pytest.raises(InvalidError) as refused:
            await call
        assert [violation.field for violation in refused.value.violations] == [field]


async def test_a_person_must_be_there_and_have_an_address(client: Client, world: World) -> None:
    calls: list[Any] = [
        client.Suppress(SuppressRequest(recipient=person("nobody"))),
        client.Unsuppress(UnsuppressRequest(recipient=person("nobody"))),
        client.ListSuppressions(ListSuppressionsRequest(recipient=person("nobody"))),
    ]
    for call in calls:
        with pytest.raises(MissingError) as missing:
            await call
        assert missing.value.reason == "PROFILE_MISSING"
    known = await world.person(phones=[])
    with pytest.raises(StateError) as refused:
        await suppress(client, person(known.ext_id))
    assert refused.value.reason == "ADDRESS_MISSING"
    assert refused.value.metadata == {"channel": CHANNEL}
    assert await unsuppress(client, person(known.ext_id)) == []


async def test_a_list_is_read_page_by_page(client: Client) -> None:
    made = [
        (await suppress(client, phone(f"+8490355566{last}")))[0].suppression_id for last in range(5)
    ]
    await unsuppress(client, phone("+84903555662"))
    del made[2]
    seen, token = [], ""
    while True:
        page = await client.ListSuppressions(ListSuppressionsRequest(page_size=3, page_token=token))
        seen += [found.suppression_id for found in page.suppressions]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]


async def test_each_tenant_has_its_own(
    client: Client, client_as: Callable[..., Client], other_tenant_id: UUID
) -> None:
    other = client_as(other_tenant_id)
    await suppress(client, phone())
    assert await listed(other) == []
    assert await unsuppress(other, phone()) == []
    assert len(await listed(client)) == 1


async def test_whoever_may_not_write_is_refused(
    client_as: Callable[..., Client], tenant_id: UUID
) -> None:
    reader = client_as(tenant_id, "leo.dispatch.read")
    writer = client_as(tenant_id, "leo.dispatch.write")
    assert await listed(reader) == []
    refused: list[LeoRpcError] = []
    for call in (
        suppress(reader, phone()),
        unsuppress(reader, phone()),
        listed(writer),
    ):
        with pytest.raises(ForbiddenError) as error:
            await call
        refused.append(error.value)
    assert len(refused) == 3
