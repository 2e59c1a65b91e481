"""Launches as they are stored and read; members.py decides about whom they go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libs import audit
from services.decision.domain.launching import CampaignLaunch
from services.decision.errors import (
    CampaignInactiveError,
    LaunchMissingError,
    RequestIdReusedError,
)
from services.decision.store.prepared import prepared_launch
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.decision.domain.rule import Rule


class Launches:
    """The table campaign_launch."""

    _database: Database

    async def create_launch(
        self,
        tenant_id: UUID,
        launch_id: UUID,
        *,
        rule_id: UUID,
        snapshot_id: UUID,
        check: Callable[[Rule], None],
        origin: Origin,
    ) -> CampaignLaunch:
        """Store a launch of a rule over a snapshot; a repeated request gets its first answer.

        Args:
            tenant_id, launch_id, rule_id, snapshot_id: which.
            check: raises what is wrong with the rule by itself.
            origin: who asks.

        Raises:
            RuleMissingError, RuleTriggerError, RuleNotValidError, SnapshotMissingError,
            CampaignInactiveError, RequestIdReusedError.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            if request is not None:
                first = await QUERIES.select_launch_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    return await _first_launch(connection, tenant_id, first, origin)
            launch = await prepared_launch(connection, tenant_id, rule_id, snapshot_id, origin)
            check(launch.rule)
            if launch.campaign_state != "active":
                raise CampaignInactiveError(launch.rule.campaign_id, launch.campaign_state)
            created_at = await QUERIES.insert_launch(
                connection,
                tenant_id=tenant_id,
                launch_id=launch_id,
                campaign_id=launch.rule.campaign_id,
                rule_id=rule_id,
                rule_version=launch.rule.version,
                snapshot_id=snapshot_id,
                actor=origin.actor,
                request_id=request.request_id if request else None,
                request_digest=request.digest if request else None,
            )
            if created_at is None:
                # The same request at the same moment: the first one stands.
                assert request is not None
                first = await QUERIES.select_launch_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                return await _first_launch(connection, tenant_id, first, origin)
            await audit.append(
                connection,
                kind="campaign_launched",
                actor=origin.actor,
                call_id=origin.call_id,
                details={
                    "launch_id": str(launch_id),
                    "rule_id": str(rule_id),
                    "rule_version": launch.rule.version,
                    "snapshot_id": str(snapshot_id),
                    "snapshot_digest": launch.snapshot.digest.hex(),
                    "member_count": launch.snapshot.member_count,
                },
            )
            return await _launch(connection, tenant_id, launch_id)

    async def get_launch(
        self, tenant_id: UUID, launch_id: UUID
    ) -> tuple[CampaignLaunch, dict[str, int]]:
        """One launch, and its decisions by outcome. Raises LaunchMissingError."""
        async with self._database.tenant(tenant_id) as connection:
            launch = await _launch(connection, tenant_id, launch_id)
            counts = {
                row["outcome"]: row["count"]
                async for row in QUERIES.count_outcomes(
                    connection, tenant_id=tenant_id, launch_id=launch_id
                )
            }
        return launch, counts

    async def list_launches(
        self,
        tenant_id: UUID,
        campaign_id: UUID | None,
        *,
        before: UUID | None,
        count_max: int,
    ) -> list[CampaignLaunch]:
        """Launches, the newest first; those before an id only."""
        async with self._database.tenant(tenant_id) as connection:
            return await _launches(
                connection, tenant_id, campaign_id=campaign_id, before=before, count_max=count_max
            )


async def _launch(connection: Connection, tenant_id: UUID, launch_id: UUID) -> CampaignLaunch:
    found = await _launches(connection, tenant_id, launch_id=launch_id)
    if not found:
        raise LaunchMissingError(launch_id)
    return found[0]


async def _launches(
    connection: Connection,
    tenant_id: UUID,
    *,
    launch_id: UUID | None = None,
    campaign_id: UUID | None = None,
    before: UUID | None = None,
    count_max: int = 1,
) -> list[CampaignLaunch]:
    return [
        CampaignLaunch(**row)
        async for row in QUERIES.select_launches(
            connection,
            tenant_id=tenant_id,
            launch_id=launch_id,
            campaign_id=campaign_id,
            before=before,
            count_max=count_max,
        )
    ]


async def _first_launch(
    connection: Connection, tenant_id: UUID, first: Mapping[str, Any], origin: Origin
) -> CampaignLaunch:
    assert origin.request is not None
    if first["request_digest"] != origin.request.digest:
        raise RequestIdReusedError(origin.request.request_id)
    return await _launch(connection, tenant_id, first["launch_id"])
