"""Campaigns: rules that act, pause and end together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

State = Literal["draft", "active", "paused", "ended"]
DISPLAY_NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """What a campaign is to be."""

    name: str
    display_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as stored."""

    campaign_id: UUID
    name: str
    display_name: str
    state: State
    created_at: datetime


def check_campaign(found: Fields, campaign: NewCampaign) -> None:
    """Note in `found` everything that is wrong with a new campaign."""
    found.name("name", campaign.name)
    found.text("display_name", campaign.display_name, length_max=DISPLAY_NAME_LENGTH_MAX)


def may_become(state: State, wanted: State) -> bool:
    """Whether a campaign may go from one state to another; never from the end or back to draft."""
    return state == wanted or (state != "ended" and wanted != "draft")
