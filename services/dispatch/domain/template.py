"""A message template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.fields import NAME_LENGTH_MAX
from services.dispatch.domain.limits import (
    PROVIDER_TEMPLATE_ID_LENGTH_MAX,
    TEXT_COUNT_MAX,
    TEXT_LENGTH_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTemplate:
    """What a template is to be; `data` holds its texts by name, in NFC."""

    name: str
    channel: str
    provider_template_id: str
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as stored."""

    template_id: UUID
    version: int
    name: str
    channel: str
    provider_template_id: str
    data: Mapping[str, str]
    updated_at: datetime


def check_new_template(
    found: Fields,
    template: NewTemplate,
    *,
    channels: Collection[str],
    provider_template_channels: Collection[str],
) -> None:
    """Note in `found` what is wrong around the texts; what stands in them is rendering's to say.

    Args:
        found: where it is noted.
        template: what is to be stored.
        channels: the names of all channels.
        provider_template_channels: of those whose provider sends nothing but its own templates.
    """
    found.name("name", template.name)
    if template.channel not in channels:
        found.refuse("channel", f"must be one of: {', '.join(sorted(channels))}")
    if template.channel in provider_template_channels and not template.provider_template_id:
        found.refuse("provider_template_id", f"is required by {template.channel}")
    found.text(
        "provider_template_id",
        template.provider_template_id,
        length_max=PROVIDER_TEMPLATE_ID_LENGTH_MAX,
    )
    if not template.data:
        found.refuse("data", "is required")
    found.count("data", len(template.data), TEXT_COUNT_MAX)
    for name, text in template.data.items():
        if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
            found.refuse("data", f"has a name that is not 1 to {NAME_LENGTH_MAX} characters")
        else:
            found.text(f"data.{name}", text, length_max=TEXT_LENGTH_MAX, required=True)
