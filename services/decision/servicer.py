"""DecisionService on the wire: translation only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from leo.decision.v1 import decision_service_pb2 as pb
from leo.decision.v1.decision_service_pb2_grpc import DecisionServiceServicer
from libs.auth.caller import current_origin, current_tenant
from libs.fields.paging import token_of
from libs.rpc.call import current_call
from services.decision import messages, usecases
from services.decision.usecases import Activation

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    from services.decision.store import DecisionStore
    from services.decision.usecases import Activator

    Context: TypeAlias = ServicerContext[Any, Any]


class DecisionServicer(DecisionServiceServicer):
    """One method for each RPC of DecisionService."""

    def __init__(self, store: DecisionStore, activator: Activator) -> None:
        self._store = store
        self._activator = activator

    async def CreateCampaign(
        self, request: pb.CreateCampaignRequest, context: Context
    ) -> pb.CreateCampaignResponse:
        campaign = await usecases.create_campaign(
            self._store,
            current_tenant(),
            messages.campaign_of(request.campaign),
            current_origin(messages.request_key_of(request)),
        )
        return pb.CreateCampaignResponse(campaign=messages.campaign_message(campaign))

    async def SetCampaignState(
        self, request: pb.SetCampaignStateRequest, context: Context
    ) -> pb.SetCampaignStateResponse:
        campaign = await usecases.set_campaign_state(
            self._store,
            current_tenant(),
            messages.id_of("campaign_id", request.campaign_id),
            messages.campaign_state_of(request.state),
            current_origin(None),
        )
        return pb.SetCampaignStateResponse(campaign=messages.campaign_message(campaign))

    async def CreateRule(
        self, request: pb.CreateRuleRequest, context: Context
    ) -> pb.CreateRuleResponse:
        rule = await usecases.create_rule(
            self._store,
            current_tenant(),
            messages.id_of("rule.campaign_id", request.rule.campaign_id),
            messages.terms_of(request.rule),
            current_origin(messages.request_key_of(request)),
        )
        return pb.CreateRuleResponse(rule=messages.rule_message(rule))

    async def UpdateRule(
        self, request: pb.UpdateRuleRequest, context: Context
    ) -> pb.UpdateRuleResponse:
        rule = await usecases.update_rule(
            self._store,
            current_tenant(),
            messages.id_of("rule.rule_id", request.rule.rule_id),
            etag=request.rule.etag,
            change=lambda current: messages.changed_terms(current, request),
            origin=current_origin(None),
        )
        return pb.UpdateRuleResponse(rule=messages.rule_message(rule))

    async def ListRules(
        self, request: pb.ListRulesRequest, context: Context
    ) -> pb.ListRulesResponse:
        campaign_id = None
        if request.campaign_id:
            campaign_id = messages.id_of("campaign_id", request.campaign_id)
        page, after = messages.list_page_of(request)
        rules, more = await usecases.list_rules(
            self._store, current_tenant(), campaign_id, page, after
        )
        return pb.ListRulesResponse(
            rules=map(messages.rule_message, rules),
            next_page_token=messages.next_page_token(rules) if more else "",
        )

    async def ActivateEvent(
        self, request: pb.ActivateEventRequest, context: Context
    ) -> pb.ActivateEventResponse:
        event_id = messages.id_of("event_id", request.event_id)
        answer = await usecases.activate_event(
            self._activator, current_tenant(), event_id, current_origin(None)
        )
        if not isinstance(answer, Activation):
            raise answer
        return pb.ActivateEventResponse(
            result=messages.activation_result(event_id, answer, current_call().call_id)
        )

    async def BatchActivate(
        self, request: pb.BatchActivateRequest, context: Context
    ) -> pb.BatchActivateResponse:
        event_ids = messages.event_ids_of(request.event_ids)
        answers = await usecases.batch_activate(
            self._activator, current_tenant(), event_ids, current_origin(None)
        )
        call_id = current_call().call_id
        return pb.BatchActivateResponse(
            results=[
                messages.activation_result(event_id, answer, call_id)
                for event_id, answer in zip(event_ids, answers, strict=True)
            ]
        )

    async def LaunchCampaign(
        self, request: pb.LaunchCampaignRequest, context: Context
    ) -> pb.LaunchCampaignResponse:
        rule_id = messages.id_of("rule_id", request.rule_id)
        snapshot_id = messages.id_of("snapshot_id", request.snapshot_id)
        origin = current_origin(messages.request_key_of(request))
        if request.validate_only:
            estimate = await usecases.estimate_launch(
                self._store,
                current_tenant(),
                rule_id,
                snapshot_id,
                timeout=current_call().deadline_remaining(),
                origin=origin,
            )
            return pb.LaunchCampaignResponse(estimate=messages.estimate_message(estimate))
        launch = await usecases.launch_campaign(
            self._store, current_tenant(), rule_id, snapshot_id, origin
        )
        return pb.LaunchCampaignResponse(launch=messages.launch_message(launch))

    async def GetCampaignLaunch(
        self, request: pb.GetCampaignLaunchRequest, context: Context
    ) -> pb.GetCampaignLaunchResponse:
        launch, counts = await usecases.get_campaign_launch(
            self._store, current_tenant(), messages.id_of("launch_id", request.launch_id)
        )
        return pb.GetCampaignLaunchResponse(
            launch=messages.launch_message(launch), outcome_counts=messages.outcome_counts(counts)
        )

    async def ListCampaignLaunches(
        self, request: pb.ListCampaignLaunchesRequest, context: Context
    ) -> pb.ListCampaignLaunchesResponse:
        campaign_id = None
        if request.campaign_id:
            campaign_id = messages.id_of("campaign_id", request.campaign_id)
        page, before = messages.launch_page_of(request)
        launches, more = await usecases.list_campaign_launches(
            self._store, current_tenant(), campaign_id, page, before
        )
        return pb.ListCampaignLaunchesResponse(
            launches=map(messages.launch_message, launches),
            next_page_token=token_of(str(launches[-1].launch_id)) if more else "",
        )

    async def GetJourney(
        self, request: pb.GetJourneyRequest, context: Context
    ) -> pb.GetJourneyResponse:
        steps = await usecases.get_journey(
            self._store, current_tenant(), messages.id_of("event_id", request.event_id)
        )
        return pb.GetJourneyResponse(steps=map(messages.journey_step_message, steps))

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        wanted = messages.audit_filter_of(request)
        page, before = messages.audit_page_of(request)
        entries, more = await usecases.list_audit_entries(
            self._store, current_tenant(), wanted, page, before
        )
        return pb.ListAuditEntriesResponse(
            entries=map(messages.audit_entry_message, entries),
            next_page_token=messages.next_audit_page_token(entries) if more else "",
        )
