from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from leo.dispatch.v1.dispatch_service_pb2 import (
    CreateTemplateRequest,
    RenderTemplateRequest,
    Template,
)
from leo_sdk import ExistsError, InvalidError, LeoRpcError, MissingError, StateError
from libs import canonical
from tests.contract.dispatch.world import CHANNEL, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dispatch.conftest import Client


def template(**changes: Any) -> Template:
    values: dict[str, Any] = {
        "name": "thank-you",
        "channel": CHANNEL,
        "provider_template_id": "7895",
        "data": {
            "customer": "{{ profile.family_name }} {{ profile.given_name }}",
            "amount": "{{ event.properties.amount | vnd }}",
            "day": "{{ event.time | date }}",
        },
    }
    return Template(**(values | changes))


async def create(client: Client, *, request_id: str = "", **changes: Any) -> Template:
    request = CreateTemplateRequest(template=template(**changes), request_id=request_id)
    created: Template = (await client.CreateTemplate(request)).template
    return created


async def rendered(client: Client, template_id: str, ext_id: str, event_id: object = "") -> Any:
    request = RenderTemplateRequest(
        template_id=template_id, profile_ext_id=ext_id, event_id=str(event_id)
    )
    return (await client.RenderTemplate(request)).data


async def test_a_template_is_stored_as_it_was_sent(client: Client) -> None:
    stored = await create(client)
    assert UUID(stored.template_id).version == 7
    assert stored.version == 1
    assert stored.HasField("update_time")
    for field in ("template_id", "version", "update_time"):
        stored.ClearField(field)
    assert stored == template()


async def test_texts_are_stored_in_nfc(client: Client) -> None:
    stored = await create(client, data={"x": unicodedata.normalize("NFD", "Cảm ơn")})
    assert dict(stored.data) == {"x": "Cảm ơn"}


async def test_a_repeated_request_gets_its_first_answer(client: Client, auditor: Any) -> None:
    request_id = str(uuid4())
    first = await create(client, request_id=request_id)
    again = await create(client, request_id=request_id)
    assert again == first
    assert await auditor.fetchval("SELECT count(*) FROM message_template") == 1


async def test_the_audit_names_what_was_stored_by_its_hash(client: Client, auditor: Any) -> None:
    request_id = str(uuid4())
    created = await create(client, request_id=request_id)
    await create(client, request_id=request_id)
    (entry,) = await auditor.fetch("SELECT * FROM audit_entry WHERE kind = 'template_created'")
    stored = await auditor.fetchrow(
        "SELECT channel, provider_template_id, data FROM message_template"
    )
    content = dict(stored) | {"data": orjson.loads(stored["data"])}
    assert orjson.loads(entry["details"]) == {
        "template_id": created.template_id,
        "name": created.name,
        "version": 1,
        "digest": hashlib.sha256(canonical.dumps(content)).hexdigest(),
    }


async def test_the_same_request_at_once_makes_one_template(client: Client, auditor: Any) -> None:
    request_id = str(uuid4())
    answers = await asyncio.gather(*(create(client, request_id=request_id) for _ in range(8)))
    assert len({answer.template_id for answer in answers}) == 1
    assert await auditor.fetchval("SELECT count(*) FROM message_template") == 1


async def test_a_request_id_with_another_body_is_refused(client: Client) -> None:
    request_id = str(uuid4())
    await create(client, request_id=request_id)
    for changes in ({"name": "other"}, {"provider_template_id": "1"}):
        with pytest.raises(InvalidError) as refused:
            await create(client, request_id=request_id, **changes)
        assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_name_is_taken_once_a_tenant(
    client: Client, client_as: Callable[..., Client], other_tenant_id: UUID
) -> None:
    await create(client)
    for request_id in ("", str(uuid4())):
        with pytest.raises(ExistsError) as refused:
            await create(client, request_id=request_id)
        assert refused.value.reason == "TEMPLATE_EXISTS"
        assert refused.value.metadata == {"name": "thank-you"}
    await create(client_as(other_tenant_id))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "template.name"),
        ({"name": "Thank You"}, "template.name"),
        ({"channel": "pigeon"}, "template.channel"),
        ({"provider_template_id": ""}, "template.provider_template_id"),
        ({"provider_template_id": "x" * 65}, "template.provider_template_id"),
        ({"data": {}}, "template.data"),
        ({"data": {str(n): "x" for n in range(51)}}, "template.data"),
        ({"data": {"": "x"}}, "template.data"),
        ({"data": {"x": ""}}, "template.data.x"),
        ({"data": {"x": "y" * 2001}}, "template.data.x"),
        ({"data": {"x": "a\x00b"}}, "template.data.x"),
    ],
)
async def test_bad_fields_are_named(client: Client, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await create(client, **changes)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"html": None}, "template.data.html"),
        ({"subject": None}, "template.data.subject"),
        ({"footer": "x"}, "template.data.footer"),
        ({"subject": "x" * 251}, "template.data.subject"),
        ({"html": "x" * 100_001}, "template.data.html"),
    ],
)
async def test_texts_follow_the_rules_of_their_channel(
    client: Client, changes: dict[str, Any], field: str
) -> None:
    data = {"subject": "x" * 250, "html": "x" * 100_000} | changes
    data = {name: text for name, text in data.items() if text is not None}
    with pytest.raises(InvalidError) as refused:
        await create(client, channel="email", provider_template_id="", data=data)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_a_preview_escapes_as_the_message_does(client: Client, world: World) -> None:
    data = dict.fromkeys(("subject", "html"), "{{ profile.given_name }}")
    stored = await create(client, channel="email", provider_template_id="", data=data)
    person = await world.person(given_name="<An>")
    assert await rendered(client, stored.template_id, person.ext_id) == {
        "subject": "<An>",
        "html": "&lt;An&gt;",
    }


async def test_the_providers_template_is_asked_for_only_where_its_channel_needs_one(
    client: Client,
) -> None:
    data = {"subject": "x", "html": "<p>x</p>"}
    template = await create(client, channel="email", provider_template_id="", data=data)
    assert template.provider_template_id == ""


async def test_a_request_id_must_be_a_uuid4(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        await create(client, request_id="x")
    assert [violation.field for violation in refused.value.violations] == ["request_id"]


async def test_texts_that_could_do_more_than_show_values_are_refused(
    client: Client, auditor: Any
) -> None:
    data = {
        "good": "{{ profile.city }}",
        "grows": "{{ 'a' * 1000000000 }}",
        "escapes": "{{ profile.__class__.__mro__ }}",
    }
    with pytest.raises(InvalidError) as refused:
        await create(client, data=data)
    assert refused.value.reason == "TEMPLATE_INVALID"
    assert {violation.field for violation in refused.value.violations} == {
        "template.data.grows",
        "template.data.escapes",
    }
    assert await auditor.fetchval("SELECT count(*) FROM message_template") == 0


async def test_a_preview_shows_what_the_person_would_get(client: Client, world: World) -> None:
    stored = await create(client)
    person = await world.person(family_name="Nguyễn", given_name="Ánh")
    event_id = await world.event(person, amount=1500000)
    assert await rendered(client, stored.template_id, person.ext_id, event_id) == {
        "customer": "Nguyễn Ánh",
        "amount": "1.500.000 ₫",
        "day": "26/11/2026",
    }


async def test_days_are_told_as_the_tenant_tells_them(
    client: Client, world: World, superuser: Any
) -> None:
    await superuser.execute("UPDATE tenant SET time_zone = 'UTC'")
    stored = await create(client, data={"day": "{{ event.time | date }}"})
    person = await world.person()
    event_id = await world.event(person)
    assert await rendered(client, stored.template_id, person.ext_id, event_id) == {
        "day": "25/11/2026"
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ profile.given_name }}", "profile.given_name"),
        ("{{ profile.attributes.tier }}", "profile.attributes.tier"),
        ("{{ event.properties.amount }}", "event.properties.amount"),
    ],
)
async def test_a_missing_value_is_named(client: Client, world: World, text: str, name: str) -> None:
    stored = await create(client, data={"x": text})
    person = await world.person(family_name="Nguyễn", attributes={"tier": None})
    with pytest.raises(StateError) as refused:
        await rendered(client, stored.template_id, person.ext_id)
    assert refused.value.reason == "VALUE_MISSING"
    assert refused.value.metadata == {"name": name}


async def test_a_value_that_is_no_text_is_named_and_not_repeated(
    client: Client, world: World
) -> None:
    stored = await create(client, data={"x": "{{ profile.attributes.tags }}"})
    person = await world.person(attributes={"tags": ["canary"]})
    with pytest.raises(StateError) as refused:
        await rendered(client, stored.template_id, person.ext_id)
    assert refused.value.reason == "VALUE_UNUSABLE"
    assert "data.x" in refused.value.message
    assert "canary" not in str(refused.value)


async def test_template_person_and_event_must_be_the_tenants(
    client: Client, client_as: Callable[..., Client], other_tenant_id: UUID, world: World
) -> None:
    stored = await create(client)
    person = await world.person()
    event_id = await world.event(person)

    async def reason_of(who: Client, *arguments: Any) -> str:
        with pytest.raises(LeoRpcError) as refused:
            await rendered(who, *arguments)
        assert isinstance(refused.value, MissingError)
        return refused.value.reason

    theirs = client_as(other_tenant_id)
    own = await create(theirs)
    assert await reason_of(client, str(uuid4()), person.ext_id) == "TEMPLATE_MISSING"
    assert await reason_of(theirs, stored.template_id, person.ext_id) == "TEMPLATE_MISSING"
    assert await reason_of(client, stored.template_id, "nobody") == "PROFILE_MISSING"
    assert await reason_of(theirs, own.template_id, person.ext_id) == "PROFILE_MISSING"
    assert await reason_of(client, stored.template_id, person.ext_id, uuid4()) == "EVENT_MISSING"
    their_person = await World(world.superuser, other_tenant_id).person()
    arguments = (own.template_id, their_person.ext_id, event_id)
    assert await reason_of(theirs, *arguments) == "EVENT_MISSING"


async def test_bad_fields_of_a_preview_are_all_named(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        await rendered(client, "x", "", "y")
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [
        "template_id",
        "profile_ext_id",
        "event_id",
    ]
