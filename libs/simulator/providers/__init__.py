"""The providers: one file each, found by being here."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libs.simulator.provider import Provider


def find_providers() -> dict[str, type[Provider]]:
    """Import the modules of this folder in the order of their names; their providers by name."""
    found: dict[str, type[Provider]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        provider: type[Provider] = importlib.import_module(f"{__name__}.{module.name}").PROVIDER
        assert provider.name not in found, f"two providers are named {provider.name}"
        found[provider.name] = provider
    return found
