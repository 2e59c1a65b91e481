"""The channels by name; a module of this folder that has a CHANNEL is one of them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.dispatch.channels.contract import Channel


def by_name(channels: Iterable[Channel]) -> dict[str, Channel]:
    """The channels by name.

    Raises:
        ValueError: two have one name.
    """
    found: dict[str, Channel] = {}
    for channel in channels:
        other = found.setdefault(channel.name, channel)
        if other is not channel:
            modules = " and ".join(sorted(type(each).__module__ for each in (channel, other)))
            raise ValueError(f"two channels are named {channel.name!r}: {modules}")
    return found


def _load() -> dict[str, Channel]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return by_name(module.CHANNEL for module in modules if hasattr(module, "CHANNEL"))


CHANNELS: Final = _load()
