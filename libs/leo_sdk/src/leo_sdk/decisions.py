"""The RPCs of DecisionService."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from leo.decision.v1.decision_service_pb2 import (
    ActivateEventRequest,
    ActivationResult,
    BatchActivateRequest,
    Campaign,
    CampaignLaunch,
    CreateCampaignRequest,
    CreateRuleRequest,
    GetCampaignLaunchRequest,
    GetCampaignLaunchResponse,
    GetJourneyRequest,
    JourneyStep,
    LaunchCampaignRequest,
    LaunchEstimate,
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
    ListCampaignLaunchesRequest,
    ListCampaignLaunchesResponse,
    ListRulesRequest,
    ListRulesResponse,
    Rule,
    SetCampaignStateRequest,
    UpdateRuleRequest,
)
from leo.decision.v1.decision_service_pb2_grpc import DecisionServiceStub
from leo_sdk.messages import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import grpc

    from leo_sdk.calls import Calls


class DecisionClient:
    """Campaigns, rules, launches, and what was decided: `LeoClient.decisions`."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._calls = calls
        self._stub = DecisionServiceStub(channel)

    async def create_campaign(
        self,
        campaign: Campaign,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Campaign:
        """Make a campaign in state DRAFT; the campaign as stored.

        Args:
            request_id: UUID4. Give one if you may repeat the call yourself: a repeat returns the
                first answer. The client's own tries share one in any case.

        Raises:
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
            ExistsError: CAMPAIGN_EXISTS, the name is taken.
        """
        request = CreateCampaignRequest(campaign=campaign, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.CreateCampaign, request, timeout)
        return response.campaign

    async def set_campaign_state(
        self,
        campaign_id: str,
        state: Campaign.State.ValueType,
        *,
        timeout: timedelta | None = None,
    ) -> Campaign:
        """Let a campaign act, pause it, or end it for good; the campaign as it is now.

        Raises:
            MissingError: CAMPAIGN_MISSING.
            StateError: CAMPAIGN_STATE, an ended campaign stays ended.
        """
        request = SetCampaignStateRequest(campaign_id=campaign_id, state=state)
        response = await self._calls.unary(self._stub.SetCampaignState, request, timeout)
        return response.campaign

    async def create_rule(
        self, rule: Rule, *, request_id: str | None = None, timeout: timedelta | None = None
    ) -> Rule:
        """Add a rule to a campaign; the rule as stored.

        Args:
            request_id: as in create_campaign.

        Raises:
            InvalidError: FIELD_INVALID; CONDITION_INVALID, `metadata` has line and column; or
                REQUEST_ID_REUSED with another body.
            MissingError: CAMPAIGN_MISSING.
            StateError: REFERENCE_MISSING, the segment, template or account.
            ExistsError: RULE_EXISTS, the campaign has a rule of this name.
        """
        request = CreateRuleRequest(rule=rule, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.CreateRule, request, timeout)
        return response.rule

    async def update_rule(
        self, rule: Rule, update_mask: Sequence[str] = (), *, timeout: timedelta | None = None
    ) -> Rule:
        """Replace fields of a rule and make a version of it; the rule as stored.

        Args:
            rule: with rule_id; with an etag, only that version is changed.
            update_mask: names of fields; all that can be changed if empty.

        Raises:
            InvalidError: FIELD_INVALID or CONDITION_INVALID.
            MissingError: RULE_MISSING.
            StateError: REFERENCE_MISSING.
            ExistsError: RULE_EXISTS.
            ConflictError: ETAG_MISMATCH.
        """
        request = UpdateRuleRequest(rule=rule)
        if update_mask:
            request.update_mask.CopyFrom(FieldMask(paths=update_mask))
        response = await self._calls.unary(self._stub.UpdateRule, request, timeout)
        return response.rule

    async def list_rules(
        self,
        *,
        campaign_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListRulesResponse:
        """A page of the tenant's rules, by priority, then name.

        Args:
            campaign_id: of this campaign only.
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListRulesRequest(
            campaign_id=campaign_id, page_size=page_size, page_token=page_token
        )
        return await self._calls.unary(self._stub.ListRules, request, timeout)

    async def activate_event(
        self, event_id: str, *, timeout: timedelta | None = None
    ) -> ActivationResult:
        """Decide about one ingested event, or tell what was decided about it.

        Raises:
            MissingError: EVENT_MISSING.
        """
        request = ActivateEventRequest(event_id=event_id)
        response = await self._calls.unary(self._stub.ActivateEvent, request, timeout)
        return response.result

    async def batch_activate(
        self, event_ids: Sequence[str], *, timeout: timedelta | None = None
    ) -> list[ActivationResult]:
        """Decide about 1 to 500 ingested events; one result each, in their order."""
        request = BatchActivateRequest(event_ids=event_ids)
        response = await self._calls.unary(self._stub.BatchActivate, request, timeout)
        return list(response.results)

    async def estimate_launch(
        self, rule_id: str, snapshot_id: str, *, timeout: timedelta | None = None
    ) -> LaunchEstimate:
        """What would come of a launch now: how many by outcome and channel; nothing is stored.

        Raises:
            InvalidError: FIELD_INVALID, or CONDITION_INVALID.
            MissingError: RULE_MISSING or SNAPSHOT_MISSING.
            StateError: RULE_TRIGGER, the rule is about events; or RULE_NOT_VALID.
        """
        request = LaunchCampaignRequest(
            rule_id=rule_id, snapshot_id=snapshot_id, validate_only=True
        )
        response = await self._calls.unary(self._stub.LaunchCampaign, request, timeout)
        return response.estimate

    async def launch_campaign(
        self,
        rule_id: str,
        snapshot_id: str,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> CampaignLaunch:
        """Ask a rule about everybody in a snapshot, in the background; the launch as stored.

        Args:
            rule_id: of a rule with TRIGGER_LAUNCH.
            request_id: as in create_campaign.

        Raises:
            InvalidError: FIELD_INVALID, CONDITION_INVALID, or REQUEST_ID_REUSED with another body.
            MissingError: RULE_MISSING or SNAPSHOT_MISSING.
            StateError: RULE_TRIGGER, the rule is about events; RULE_NOT_VALID; or CAMPAIGN_STATE,
                the campaign is not active.
        """
        request = LaunchCampaignRequest(
            rule_id=rule_id, snapshot_id=snapshot_id, request_id=request_id or str(uuid4())
        )
        response = await self._calls.unary(self._stub.LaunchCampaign, request, timeout)
        return response.launch

    async def get_campaign_launch(
        self, launch_id: str, *, timeout: timedelta | None = None
    ) -> GetCampaignLaunchResponse:
        """One launch as it is now, and its decisions so far by outcome.

        Raises:
            MissingError: LAUNCH_MISSING.
        """
        request = GetCampaignLaunchRequest(launch_id=launch_id)
        return await self._calls.unary(self._stub.GetCampaignLaunch, request, timeout)

    async def list_campaign_launches(
        self,
        *,
        campaign_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListCampaignLaunchesResponse:
        """A page of the tenant's launches, the newest first.

        Args:
            campaign_id: of this campaign only.
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListCampaignLaunchesRequest(
            campaign_id=campaign_id, page_size=page_size, page_token=page_token
        )
        return await self._calls.unary(self._stub.ListCampaignLaunches, request, timeout)

    async def get_journey(
        self, event_id: str, *, timeout: timedelta | None = None
    ) -> list[JourneyStep]:
        """What became of one event, step by step, in order of time.

        Raises:
            MissingError: EVENT_MISSING.
        """
        request = GetJourneyRequest(event_id=event_id)
        response = await self._calls.unary(self._stub.GetJourney, request, timeout)
        return list(response.steps)

    async def list_audit_entries(
        self,
        *,
        kind: str = "",
        actor: str = "",
        from_time: datetime | None = None,
        until_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListAuditEntriesResponse:
        """A page of what the audit recorded of the tenant, the newest first.

        Args:
            kind: of this kind only, such as "consent_changed".
            actor: by this actor only.
            from_time, until_time: written at or after the one and before the other.
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListAuditEntriesRequest(
            kind=kind, actor=actor, page_size=page_size, page_token=page_token
        )
        if from_time is not None:
            request.from_time.CopyFrom(timestamp(from_time))
        if until_time is not None:
            request.until_time.CopyFrom(timestamp(until_time))
        return await self._calls.unary(self._stub.ListAuditEntries, request, timeout)
