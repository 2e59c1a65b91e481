"""The launch: a segment is frozen, what would come of it is shown first, and then it is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from leo.decision.v1.decision_service_pb2 import CampaignLaunch, Decision
from libs.demo.outcome import OUTCOMES
from libs.demo.requests import request_id_of

if TYPE_CHECKING:
    from rich.console import Console

    import leo_sdk
    from leo.decision.v1.decision_service_pb2 import LaunchEstimate
    from libs.demo.campaign import Shop

_POLL_SECONDS: Final = 0.2


async def launch(console: Console, client: leo_sdk.LeoClient, shop: Shop) -> CampaignLaunch:
    """Freeze the segment, tell what would come of the launch, and launch.

    A second run finds snapshot and launch there; its estimate is of now.
    """
    snapshot = await client.segments.create_snapshot(
        shop.segment_id, request_id=request_id_of("snapshot")
    )
    console.print(
        f"Frozen: {snapshot.member_count:,} people are in the segment, whatever becomes of them "
        f"later (digest {snapshot.digest.hex()[:16]}…).",
        soft_wrap=True,
        highlight=False,
    )
    estimate = await client.decisions.estimate_launch(shop.launch_rule_id, snapshot.snapshot_id)
    console.print(f"What would come of it now: {_in_words(estimate)}.", highlight=False)
    return await client.decisions.launch_campaign(
        shop.launch_rule_id, snapshot.snapshot_id, request_id=request_id_of("launch")
    )


async def until_decided(client: leo_sdk.LeoClient, launch_id: str) -> None:
    """Wait until every member of the launch has a decision."""
    while True:
        found = await client.decisions.get_campaign_launch(launch_id)
        if found.launch.state == CampaignLaunch.STATE_SUCCEEDED:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _in_words(estimate: LaunchEstimate) -> str:
    channels = ", ".join(f"{each.count:,} by {each.channel}" for each in estimate.channel_counts)
    told = []
    for each in estimate.outcome_counts:
        outcome = Decision.Outcome.Name(each.outcome).removeprefix("OUTCOME_").lower()
        words = OUTCOMES.get(outcome, outcome)
        told.append(f"{each.count:,} {words}" + f" ({channels})" * (outcome == "acted"))
    return "; ".join(told) or "nothing: nobody is in it"
