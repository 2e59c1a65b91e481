"""DecisionService as a client of one tenant calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk.errors import error_of_call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class Client:
    """Raises the SDK's errors."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def create_campaign(self, name: str, request_id: str = "", **fields: Any) -> pb.Campaign:
        request = pb.CreateCampaignRequest(
            campaign=pb.Campaign(name=name, **fields), request_id=request_id
        )
        response: pb.CreateCampaignResponse = await self._call("CreateCampaign", request)
        return response.campaign

    async def set_campaign_state(self, campaign_id: str, state: str) -> pb.Campaign:
        """Let a campaign become ACTIVE, PAUSED or what else there is."""
        request = pb.SetCampaignStateRequest(
            campaign_id=campaign_id, state=pb.Campaign.State.Value(f"STATE_{state}")
        )
        response: pb.SetCampaignStateResponse = await self._call("SetCampaignState", request)
        return response.campaign

    async def active_campaign(self, name: str = "tet") -> str:
        """A campaign whose rules act; its id."""
        campaign = await self.create_campaign(name)
        await self.set_campaign_state(campaign.campaign_id, "ACTIVE")
        return campaign.campaign_id

    async def create_rule(self, rule: pb.Rule, request_id: str = "") -> pb.Rule:
        request = pb.CreateRuleRequest(rule=rule, request_id=request_id)
        response: pb.CreateRuleResponse = await self._call("CreateRule", request)
        return response.rule

    async def update_rule(self, rule: pb.Rule, *paths: str) -> pb.Rule:
        """Replace the named fields; all if none is named."""
        request = pb.UpdateRuleRequest(rule=rule)
        if paths:
            request.update_mask.CopyFrom(FieldMask(paths=paths))
        response: pb.UpdateRuleResponse = await self._call("UpdateRule", request)
        return response.rule

    async def list_rules(self, **request: Any) -> pb.ListRulesResponse:
        response: pb.ListRulesResponse = await self._call(
            "ListRules", pb.ListRulesRequest(**request)
        )
        return response

    async def activate_event(self, event_id: UUID | str) -> pb.ActivationResult:
        request = pb.ActivateEventRequest(event_id=str(event_id))
        response: pb.ActivateEventResponse = await self._call("ActivateEvent", request)
        return response.result

    async def batch_activate(self, event_ids: Sequence[UUID | str]) -> list[pb.ActivationResult]:
        request = pb.BatchActivateRequest(event_ids=map(str, event_ids))
        response: pb.BatchActivateResponse = await self._call("BatchActivate", request)
        return list(response.results)

    async def get_journey(self, event_id: UUID | str) -> list[pb.JourneyStep]:
        request = pb.GetJourneyRequest(event_id=str(event_id))
        response: pb.GetJourneyResponse = await self._call("GetJourney", request)
        return list(response.steps)

    async def list_audit_entries(self, **request: Any) -> pb.ListAuditEntriesResponse:
        response: pb.ListAuditEntriesResponse = await self._call(
            "ListAuditEntries", pb.ListAuditEntriesRequest(**request)
        )
        return response

    async def launch_campaign(
        self, rule_id: str, snapshot_id: UUID | str, request_id: str = ""
    ) -> pb.CampaignLaunch:
        request = pb.LaunchCampaignRequest(
            rule_id=rule_id, snapshot_id=str(snapshot_id), request_id=request_id
        )
        response: pb.LaunchCampaignResponse = await self._call("LaunchCampaign", request)
        assert not response.HasField("estimate")
        return response.launch

    async def estimate_launch(
        self, rule_id: str, snapshot_id: UUID | str, request_id: str = ""
    ) -> pb.LaunchEstimate:
        request = pb.LaunchCampaignRequest(
            rule_id=rule_id,
            snapshot_id=str(snapshot_id),
            request_id=request_id,
            validate_only=True,
        )
        response: pb.LaunchCampaignResponse = await self._call("LaunchCampaign", request)
        assert not response.HasField("launch")
        return response.estimate

    async def get_campaign_launch(self, launch_id: str) -> pb.GetCampaignLaunchResponse:
        response: pb.GetCampaignLaunchResponse = await self._call(
            "GetCampaignLaunch", pb.GetCampaignLaunchRequest(launch_id=launch_id)
        )
        return response

    async def list_campaign_launches(self, **request: Any) -> pb.ListCampaignLaunchesResponse:
        response: pb.ListCampaignLaunchesResponse = await self._call(
            "ListCampaignLaunches", pb.ListCampaignLaunchesRequest(**request)
        )
        return response

    async def _call(self, name: str, request: Any) -> Any:
        try:
            return await getattr(self._stub, name)(request, timeout=20, metadata=self._metadata)
        except grpc.aio.AioRpcError as failure:
            raise error_of_call(failure, call_id="") from failure


def outcomes_of(result: pb.ActivationResult) -> list[str]:
    """The outcomes of an event's decisions in order, such as ["ACTED"]."""
    return [
        pb.Decision.Outcome.Name(decision.outcome).removeprefix("OUTCOME_")
        for decision in result.decisions
    ]


def counts_of(counted: pb.GetCampaignLaunchResponse | pb.LaunchEstimate) -> dict[str, int]:
    """How often each outcome came, such as {"ACTED": 3}."""
    return {
        pb.Decision.Outcome.Name(each.outcome).removeprefix("OUTCOME_"): each.count
        for each in counted.outcome_counts
    }
