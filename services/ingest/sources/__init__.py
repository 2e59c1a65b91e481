"""Profile documents of other systems, one adapter a file, each a projection into our Profile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.fields import Fields
from libs.rpc.errors import FieldViolation
from services.ingest.domain.limits import DOCUMENT_BYTES_MAX
from services.ingest.domain.profile import check_profile
from services.ingest.errors import DocumentInvalidError, FieldInvalidError
from services.ingest.sources import leo_cdp
from services.ingest.sources.document import Document

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libs.rpc.errors import LeoError
    from services.ingest.domain.profile import Profile


@dataclass(frozen=True, slots=True)
class Source:
    """One form of document.

    Attributes:
        id_field: what the document calls the person's id, which it cannot do without.
    """

    id_field: str
    project: Callable[[Document], Profile]


SOURCES = {leo_cdp.NAME: Source(leo_cdp.ID_FIELD, leo_cdp.project)}


def read_document(
    source: str, text: str, place: str, now: datetime
) -> tuple[Profile | LeoError, list[FieldViolation]]:
    """The profile in a document, and what was left out of it; or why it cannot be one at all.

    Only what a projection asks for is read, so what else a document holds (passwords, cookies)
    goes nowhere.
    """
    known = SOURCES.get(source)
    if known is None:
        names = ", ".join(f'"{name}"' for name in sorted(SOURCES))
        violation = FieldViolation(f"{place}.source", f"is not a known source; known: {names}")
        return FieldInvalidError([violation]), []
    place = f"{place}.json"
    if len(text.encode()) > DOCUMENT_BYTES_MAX:
        violation = FieldViolation(place, f"is larger than {DOCUMENT_BYTES_MAX} bytes")
        return DocumentInvalidError(source, violation), []
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = ""
        if isinstance(error, json.JSONDecodeError):
            at = f" at line {error.lineno}, column {error.colno}"
        return DocumentInvalidError(source, FieldViolation(place, f"is not JSON{at}")), []
    if not isinstance(values, dict):
        return DocumentInvalidError(source, FieldViolation(place, "is not a JSON object")), []
    document = Document(values)
    profile = known.project(document)
    found = Fields(place)
    if not profile.ext_id:
        found.refuse(known.id_field, "is required, as text that can be stored")
    else:
        check_profile(found, profile, now=now)
    if found.violations:
        return DocumentInvalidError(source, found.violations[0]), document.warnings
    return profile, document.warnings
