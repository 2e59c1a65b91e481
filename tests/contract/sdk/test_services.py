"""Segments, decisions and dispatch through the SDK: what goes out, and what comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass

import leo_sdk
from leo.decision.v1 import decision_service_pb2 as decision
from leo.dispatch.v1 import dispatch_service_pb2 as dispatch
from leo.segment.v1 import segment_service_pb2 as segment
from leo_sdk import LeoClient, StaticToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

SERVICES = (
    segment.DESCRIPTOR.services_by_name["SegmentService"],
    decision.DESCRIPTOR.services_by_name["DecisionService"],
    dispatch.DESCRIPTOR.services_by_name["DispatchService"],
)
SEGMENT = segment.Segment(name="hue", condition='profile.city == "Huế"')
SNAPSHOT = segment.Snapshot(snapshot_id="n", member_count=3)
CAMPAIGN = decision.Campaign(name="tet")
RULE = decision.Rule(name="thanks", event_type="purchase")
LAUNCH = decision.CampaignLaunch(launch_id="n", member_count=3)
TEMPLATE = dispatch.Template(name="thanks", channel="zalo-template", data={"customer": "An"})
ACCOUNT = dispatch.ChannelAccount(name="oa", channel="zalo-template")
RECIPIENT = dispatch.Recipient(channel="email", address="an@person.test")
SUPPRESSION = dispatch.Suppression(suppression_id="s", channel="email")
BOUNCED = dispatch.Suppression.CAUSE_BOUNCED
NOW = datetime.now(UTC)
ACTIVE = decision.Campaign.STATE_ACTIVE
PENDING = dispatch.Delivery.STATE_PENDING


class Services(grpc.GenericRpcHandler):
    """Answers every RPC of the three services with a prepared message, and keeps its request."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.response: Message | None = None

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service_name, method_name = details.method.strip("/").split("/")
        (service,) = [found for found in SERVICES if found.full_name == service_name]
        method = service.methods_by_name[method_name]

        async def answer(request: Any, context: Any) -> Any:
            self.requests.append(request)
            if self.response is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, "there is none")
            return self.response

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((services,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("call", "request_message", "response", "result"),
    [
        (
            lambda client: client.segments.create_segment(SEGMENT),
            segment.CreateSegmentRequest(segment=SEGMENT),
            segment.CreateSegmentResponse(segment=SEGMENT),
            SEGMENT,
        ),
        (
            lambda client: client.segments.get_segment("s"),
            segment.GetSegmentRequest(segment_id="s"),
            segment.GetSegmentResponse(segment=SEGMENT),
            SEGMENT,
        ),
        (
            lambda client: client.segments.list_segments(page_size=2, page_token="p"),
            segment.ListSegmentsRequest(page_size=2, page_token="p"),
            segment.ListSegmentsResponse(segments=[SEGMENT], next_page_token="n"),
            segment.ListSegmentsResponse(segments=[SEGMENT], next_page_token="n"),
        ),
        (
            lambda client: client.segments.create_snapshot("s"),
            segment.CreateSnapshotRequest(segment_id="s"),
            segment.CreateSnapshotResponse(snapshot=SNAPSHOT),
            SNAPSHOT,
        ),
        (
            lambda client: client.segments.get_snapshot("n"),
            segment.GetSnapshotRequest(snapshot_id="n"),
            segment.GetSnapshotResponse(snapshot=SNAPSHOT),
            SNAPSHOT,
        ),
        (
            lambda client: client.segments.list_snapshot_members("n", page_size=2, page_token="p"),
            segment.ListSnapshotMembersRequest(snapshot_id="n", page_size=2, page_token="p"),
            segment.ListSnapshotMembersResponse(members=[segment.SnapshotMember(ext_id="an")]),
            segment.ListSnapshotMembersResponse(members=[segment.SnapshotMember(ext_id="an")]),
        ),
        (
            lambda client: client.decisions.create_campaign(CAMPAIGN),
            decision.CreateCampaignRequest(campaign=CAMPAIGN),
            decision.CreateCampaignResponse(campaign=CAMPAIGN),
            CAMPAIGN,
        ),
        (
            lambda client: client.decisions.set_campaign_state("c", ACTIVE),
            decision.SetCampaignStateRequest(campaign_id="c", state=ACTIVE),
            decision.SetCampaignStateResponse(campaign=CAMPAIGN),
            CAMPAIGN,
        ),
        (
            lambda client: client.decisions.create_rule(RULE),
            decision.CreateRuleRequest(rule=RULE),
            decision.CreateRuleResponse(rule=RULE),
            RULE,
        ),
        (
            lambda client: client.decisions.update_rule(RULE, ["priority", "condition"]),
            decision.UpdateRuleRequest(
                rule=RULE, update_mask=FieldMask(paths=["priority", "condition"])
            ),
            decision.UpdateRuleResponse(rule=RULE),
            RULE,
        ),
        (
            lambda client: client.decisions.update_rule(RULE),
            decision.UpdateRuleRequest(rule=RULE),
            decision.UpdateRuleResponse(rule=RULE),
            RULE,
        ),
        (
            lambda client: client.decisions.list_rules(campaign_id="c", page_size=2),
            decision.ListRulesRequest(campaign_id="c", page_size=2),
            decision.ListRulesResponse(rules=[RULE]),
            decision.ListRulesResponse(rules=[RULE]),
        ),
        (
            lambda client: client.decisions.activate_event("e"),
            decision.ActivateEventRequest(event_id="e"),
            decision.ActivateEventResponse(result=decision.ActivationResult(event_id="e")),
            decision.ActivationResult(event_id="e"),
        ),
        (
            lambda client: client.decisions.batch_activate(["e", "f"]),
            decision.BatchActivateRequest(event_ids=["e", "f"]),
            decision.BatchActivateResponse(results=[decision.ActivationResult(event_id="e")]),
            [decision.ActivationResult(event_id="e")],
        ),
        (
            lambda client: client.decisions.estimate_launch("r", "s"),
            decision.LaunchCampaignRequest(rule_id="r", snapshot_id="s", validate_only=True),
            decision.LaunchCampaignResponse(estimate=decision.LaunchEstimate(member_count=3)),
            decision.LaunchEstimate(member_count=3),
        ),
        (
            lambda client: client.decisions.launch_campaign("r", "s"),
            decision.LaunchCampaignRequest(rule_id="r", snapshot_id="s"),
            decision.LaunchCampaignResponse(launch=LAUNCH),
            LAUNCH,
        ),
        (
            lambda client: client.decisions.get_campaign_launch("n"),
            decision.GetCampaignLaunchRequest(launch_id="n"),
            decision.GetCampaignLaunchResponse(launch=LAUNCH),
            decision.GetCampaignLaunchResponse(launch=LAUNCH),
        ),
        (
            lambda client: client.decisions.list_campaign_launches(campaign_id="c", page_size=2),
            decision.ListCampaignLaunchesRequest(campaign_id="c", page_size=2),
            decision.ListCampaignLaunchesResponse(launches=[LAUNCH]),
            decision.ListCampaignLaunchesResponse(launches=[LAUNCH]),
        ),
        (
            lambda client: client.decisions.get_journey("e"),
            decision.GetJourneyRequest(event_id="e"),
            decision.GetJourneyResponse(steps=[decision.JourneyStep(step="decision")]),
            [decision.JourneyStep(step="decision")],
        ),
        (
            lambda client: client.decisions.list_audit_entries(
                kind="decided", actor="a", from_time=NOW, until_time=NOW, page_size=2
            ),
            decision.ListAuditEntriesRequest(
                kind="decided",
                actor="a",
                from_time=leo_sdk.timestamp(NOW),
                until_time=leo_sdk.timestamp(NOW),
                page_size=2,
            ),
            decision.ListAuditEntriesResponse(next_page_token="n"),
            decision.ListAuditEntriesResponse(next_page_token="n"),
        ),
        (
            lambda client: client.dispatch.batch_dispatch(["d"]),
            dispatch.BatchDispatchRequest(decision_ids=["d"]),
            dispatch.BatchDispatchResponse(results=[dispatch.DispatchResult(decision_id="d")]),
            [dispatch.DispatchResult(decision_id="d")],
        ),
        (
            lambda client: client.dispatch.get_delivery("d"),
            dispatch.GetDeliveryRequest(delivery_id="d"),
            dispatch.GetDeliveryResponse(attempts=[dispatch.Attempt(attempt=1)]),
            dispatch.GetDeliveryResponse(attempts=[dispatch.Attempt(attempt=1)]),
        ),
        (
            lambda client: client.dispatch.list_deliveries(state=PENDING, profile_id="p"),
            dispatch.ListDeliveriesRequest(state=PENDING, profile_id="p"),
            dispatch.ListDeliveriesResponse(deliveries=[dispatch.Delivery(delivery_id="d")]),
            dispatch.ListDeliveriesResponse(deliveries=[dispatch.Delivery(delivery_id="d")]),
        ),
        (
            lambda client: client.dispatch.create_template(TEMPLATE),
            dispatch.CreateTemplateRequest(template=TEMPLATE),
            dispatch.CreateTemplateResponse(template=TEMPLATE),
            TEMPLATE,
        ),
        (
            lambda client: client.dispatch.render_template("t", "p", event_id="e"),
            dispatch.RenderTemplateRequest(template_id="t", profile_ext_id="p", event_id="e"),
            dispatch.RenderTemplateResponse(data={"customer": "An"}),
            {"customer": "An"},
        ),
        (
            lambda client: client.dispatch.set_channel_account(ACCOUNT),
            dispatch.SetChannelAccountRequest(account=ACCOUNT),
            dispatch.SetChannelAccountResponse(account=ACCOUNT),
            ACCOUNT,
        ),
        (
            lambda client: client.dispatch.suppress(RECIPIENT, cause=BOUNCED),
            dispatch.SuppressRequest(recipient=RECIPIENT, cause=BOUNCED),
            dispatch.SuppressResponse(suppressions=[SUPPRESSION]),
            [SUPPRESSION],
        ),
        (
            lambda client: client.dispatch.unsuppress(RECIPIENT),
            dispatch.UnsuppressRequest(recipient=RECIPIENT),
            dispatch.UnsuppressResponse(suppressions=[SUPPRESSION]),
            [SUPPRESSION],
        ),
        (
            lambda client: client.dispatch.list_suppressions(recipient=RECIPIENT, page_size=5),
            dispatch.ListSuppressionsRequest(recipient=RECIPIENT, page_size=5),
            dispatch.ListSuppressionsResponse(suppressions=[SUPPRESSION]),
            dispatch.ListSuppressionsResponse(suppressions=[SUPPRESSION]),
        ),
    ],
)
async def test_a_call_sends_what_it_is_given_and_gives_what_comes_back(
    call: Callable[[LeoClient], Any], request_message: Message, response: Message, result: Any
) -> None:
    services = Services()
    services.response = response
    async with (
        serving(services) as address,
        LeoClient(address, StaticToken("a-token")) as client,
    ):
        assert await call(client) == result
    (sent,) = services.requests
    # Where nothing is stored, nothing is named.
    validates = getattr(sent, "validate_only", False)
    if "request_id" in sent.DESCRIPTOR.fields_by_name and not validates:
        # Made by the client, so that its own tries are one request.
        assert UUID(sent.request_id).version == 4
        sent.ClearField("request_id")
    assert sent == request_message


async def test_a_request_id_is_kept() -> None:
    services = Services()
    services.response = decision.CreateCampaignResponse()
    request_id = "9b2d1a58-6a46-4c53-9a6e-6a5e1ce2f0aa"
    async with (
        serving(services) as address,
        LeoClient(address, StaticToken("a-token")) as client,
    ):
        await client.decisions.create_campaign(CAMPAIGN, request_id=request_id)
    assert services.requests == [
        decision.CreateCampaignRequest(campaign=CAMPAIGN, request_id=request_id)
    ]


async def test_each_service_may_have_an_address_of_its_own() -> None:
    ones, others = Services(), Services()
    async with (
        serving(ones) as one,
        serving(others) as other,
        LeoClient(
            "127.0.0.1:1",
            StaticToken("a-token"),
            segment_address=one,
            decision_address=other,
            dispatch_address=other,
        ) as client,
    ):
        with pytest.raises(leo_sdk.MissingError):
            await client.segments.get_segment("s")
        with pytest.raises(leo_sdk.MissingError):
            await client.decisions.get_journey("e")
        with pytest.raises(leo_sdk.MissingError):
            await client.dispatch.get_delivery("d")
    assert [type(message).__name__ for message in ones.requests] == ["GetSegmentRequest"]
    assert len(others.requests) == 2
