from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from leo_sdk import ExistsError, ForbiddenError, InvalidError, MissingError
from libs.fields.paging import token_of

if TYPE_CHECKING:
    from tests.contract.segment.client import Client
    from tests.contract.segment.conftest import ClientOf

HUE: dict[str, Any] = {"name": "hue", "condition": 'profile.city == "Huế"'}
NAMES = ("a", "a-b", "a.b", "a_b", "b", "z1")


async def test_a_segment_is_stored_and_read_back(client: Client) -> None:
    before = datetime.now(UTC)
    created = await client.create_segment(**HUE, display_name="Người Huế")
    assert (created.name, created.condition) == (HUE["name"], HUE["condition"])
    assert (created.display_name, created.version) == ("Người Huế", 1)
    assert UUID(created.segment_id).version == 7
    assert abs((created.create_time.ToDatetime(tzinfo=UTC) - before).total_seconds()) < 60
    assert await client.get_segment(created.segment_id) == created
    assert list((await client.list_segments()).segments) == [created]


async def test_a_repeated_request_gets_its_first_answer(client: Client) -> None:
    request_id = str(uuid4())
    answers = await asyncio.gather(*(client.create_segment(request_id, **HUE) for _ in range(5)))
    assert len({answer.segment_id for answer in answers}) == 1
    assert await client.create_segment(request_id, **HUE) == answers[0]
    assert len((await client.list_segments()).segments) == 1


@pytest.mark.parametrize("change", [{"name": "khac"}, {"condition": "true"}])
async def test_a_request_id_with_another_body_is_refused(
    client: Client, change: dict[str, str]
) -> None:
    request_id = str(uuid4())
    await client.create_segment(request_id, **HUE)
    with pytest.raises(InvalidError) as refused:
        await client.create_segment(request_id, **(HUE | change))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.metadata == {"request_id": request_id}


async def test_a_taken_name_is_refused_in_its_tenant_alone(
    client: Client, other_client: Client
) -> None:
    await client.create_segment(str(uuid4()), **HUE)
    for request_id in ("", str(uuid4())):
        with pytest.raises(ExistsError) as refused:
            await client.create_segment(request_id, **HUE)
        assert refused.value.reason == "SEGMENT_EXISTS"
        assert refused.value.metadata == {"name": "hue"}
    await other_client.create_segment(**HUE)


async def test_two_at_once_cannot_take_one_name(client: Client) -> None:
    answers = await asyncio.gather(
        *(client.create_segment(str(uuid4()), **HUE) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, ExistsError) for answer in answers) == 4


async def test_a_tenant_neither_reads_nor_lists_anothers(
    client: Client, other_client: Client
) -> None:
    created = await client.create_segment(**HUE)
    with pytest.raises(MissingError):
        await other_client.get_segment(created.segment_id)
    assert not (await other_client.list_segments()).segments


async def test_the_same_request_id_of_two_tenants_makes_two_segments(
    client: Client, other_client: Client
) -> None:
    request_id = str(uuid4())
    first = await client.create_segment(request_id, **HUE)
    second = await other_client.create_segment(request_id, **HUE)
    assert first.segment_id != second.segment_id


async def test_bad_fields_are_all_named(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_segment(name="Người Huế", display_name="x" * 201)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [
        "segment.name",
        "segment.display_name",
        "segment.condition",
    ]


@pytest.mark.parametrize("request_id", ["x", "01993d00-0000-7000-8000-000000000001"])
async def test_a_request_id_must_be_a_uuid4(client: Client, request_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_segment(request_id, **HUE)
    assert refused.value.metadata == {"field": "request_id"}


@pytest.mark.parametrize(
    ("condition", "line", "column", "expected"),
    [
        ('profile.citi == "Huế"', "1", "1", "profile.city"),
        ('profile.city == "Huế" &&\n  profile.labels > 3', "2", None, None),
        ("profile.city", "1", "1", None),
        ('event.type == "purchase"', "1", "1", None),
        (f'profile.city == "{"x" * 4096}"', "1", "1", None),
    ],
)
async def test_a_condition_that_does_not_compile_is_refused_with_its_place(
    client: Client, condition: str, line: str, column: str | None, expected: str | None
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_segment(name="hue", condition=condition)
    assert refused.value.reason == "CONDITION_INVALID"
    assert refused.value.domain == "segment.leo"
    metadata = refused.value.metadata
    assert metadata["line"] == line
    assert int(metadata["column"]) > 0
    if column is not None:
        assert metadata["column"] == column
    if expected is not None:
        assert metadata["expected"] == expected
    (violation,) = refused.value.violations
    assert violation.field == "segment.condition"
    assert not (await client.list_segments()).segments


async def test_a_condition_with_nul_is_refused(client: Client) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create_segment(name="hue", condition='profile.city == "\x00"')
    assert refused.value.metadata == {"field": "segment.condition"}


@pytest.mark.parametrize("segment_id", ["", "hue"])
async def test_an_id_that_is_none_is_refused(client: Client, segment_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.get_segment(segment_id)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": "segment_id"}


async def test_a_segment_that_is_not_there_is_missing(client: Client) -> None:
    segment_id = str(uuid4())
    with pytest.raises(MissingError) as refused:
        await client.get_segment(segment_id)
    assert refused.value.reason == "SEGMENT_MISSING"
    assert refused.value.metadata == {"segment_id": segment_id}


async def test_pages_bring_every_segment_once_in_the_order_of_names(client: Client) -> None:
    for name in reversed(NAMES):
        await client.create_segment(name=name, condition="true")
    for page_size in (1, 2, 3, 5, 6, 7):
        names: list[str] = []
        token = ""
        while True:
            page = await client.list_segments(page_size=page_size, page_token=token)
            names += [segment.name for segment in page.segments]
            token = page.next_page_token
            if not token:
                break
            assert len(page.segments) == page_size
        assert names == sorted(NAMES), page_size


async def test_a_segment_that_comes_between_pages_breaks_none(client: Client) -> None:
    for name in ("b", "d"):
        await client.create_segment(name=name, condition="true")
    first = await client.list_segments(page_size=1)
    for name in ("a", "c"):
        await client.create_segment(name=name, condition="true")
    rest = await client.list_segments(page_token=first.next_page_token)
    assert [segment.name for segment in rest.segments] == ["c", "d"]


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": token_of("a", "b")}, "page_token"),
        ({"page_token": token_of("\x00")}, "page_token"),
        ({"page_token": base64.urlsafe_b64encode(b"[1]").decode()}, "page_token"),
    ],
)
async def test_a_page_that_nobody_gave_is_refused(
    client: Client, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.list_segments(**request_fields)
    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.metadata == {"field": field}


async def test_reading_does_not_allow_writing_nor_the_other_way_round(
    client_for: ClientOf, tenant_id: UUID
) -> None:
    reader = await client_for(tenant_id, "leo.segments.read")
    writer = await client_for(tenant_id, "leo.segments.write")
    with pytest.raises(ForbiddenError):
        await reader.create_segment(**HUE)
    created = await writer.create_segment(**HUE)
    assert await reader.get_segment(created.segment_id) == created
    for call in (writer.get_segment(created.segment_id), writer.list_segments()):
        with pytest.raises(ForbiddenError):
            await call
