"""From the choices that decision found possible to the deliveries that dispatch makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from leo.decision.v1 import decision_service_pb2 as pb
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from services.dispatch.doorbell import Doorbell
from services.dispatch.machine.moves import Move, move
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import Dispatched, batch_dispatch
from tests.contract.decision.world import CHANNEL, PURPOSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import DsnOf
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World

BOTH = ((CHANNEL, PURPOSE), ("email", PURPOSE))
# Reached by either way.
WHOLE = {"consents": BOTH, "phones": ["+84901234567"], "emails": ["an@example.com"]}


@pytest.fixture
async def dispatch_database(dsn_of: DsnOf) -> AsyncIterator[Database]:
    """The test's database as dispatch has it."""
    opened = await Database.open(
        PostgresSettings(dsn=SecretStr(dsn_of(roles.DISPATCH))), application_name="test"
    )
    yield opened
    await opened.close()


async def dispatch_one(client: Client, world: World, database: Database) -> UUID:
    """The first delivery for a rule that tries Zalo, then email."""
    email = pb.Choice(
        channel="email",
        template_id=str(await world.template("email")),
        account_id=str(await world.account("email")),
    )
    campaign_id = await client.active_campaign()
    await client.create_rule(world.rule(campaign_id, choices=[world.choice, email]))
    result = await client.activate_event(await world.event("an"))
    (answer,) = await batch_dispatch(
        DispatchStore(database),
        Doorbell(""),
        world.tenant_id,
        [UUID(result.decisions[0].decision_id)],
    )
    assert isinstance(answer, Dispatched)
    return answer.delivery_id


async def chain(database: Database, tenant_id: UUID) -> list[tuple[Any, ...]]:
    async with database.tenant(tenant_id) as connection:
        rows = await connection.fetch(
            "SELECT choice, channel, recipient_ref, state FROM delivery_log ORDER BY choice"
        )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("person", "first"),
    [
        ({}, (0, CHANNEL, "phone:0", "pending")),
        ({"phones": []}, (1, "email", "email:0", "pending")),
        ({"consents": BOTH[1:]}, (1, "email", "email:0", "pending")),
        ({"emails": []}, (0, CHANNEL, "phone:0", "pending")),
    ],
    ids=["both", "no phone", "no consent to Zalo", "no email address"],
)
async def test_the_first_delivery_goes_by_the_first_way_that_there_is(
    client: Client,
    world: World,
    dispatch_database: Database,
    person: dict[str, Any],
    first: tuple[Any, ...],
) -> None:
    await world.person("an", **WHOLE | person)
    await dispatch_one(client, world, dispatch_database)
    assert await chain(dispatch_database, world.tenant_id) == [first]


@pytest.mark.parametrize("person", [{}, {"emails": []}], ids=["both", "no email address"])
async def test_the_next_delivery_goes_by_the_next_way_that_there_is(
    client: Client, world: World, dispatch_database: Database, person: dict[str, Any]
) -> None:
    await world.person("an", **WHOLE | person)
    delivery_id = await dispatch_one(client, world, dispatch_database)
    async with dispatch_database.tenant(world.tenant_id) as connection:
        refused = Move(delivery_id=delivery_id, epoch=0, state="failed", reason="", in_doubt=False)
        await move(connection, world.tenant_id, [refused])
    followed = [] if person else [(1, "email", "email:0", "pending")]
    assert await chain(dispatch_database, world.tenant_id) == [
        (0, CHANNEL, "phone:0", "failed"),
        *followed,
    ]
