"""The rules of the house that no linter knows."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_settings import BaseSettings

import libs
import services
from leo.decision.v1 import decision_service_pb2
from leo.decision.v1 import error_reason_pb2 as decision_reasons
from leo.dispatch.v1 import dispatch_service_pb2
from leo.dispatch.v1 import error_reason_pb2 as dispatch_reasons
from leo.ingest.v1 import error_reason_pb2 as ingest_reasons
from leo.ingest.v1 import ingest_service_pb2
from leo.options.v1 import access_pb2
from leo.rpc.v1 import error_reason_pb2 as door_reasons
from leo.segment.v1 import error_reason_pb2 as segment_reasons
from leo.segment.v1 import segment_service_pb2
from libs.rpc.errors import LeoError
from libs.simulator.providers import find_providers
from libs.torture import ways as torture
from services.dispatch.channels import CHANNELS
from tests.contract.channels.rigs import RIGS
from tests.repo.files import ROOT, tracked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

REASONS: dict[str, Any] = {
    "leo": door_reasons.ErrorReason,
    "ingest.leo": ingest_reasons.ErrorReason,
    "segment.leo": segment_reasons.ErrorReason,
    "decision.leo": decision_reasons.ErrorReason,
    "dispatch.leo": dispatch_reasons.ErrorReason,
}
SERVICES: dict[str, ServiceDescriptor] = {
    "ingest": ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"],
    "segment": segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"],
    "decision": decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    "dispatch": dispatch_service_pb2.DESCRIPTOR.services_by_name["DispatchService"],
}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        skipped = (".protogen", ".leo_sdk", "__main__")
        if not any(part in found.name for part in skipped):
            yield importlib.import_module(found.name)


def subclasses(of: type, prefixes: tuple[str, ...]) -> set[Any]:
    for package in (libs, services):
        list(modules(package))
    found: set[Any] = set()
    waiting: list[Any] = [of]
    while waiting:
        for subclass in waiting.pop().__subclasses__():
            waiting.append(subclass)
            if subclass.__module__.startswith(prefixes):
                found.add(subclass)
    return found


def methods() -> list[tuple[str, MethodDescriptor]]:
    return [
        (context, method) for context, service in SERVICES.items() for method in service.methods
    ]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize(
    ("context", "method"), methods(), ids=lambda value: getattr(value, "name", value)
)
def test_each_rpc_has_a_scope_a_use_case_a_test_and_a_comment(
    context: str, method: MethodDescriptor
) -> None:
    assert method.GetOptions().Extensions[access_pb2.scope]
    usecases = importlib.import_module(f"services.{context}.usecases")
    assert callable(getattr(usecases, snake(method.name)))
    tests = "".join(path.read_text() for path in tracked(f"tests/contract/{context}/*.py"))
    assert f".{snake(method.name)}(" in tests or f".{method.name}(" in tests
    proto = (ROOT / f"protos/leo/{context}/v1/{context}_service.proto").read_text()
    assert f"// {method.name} " in proto


def test_every_scope_stands_in_the_documentation() -> None:
    documentation = (ROOT / "docs/reference/authentication.md").read_text()
    for _, method in methods():
        assert f"`{method.GetOptions().Extensions[access_pb2.scope]}`" in documentation


def test_each_error_has_a_registered_reason_of_its_own() -> None:
    raised = {
        (error.domain, error.reason)
        for error in subclasses(LeoError, ("libs.", "services."))
        if isinstance(getattr(error, "reason", None), str)
    }
    for domain, reason in raised:
        assert f"ERROR_REASON_{reason}" in REASONS[domain].keys(), reason  # noqa: SIM118


def test_each_reason_is_documented_and_used() -> None:
    documentation = (ROOT / "docs/reference/errors.md").read_text()
    raised = {
        getattr(error, "reason", None) for error in subclasses(LeoError, ("libs.", "services."))
    } | {"INTERNAL"}
    for register in REASONS.values():
        for name in register.keys():  # noqa: SIM118 - an enum, not a mapping
            reason = name.removeprefix("ERROR_REASON_")
            if reason != "UNSPECIFIED":
                assert f"| {reason} |" in documentation
                assert reason in raised


def test_each_setting_is_documented() -> None:
    documentation = (ROOT / "docs/reference/settings.md").read_text()
    found = subclasses(BaseSettings, ("libs.", "services."))
    assert found
    for settings in found:
        prefix = settings.model_config["env_prefix"]
        for name in settings.model_fields:
            assert f"`{prefix}{name.upper()}`" in documentation, f"{prefix}{name.upper()}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
    for path in tracked("*.py"):
        assert not empty & set(path.relative_to(ROOT).with_suffix("").parts), path


def test_each_channel_has_a_provider_a_rig_a_test_a_schedule_and_a_row() -> None:
    table = (ROOT / "docs/reference/channels.md").read_text()
    for name in CHANNELS:
        assert name in find_providers()
        assert name in RIGS
        assert name in torture.CHANNELS
        assert (ROOT / f"tests/contract/channels/test_{name.replace('-', '_')}.py").exists()
        assert f"\n| `{name}` |" in table
        assert f"\n## {name}\n" in table


def test_dispatch_knows_no_channel_by_its_name() -> None:
    for path in tracked("services/dispatch/*.py"):
        own = path.relative_to(ROOT / "services/dispatch").parts
        for name, channel in CHANNELS.items():
            if f'"{name}"' in path.read_text():
                module = type(channel).__module__.split(".")[3]
                assert own[:2] in {("channels", module), ("channels", f"{module}.py")}, path


def test_sql_stands_only_where_sql_stands() -> None:
    statement = re.compile(r'"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER|CREATE)\s', re.ASCII)
    # The bench's bare insert is what it compares with; people and the demo ask by hand; what people
    # read as the schema is SQL that no service runs.
    tools = (
        "libs/bench",
        "libs/demo",
        "libs/cli",
        "libs/supervisor",
        "libs/embedded",
        "libs/schema",
    )
    for path in [*tracked("services/*.py"), *tracked("libs/*.py")]:
        place = str(path.relative_to(ROOT))
        if place.startswith(tools):
            continue
        for found in statement.finditer(path.read_text()):
            assert found.group(0).strip() == '"SELECT', place
            assert '"SELECT 1"' in path.read_text(), place


def test_migrations_are_numbered_and_go_both_ways() -> None:
    numbers = []
    for path in tracked("migrations/[0-9]*.sql"):
        found = re.fullmatch(r"(\d{12})_[a-z0-9_]+\.sql", path.name)
        assert found, path
        numbers.append(found.group(1))
        text = path.read_text()
        assert text.index("-- migrate:up") < text.index("-- migrate:down")
    assert numbers
    assert len(set(numbers)) == len(numbers)


def test_nothing_is_left_over() -> None:
    # Put together here, so that this file does not find itself.
    words = re.compile("|".join(("TO" + "DO", "FIX" + "ME", r"breakpoint" + r"\(")))
    for path in [*tracked("*.py"), *tracked("*.sql"), *tracked("*.proto"), *tracked("*.md")]:
        if "protogen" not in path.parts:
            assert not words.search(path.read_text()), path


def test_python_never_runs_without_assertions() -> None:
    for path in [*tracked("Makefile"), *tracked("*.py"), *tracked(".ci/*")]:
        assert not re.search(r"python\S* [-]O", path.read_text()), path


def test_decisions_are_numbered_without_a_gap_and_say_their_status() -> None:
    pages = sorted(tracked("docs/decisions/*.md"))
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04}-")
        text = page.read_text()
        for part in ("\nStatus: ", "\n## Context", "\n## Decision", "\n## Consequences"):
            assert part in text, page


def test_links_between_pages_lead_somewhere() -> None:
    for page in tracked("*.md"):
        for name, place in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            target = page.parent / name if name else page
            assert target.exists(), f"{page}: {name}"
            assert not place or place in headings(target), f"{page}: {name}#{place}"


def headings(page: Path) -> set[str]:
    """What links call the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
