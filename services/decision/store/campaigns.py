"""Campaigns and their rules; each change of what decides makes the rule set's next version."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from libs import audit
from services.decision.domain.campaign import Campaign, may_become
from services.decision.domain.rule import Rule, document_of
from services.decision.domain.texts import find_event
from services.decision.errors import (
    CampaignExistsError,
    CampaignMissingError,
    CampaignStateError,
    EtagMismatchError,
    ReferenceMissingError,
    RequestIdReusedError,
    RuleExistsError,
    RuleMissingError,
    TemplateNeedsEventError,
)
from services.decision.store.rule_sets import rule_of
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.decision.domain.campaign import NewCampaign, State
    from services.decision.domain.rule import RuleTerms


class Campaigns:
    """Campaigns, rules and their versions."""

    _database: Database

    async def create_campaign(
        self, tenant_id: UUID, campaign_id: UUID, campaign: NewCampaign, origin: Origin
    ) -> Campaign:
        """Store a campaign as a draft; a repeated request gets its first answer.

        Raises:
            CampaignExistsError: the name is taken.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            try:
                rows = [
                    row
                    async for row in QUERIES.insert_campaign(
                        connection,
                        tenant_id=tenant_id,
                        campaign_id=campaign_id,
                        name=campaign.name,
                        display_name=campaign.display_name,
                        request_id=request.request_id if request else None,
                        request_digest=request.digest if request else None,
                    )
                ]
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "campaign_name_key":
                    raise
                # A repeated request meets its own name first.
                if request is None:
                    raise CampaignExistsError(campaign.name) from error
                rows = []
            if rows:
                # It acts on nothing yet, so the rule set stays what it is.
                await audit.append(
                    connection,
                    kind="campaign_created",
                    actor=origin.actor,
                    call_id=origin.call_id,
                    details={"campaign_id": str(campaign_id), "name": campaign.name},
                )
                return Campaign(**rows[0])
        assert request is not None
        async with self._database.tenant(tenant_id) as connection:
            first = await QUERIES.select_campaign_of_request(
                connection, tenant_id=tenant_id, request_id=request.request_id
            )
        if first is None:
            raise CampaignExistsError(campaign.name)
        values = dict(first)
        if values.pop("request_digest") != request.digest:
            raise RequestIdReusedError(request.request_id)
        return Campaign(**values)

    async def set_campaign_state(
        self, tenant_id: UUID, campaign_id: UUID, state: State, origin: Origin
    ) -> Campaign:
        """Let a campaign act, pause or end.

        Raises:
            CampaignMissingError: the tenant has none with this id.
            CampaignStateError: it cannot get there from where it is.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await QUERIES.lock_campaign(
                connection, tenant_id=tenant_id, campaign_id=campaign_id
            )
            if row is None:
                raise CampaignMissingError(campaign_id)
            if not may_become(row["state"], state):
                raise CampaignStateError(campaign_id, row["state"])
            if row["state"] != state:
                await QUERIES.update_campaign_state(
                    connection, tenant_id=tenant_id, campaign_id=campaign_id, state=state
                )
                await self._changed(
                    connection,
                    tenant_id,
                    origin,
                    kind="campaign_state_changed",
                    details={"campaign_id": str(campaign_id), "state": state},
                )
        return Campaign(**(dict(row) | {"state": state}))

    async def create_rule(
        self, tenant_id: UUID, rule_id: UUID, campaign_id: UUID, terms: RuleTerms, origin: Origin
    ) -> Rule:
        """Store a rule in its first version; a repeated request gets its first answer.

        Raises:
            CampaignMissingError, ReferenceMissingError, TemplateNeedsEventError, RuleExistsError,
            RequestIdReusedError.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            if request is not None:
                first = await QUERIES.select_rule_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    return _first_rule(first, request.request_id, request.digest)
            campaign = await QUERIES.lock_campaign(
                connection, tenant_id=tenant_id, campaign_id=campaign_id
            )
            if campaign is None:
                raise CampaignMissingError(campaign_id)
            await _check_references(connection, tenant_id, terms)
            try:
                created = [
                    row
                    async for row in QUERIES.insert_rule(
                        connection,
                        tenant_id=tenant_id,
                        rule_id=rule_id,
                        campaign_id=campaign_id,
                        name=terms.name,
                        request_id=request.request_id if request else None,
                        request_digest=request.digest if request else None,
                    )
                ]
            except asyncpg.UniqueViolationError as error:
                raise _rule_error(error, terms) from error
            if not created:
                # The same request at the same moment, of another campaign: the first one stands.
                assert request is not None
                first = await QUERIES.select_rule_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                return _first_rule(first, request.request_id, request.digest)
            return await self._write_version(
                connection, tenant_id, (rule_id, campaign_id, 1), terms, origin
            )

    async def update_rule(
        self,
        tenant_id: UUID,
        rule_id: UUID,
        *,
        etag: str,
        change: Callable[[Rule], RuleTerms],
        origin: Origin,
    ) -> Rule:
        """Store a rule's next version.

        Args:
            tenant_id, rule_id: which rule.
            etag: the version that may be changed; any if empty.
            change: gives the new terms, or raises what is wrong with them.
            origin: who asks.

        Raises:
            RuleMissingError, EtagMismatchError, ReferenceMissingError, TemplateNeedsEventError,
            RuleExistsError.
        """
        async with self._database.tenant(tenant_id) as connection:
            if not await QUERIES.lock_rule(connection, tenant_id=tenant_id, rule_id=rule_id):
                raise RuleMissingError(rule_id)
            current = rule_of(
                await QUERIES.select_rule(connection, tenant_id=tenant_id, rule_id=rule_id)
            )
            if etag and etag != current.etag:
                raise EtagMismatchError(rule_id)
            terms = change(current)
            await _check_references(connection, tenant_id, terms)
            version = current.version + 1
            try:
                await QUERIES.update_rule(
                    connection,
                    tenant_id=tenant_id,
                    rule_id=rule_id,
                    name=terms.name,
                    version=version,
                )
            except asyncpg.UniqueViolationError as error:
                raise _rule_error(error, terms) from error
            return await self._write_version(
                connection, tenant_id, (rule_id, current.campaign_id, version), terms, origin
            )

    async def list_rules(
        self,
        tenant_id: UUID,
        campaign_id: UUID | None,
        *,
        after: tuple[int, str, UUID] | None,
        count_max: int,
    ) -> list[Rule]:
        """Rules by priority, the highest first, then name; those behind `after` only."""
        priority, name, rule_id = after or (None, None, None)
        async with self._database.tenant(tenant_id) as connection:
            return [
                rule_of(row)
                async for row in QUERIES.list_rules(
                    connection,
                    tenant_id=tenant_id,
                    campaign_id=campaign_id,
                    after_priority=priority,
                    after_name=name,
                    after_rule_id=rule_id,
                    count_max=count_max,
                )
            ]

    async def _write_version(
        self,
        connection: Connection,
        tenant_id: UUID,
        key: tuple[UUID, UUID, int],
        terms: RuleTerms,
        origin: Origin,
    ) -> Rule:
        rule_id, campaign_id, version = key
        document = document_of(terms)
        created_at = await QUERIES.insert_rule_version(
            connection,
            tenant_id=tenant_id,
            rule_id=rule_id,
            version=version,
            document=orjson.dumps(document).decode(),
        )
        await self._changed(
            connection,
            tenant_id,
            origin,
            kind="rule_changed",
            details={
                "rule_id": str(rule_id),
                "version": version,
                "digest": hashlib.sha256(audit.canonical_row(document)).hexdigest(),
            },
        )
        return Rule(
            rule_id=rule_id,
            campaign_id=campaign_id,
            version=version,
            terms=terms,
            updated_at=created_at,
        )

    async def _changed(
        self,
        connection: Connection,
        tenant_id: UUID,
        origin: Origin,
        *,
        kind: str,
        details: Mapping[str, object],
    ) -> None:
        version = await QUERIES.bump_rule_set(connection, tenant_id=tenant_id)
        await audit.append(
            connection,
            kind=kind,
            actor=origin.actor,
            call_id=origin.call_id,
            details=dict(details) | {"rule_set_version": version},
        )


def _first_rule(row: asyncpg.Record, request_id: UUID, digest: bytes) -> Rule:
    if row["request_digest"] != digest:
        raise RequestIdReusedError(request_id)
    return rule_of(row)


def _rule_error(error: Any, terms: RuleTerms) -> BaseException:
    if error.constraint_name == "activation_rule_name_key":
        return RuleExistsError(terms.name)
    assert isinstance(error, BaseException)
    return error


async def _check_references(connection: Connection, tenant_id: UUID, terms: RuleTerms) -> None:
    found = await QUERIES.find_references(
        connection,
        tenant_id=tenant_id,
        segment_id=terms.segment_id,
        template_ids=[choice.template_id for choice in terms.choices],
        account_ids=[choice.account_id for choice in terms.choices],
    )
    if terms.segment_id is not None and not found["has_segment"]:
        raise ReferenceMissingError("rule.segment_id", "names no segment of the tenant")
    templates = orjson.loads(found["template_channels"])
    texts = orjson.loads(found["template_texts"])
    accounts = orjson.loads(found["account_channels"])
    for index, choice in enumerate(terms.choices):
        if templates.get(str(choice.template_id)) != choice.channel:
            raise ReferenceMissingError(
                f"rule.choices[{index}].template_id", "names no template of the channel"
            )
        if accounts.get(str(choice.account_id)) != choice.channel:
            raise ReferenceMissingError(
                f"rule.choices[{index}].account_id", "names no account of the channel"
            )
        place = find_event(texts[str(choice.template_id)]) if terms.trigger == "launch" else None
        if place is not None:
            raise TemplateNeedsEventError(
                f"rule.choices[{index}].template_id",
                place.name,
                line=place.line,
                column=place.column,
            )
