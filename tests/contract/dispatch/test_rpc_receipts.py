from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from leo.dispatch.v1.dispatch_service_pb2 import (
    BatchDispatchRequest,
    ChannelAccount,
    Delivery,
    GetDeliveryRequest,
    Header,
    ListDeliveriesRequest,
    RecordReceiptRequest,
    RecordReceiptResponse,
    SetChannelAccountRequest,
)
from leo_sdk import ForbiddenError, InvalidError, LeoRpcError, MissingError
from services.dispatch.domain.limits import RECEIPT_BYTES_MAX
from tests.contract.dispatch.world import CHANNEL, CREDENTIALS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dispatch.conftest import Client
    from tests.contract.dispatch.world import World

CANARY_PHONE = "84903111222"
DELIVERED_MS = "1764061200000"


async def account_of(client: Client, name: str = "main-oa", **secrets: str) -> str:
    message = ChannelAccount(
        name=name,
        channel=CHANNEL,
        settings=SETTINGS,
        credentials={**CREDENTIALS, **secrets},
    )
    answer = await client.SetChannelAccount(SetChannelAccountRequest(account=message))
    return str(answer.account.account_id)


def receipt(account_id: str, reference: object, **changes: Any) -> RecordReceiptRequest:
    """What Zalo says of a delivered message, signed as Zalo signs."""
    secret = changes.pop("secret", CREDENTIALS["oa_secret_key"])
    event = {
        "event_name": "user_received_message",
        "app_id": SETTINGS["app_id"],
        "sender": {"id": "2002"},
        "recipient": {"id": CANARY_PHONE},
        "message": {
            "msg_id": "m1",
            "tracking_id": str(reference),
            "delivery_time": DELIVERED_MS,
        },
        "timestamp": "1764061200017",
    }
    body = orjson.dumps(event | changes)
    timestamp = str(event["timestamp"]).encode()
    mac = hashlib.sha256(SETTINGS["app_id"].encode() + body + timestamp + secret.encode())
    return RecordReceiptRequest(
        account_id=account_id,
        body=body,
        headers=[
            Header(name="X-ZEvent-Signature", value=f"mac={mac.hexdigest()}"),
            Header(name="x-zevent-server", value="ZNS"),
        ],
    )


async def record(edge: Client, request: RecordReceiptRequest) -> RecordReceiptResponse:
    answer = await edge.RecordReceipt(request)
    assert isinstance(answer, RecordReceiptResponse)
    return answer


async def in_doubt(client: Client, world: World, account_id: str) -> str:
    """A delivery that nobody knows the outcome of."""
    decision_id = await world.decision(await world.person(), account_id=UUID(account_id))
    request = BatchDispatchRequest(decision_ids=[str(decision_id)])
    delivery_id = str((await client.BatchDispatch(request)).results[0].delivery_id)
    await world.attempt(delivery_id, 1, "intent")
    await world.attempt(delivery_id, 1, "result", "unknown")
    await world.set_state(delivery_id, "outcome_unknown", in_doubt=True, attempt_count=1, epoch=1)
    return delivery_id


async def test_a_receipt_is_stored_as_it_came_and_settles_a_doubt(
    client: Client, edge: Client, world: World, auditor: Any
) -> None:
    account_id = await account_of(client)
    delivery_id = await in_doubt(client, world, account_id)
    request = receipt(account_id, delivery_id)
    assert not (await record(edge, request)).duplicate
    answer = await client.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
    assert answer.delivery.state == Delivery.STATE_ACCEPTED
    assert answer.delivery.reached == "delivered"
    assert [each.kind for each in answer.receipts] == ["delivered"]
    assert answer.receipts[0].occur_time.ToMilliseconds() == int(DELIVERED_MS)
    row = await auditor.fetchrow("SELECT * FROM delivery_receipt")
    assert row["raw"] == request.body
    assert row["provider_message_id"] == "m1"
    assert row["account_id"] == UUID(account_id)


async def test_the_same_receipt_again_is_accepted_once(
    client: Client, edge: Client, world: World, auditor: Any
) -> None:
    account_id = await account_of(client)
    request = receipt(account_id, await in_doubt(client, world, account_id))
    answers = await asyncio.gather(*(record(edge, request) for _ in range(6)))
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 5
    assert (await record(edge, request)).duplicate
    assert await auditor.fetchval("SELECT count(*) FROM delivery_receipt") == 1


async def test_the_best_of_receipts_counts_in_whatever_order(
    client: Client, edge: Client, world: World, superuser: Any, tenant_id: UUID
) -> None:
    account_id = await account_of(client)
    delivery_id = await in_doubt(client, world, account_id)
    reached = []
    for kind in ("failed", "sent", "read", "delivered", "clicked", "bounced"):
        await superuser.execute(
            "INSERT INTO delivery_receipt (tenant_id, receipt_id, account_id, receipt_digest,"
            " delivery_id, kind) VALUES ($1, $2, $3, sha256($4), $5, $6)",
            tenant_id,
            uuid4(),
            UUID(account_id),
            kind.encode(),
            UUID(delivery_id),
            kind,
        )
        (listed,) = (await client.ListDeliveries(ListDeliveriesRequest())).deliveries
        reached.append(listed.reached)
    assert reached == ["", "sent", "read", "read", "clicked", "clicked"]


async def test_receipts_that_come_at_once_commit_together_and_are_answered_one_by_one(
    client: Client, edge: Client, world: World, auditor: Any
) -> None:
    account_id = await account_of(client)
    in_doubt_ids = [await in_doubt(client, world, account_id) for _ in range(3)]
    good = [receipt(account_id, delivery_id) for delivery_id in in_doubt_ids]
    good += [receipt(account_id, uuid4()) for _ in range(40)]
    forged = receipt(account_id, in_doubt_ids[0], secret="another secret")
    stray = receipt(str(uuid4()), uuid4())
    answers: list[Any] = await asyncio.gather(
        *(edge.RecordReceipt(request) for request in [*good, good[0], forged, stray]),
        return_exceptions=True,
    )
    refused, missing = answers[-2:]
    assert isinstance(refused, InvalidError)
    assert refused.metadata == {"problem": "signature"}
    assert isinstance(missing, MissingError)
    # One of the first and its repeat, whichever the database saw first.
    answered = [answer.duplicate for answer in answers[:-2]]
    assert sorted((answered[0], answered.pop())) == [False, True]
    assert answered[1:] == [False] * (len(good) - 1)
    rows = await auditor.fetch("SELECT xmin::text AS committed, raw FROM delivery_receipt")
    assert sorted(row["raw"] for row in rows) == sorted(request.body for request in good)
    assert len({row["committed"] for row in rows}) < len(good) // 2
    states = await auditor.fetch("SELECT state FROM delivery_log")
    assert [row["state"] for row in states] == ["accepted"] * 3


async def test_a_receipt_that_the_database_refuses_takes_no_other_with_it(
    client: Client, edge: Client, superuser: Any, auditor: Any
) -> None:
    account_id = await account_of(client)
    poison, *others = (receipt(account_id, uuid4()) for _ in range(20))
    await superuser.execute(
        "CREATE FUNCTION refuse_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.raw = '\\x{poison.body.hex()}'::bytea THEN RAISE EXCEPTION 'refused'; END IF;"
        " RETURN NEW; END $$"
    )
    await superuser.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON delivery_receipt"
        " FOR EACH ROW EXECUTE FUNCTION refuse_v1()"
    )
    answers: list[Any] = await asyncio.gather(
        *(edge.RecordReceipt(request) for request in [*others, poison]), return_exceptions=True
    )
    refused = answers.pop()
    assert isinstance(refused, LeoRpcError)
    assert refused.reason == "INTERNAL"
    assert not any(answer.duplicate for answer in answers)
    assert await auditor.fetchval("SELECT count(*) FROM delivery_receipt") == len(others)


async def test_nobody_is_told_that_a_receipt_is_stored_before_it_is(
    client: Client, edge: Client, superuser: Any, auditor: Any
) -> None:
    """What fails at the commit, after every statement, is not acknowledged."""
    account_id = await account_of(client)
    await superuser.execute(
        "CREATE FUNCTION refuse_v1() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
    )
    await superuser.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON delivery_receipt"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_v1()"
    )
    answers = await asyncio.gather(
        *(edge.RecordReceipt(receipt(account_id, uuid4())) for _ in range(5)),
        return_exceptions=True,
    )
    assert [type(answer).__name__ for answer in answers] == ["InternalError"] * 5
    assert await auditor.fetchval("SELECT count(*) FROM delivery_receipt") == 0


async def test_a_receipt_of_nothing_we_know_is_stored_all_the_same(
    client: Client, edge: Client, auditor: Any
) -> None:
    account_id = await account_of(client)
    for reference in (uuid4(), "ord-1", ""):
        assert not (await record(edge, receipt(account_id, reference))).duplicate
    rows = await auditor.fetch("SELECT delivery_id FROM delivery_receipt")
    assert [row["delivery_id"] for row in rows] == [None] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another secret"},
        {"app_id": "1002", "secret": "oasecret2"},
        {"timestamp": "1764061200018"},
    ],
)
async def test_what_the_provider_did_not_sign_is_refused(
    client: Client, edge: Client, world: World, auditor: Any, changes: dict[str, Any]
) -> None:
    account_id = await account_of(client)
    delivery_id = await in_doubt(client, world, account_id)
    with pytest.raises(InvalidError) as refused:
        await record(edge, receipt(account_id, delivery_id, **changes))
    assert refused.value.reason == "RECEIPT_REFUSED"
    assert refused.value.metadata == {"problem": "signature"}
    assert await auditor.fetchval("SELECT count(*) FROM delivery_receipt") == 0
    assert await auditor.fetchval("SELECT state FROM delivery_log") == "outcome_unknown"


@pytest.mark.parametrize("change", ["changed", "unsigned", "two", "garbage", "deep"])
async def test_changed_unsigned_and_unreadable_requests_are_refused(
    client: Client, edge: Client, auditor: Any, change: str
) -> None:
    account_id = await account_of(client)
    request = receipt(account_id, uuid4())
    match change:
        case "changed":
            request.body = request.body.replace(b"m1", b"m2")
        case "unsigned":
            del request.headers[:]
        case "two":
            request.body += b" "
        case "garbage":
            request.body = b"\xff{"
        case "deep":
            request.body = b"[" * 10_000
    with pytest.raises(InvalidError) as refused:
        await record(edge, request)
    assert refused.value.reason == "RECEIPT_REFUSED"
    assert await auditor.fetchval("SELECT count(*) FROM delivery_receipt") == 0


async def test_a_signature_touches_its_own_tenant_alone(
    client: Client,
    client_as: Callable[..., Client],
    other_tenant_id: UUID,
    world: World,
    auditor: Any,
) -> None:
    mine = await account_of(client)
    delivery_id = await in_doubt(client, world, mine)
    theirs = await account_of(client_as(other_tenant_id), oa_secret_key="their-secret")
    their_edge = client_as(other_tenant_id, internal=True)
    # Signed by them, about my delivery: their row names no delivery of theirs.
    await record(their_edge, receipt(theirs, delivery_id, secret="their-secret"))
    row = await auditor.fetchrow("SELECT tenant_id, delivery_id FROM delivery_receipt")
    assert (row["tenant_id"], row["delivery_id"]) == (other_tenant_id, None)
    assert await auditor.fetchval("SELECT state FROM delivery_log") == "outcome_unknown"
    # My account is not there for them, whoever signs.
    with pytest.raises(MissingError) as refused:
        await record(their_edge, receipt(mine, delivery_id))
    assert refused.value.reason == "ACCOUNT_MISSING"


async def test_a_signature_touches_its_own_account_alone(
    client: Client, edge: Client, world: World, auditor: Any
) -> None:
    delivery_id = await in_doubt(client, world, await account_of(client))
    partner = await account_of(client, "partner-oa", oa_secret_key="their-secret")
    await record(edge, receipt(partner, delivery_id, secret="their-secret"))
    assert await auditor.fetchval("SELECT delivery_id FROM delivery_receipt") is None
    assert await auditor.fetchval("SELECT state FROM delivery_log") == "outcome_unknown"


async def test_an_unknown_account_is_missing(edge: Client) -> None:
    account_id = str(uuid4())
    with pytest.raises(MissingError) as refused:
        await record(edge, receipt(account_id, uuid4()))
    assert refused.value.reason == "ACCOUNT_MISSING"
    assert refused.value.metadata == {"account_id": account_id}


async def test_bad_fields_are_all_named(edge: Client) -> None:
    request = RecordReceiptRequest(account_id="x", headers=[Header(value="y" * 9000)])
    with pytest.raises(InvalidError) as refused:
        await record(edge, request)
    assert refused.value.reason == "FIELD_INVALID"
    assert {violation.field for violation in refused.value.violations} == {
        "account_id",
        "body",
        "headers[0].name",
        "headers[0].value",
    }
    request = RecordReceiptRequest(account_id=str(uuid4()), body=b"x" * (RECEIPT_BYTES_MAX + 1))
    with pytest.raises(InvalidError) as refused:
        await record(edge, request)
    assert [violation.field for violation in refused.value.violations] == ["body"]


async def test_nobody_but_our_own_services_records_receipts(client: Client) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await record(client, receipt(str(uuid4()), uuid4()))
    assert refused.value.reason == "SCOPE_MISSING"


async def test_what_a_receipt_says_of_a_person_is_not_logged(
    client: Client,
    edge: Client,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    account_id = await account_of(client)
    with caplog.at_level(logging.DEBUG):
        await record(edge, receipt(account_id, uuid4()))
        for secret in ("other", CREDENTIALS["oa_secret_key"]):
            request = receipt(account_id, uuid4(), secret=secret)
            request.body += b" "
            with pytest.raises(InvalidError) as refused:
                await record(edge, request)
            assert CANARY_PHONE not in str(refused.value)
    printed = capfd.readouterr()
    for told in (caplog.text, printed.out, printed.err):
        assert CANARY_PHONE not in told
        assert CREDENTIALS["oa_secret_key"] not in told
