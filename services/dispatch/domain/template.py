"""A message template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libs.fields import NAME_LENGTH_MAX
from services.dispatch.domain.limits import (
    PROVIDER_TEMPLATE_ID_LENGTH_MAX,
    TEXT_COUNT_MAX,
    TEXT_LENGTH_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """What holds for one text of a channel's templates.

    Attributes:
        required: whether a template must have it.
        length_max: in characters, in the template and for each person.
        markup: whether it is HTML, into which values are escaped.
    """

    required: bool
    length_max: int = TEXT_LENGTH_MAX
    markup: bool = False


# What holds where a channel says nothing.
ANY_TEXT: Final = TextRule(required=False)


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
    found: Fields, template: NewTemplate, *, texts: Mapping[str, Mapping[str, TextRule] | None]
) -> None:
    """Note in `found` what is wrong around the texts; what stands in them is rendering's to say.

    Args:
        found: where it is noted.
        template: what is to be stored.
        texts: for each channel, the texts that its templates have; None for those whose provider
            sends nothing but its own templates.
    """
    found.name("name", template.name)
    if template.channel not in texts:
        found.refuse("channel", f"must be one of: {', '.join(sorted(texts))}")
    rules = texts.get(template.channel)
    if template.channel in texts and rules is None and not template.provider_template_id:
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
        elif rules is not None and name not in rules:
            found.refuse(f"data.{name}", f"is none of {', '.join(rules)}")
        else:
            rule = rules[name] if rules else ANY_TEXT
            found.text(f"data.{name}", text, length_max=rule.length_max, required=True)
    for name, rule in (rules or {}).items():
        if rule.required and name not in template.data and template.data:
            found.refuse(f"data.{name}", f"is required by {template.channel}")
