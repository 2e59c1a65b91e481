from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from leo_sdk import InvalidError
from libs.fields.paging import token_of

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


async def paged(client: Client, page_size: int, **request: Any) -> list[str]:
    names: list[str] = []
    token = ""
    while True:
        page = await client.list_rules(page_size=page_size, page_token=token, **request)
        names += [rule.name for rule in page.rules]
        token = page.next_page_token
        if not token:
            return names
        assert len(page.rules) == page_size


async def test_pages_bring_every_rule_once_by_priority_then_name(
    client: Client, world: World, campaign_id: str
) -> None:
    other = (await client.create_campaign("khac")).campaign_id
    ranked = [
        (1000, "z"),
        (5, "a"),
        (5, "a-b"),
        (5, "a.b"),
        (5, "a_b"),
        (5, "b"),
        (0, "a"),
        (-3, "a"),
    ]
    for number, (priority, name) in enumerate(reversed(ranked)):
        owner = other if (priority, name) in ((0, "a"), (-3, "a")) else campaign_id
        if (priority, name) == (-3, "a"):
            owner = (await client.create_campaign(f"c{number}")).campaign_id
        await client.create_rule(world.rule(owner, name=name, priority=priority))
    names = [name for _, name in ranked]
    for page_size in (1, 2, 3, 7, 8, 9):
        assert await paged(client, page_size) == names, page_size
    assert await paged(client, 2, campaign_id=other) == ["a"]
    assert await paged(client, 2, campaign_id=campaign_id) == names[:6]


async def test_rules_of_one_priority_and_name_are_paged_one_by_one(
    client: Client, world: World
) -> None:
    for name in ("a", "b", "c"):
        campaign = await client.create_campaign(name)
        await client.create_rule(world.rule(campaign.campaign_id))
    assert await paged(client, 1) == ["thanks"] * 3


async def test_a_tenant_does_not_list_anothers_rules(
    client: Client, other_client: Client, world: World, campaign_id: str
) -> None:
    await client.create_rule(world.rule(campaign_id))
    assert not (await other_client.list_rules()).rules
    assert not (await other_client.list_rules(campaign_id=campaign_id)).rules
    assert not (await client.list_rules(campaign_id=str(uuid4()))).rules


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"campaign_id": "tet"}, "campaign_id"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": token_of("1", "a")}, "page_token"),
        ({"page_token": token_of("x", "a", str(uuid4()))}, "page_token"),
        ({"page_token": token_of("1", "a", "x")}, "page_token"),
        ({"page_token": token_of("1", "\x00", str(uuid4()))}, "page_token"),
        ({"page_token": token_of("9" * 30, "a", str(uuid4()))}, "page_token"),
        ({"page_token": token_of("9" * 5000, "a", str(uuid4()))}, "page_token"),
        ({"page_token": base64.urlsafe_b64encode(b"[1, 2, 3]").decode()}, "page_token"),
    ],
)
async def test_a_page_that_nobody_gave_is_refused(
    client: Client, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.list_rules(**request_fields)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": field}
