"""LEO CDP's `cdp_profile` (ArangoDB) as a Profile.

Field names, codes and traps are those of the CDP's public source (Java, August 2026). Bulk writers
leave nulls, wrong types and raw input there: none of it may stop a sync or reach a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libs.addressing import normal_email, normal_phone
from libs.fields import NAME_LENGTH_MAX
from services.ingest.domain.limits import (
    EMAIL_COUNT_MAX,
    EXT_ID_LENGTH_MAX,
    LABEL_COUNT_MAX,
    MONEY_VND_MAX,
    PHONE_COUNT_MAX,
    PUSH_ADDRESS_COUNT_MAX,
    PUSH_ADDRESS_LENGTH_MAX,
    SEGMENT_COUNT_MAX,
    SOURCE_REVISION_LENGTH_MAX,
    TEXT_LENGTH_MAX,
)
from services.ingest.domain.profile import (
    BirthDate,
    Context,
    Gender,
    Profile,
    PushAddress,
    State,
)

if TYPE_CHECKING:
    from services.ingest.sources.document import Document

NAME = "leo-cdp"
ID_FIELD = "_key"

# 2 to 6 are other genders, 7 is unknown.
_GENDERS: dict[int, Gender] = {
    0: "female",
    1: "male",
    2: "other",
    3: "other",
    4: "other",
    5: "other",
    6: "other",
    7: "",
}
_CONTEXTS: dict[int, Context] = {1: "production", 0: "test", -1: "fake"}
_HINTS = {
    "receiveEmail": "email",
    "receiveSMS": "sms",
    "receiveWebPush": "web-push",
    "receiveAppPush": "app-push",
    "receiveAds": "ads",
}
# Kept as attributes under our names: what conditions on people are likely to ask for.
_TEXT_LISTS = {
    "mediaChannels": "media_channels",
    "contentKeywords": "content_keywords",
    "productKeywords": "product_keywords",
    "personalInterests": "personal_interests",
    "jobTitles": "job_titles",
    "behavioralEvents": "behavioral_events",
    "purchasedItemIds": "purchased_item_ids",
}
_SCORES = {
    "dataQualityScore": "data_quality_score",
    "totalLeadScore": "lead_score",
    "totalProspectScore": "prospect_score",
    "totalEngagementScore": "engagement_score",
    "totalLoyaltyScore": "loyalty_score",
    "rfmScore": "rfm_score",
}


def project(document: Document) -> Profile:
    """One cdp_profile document as a Profile; what cannot be used is in document.warnings.

    A document without a usable `_key` gives a profile without ext_id, which is refused.
    """
    root = document.text("rootProfileId", length_max=EXT_ID_LENGTH_MAX)
    state = _state(document, root)
    return Profile(
        ext_id=document.text(ID_FIELD, length_max=EXT_ID_LENGTH_MAX),
        state=state,
        merged_into_ext_id=root if state == "merged" else "",
        context=_context(document),
        given_name=document.text("firstName", length_max=TEXT_LENGTH_MAX),
        middle_name=document.text("middleName", length_max=TEXT_LENGTH_MAX),
        family_name=document.text("lastName", length_max=TEXT_LENGTH_MAX),
        gender=_gender(document),
        birth_date=_birth_date(document),
        language=document.text("primaryLanguage", length_max=NAME_LENGTH_MAX),
        city=document.text("livingCity", length_max=TEXT_LENGTH_MAX),
        country=document.text("livingCountry", length_max=TEXT_LENGTH_MAX),
        emails=document.addresses(
            ("primaryEmail", "secondaryEmails"),
            normal_email,
            what="an email address",
            count_max=EMAIL_COUNT_MAX,
        ),
        phones=document.addresses(
            ("primaryPhone", "secondaryPhones"),
            normal_phone,
            what="a phone number that can exist",
            count_max=PHONE_COUNT_MAX,
        ),
        zalo_user_id=_zalo_user_id(document),
        push_addresses=_push_addresses(document),
        labels=document.texts("dataLabels", count_max=LABEL_COUNT_MAX, length_max=TEXT_LENGTH_MAX),
        source_segment_ids=_segment_ids(document),
        funnel_stage=document.text("funnelStage", length_max=TEXT_LENGTH_MAX),
        transaction_value_vnd=_money(document, "totalTransactionValue"),
        lifetime_value_vnd=_money(document, "totalCLV"),
        churn_score=_churn_score(document),
        consent_hints=_consent_hints(document),
        attributes=_attributes(document),
        source_updated_at=document.time("updatedAt"),
        source_revision=document.text("_rev", length_max=SOURCE_REVISION_LENGTH_MAX),
    )


def _state(document: Document, root: str) -> State:
    status = document.integer("status")
    if status is not None and status > 0:
        return "active"
    return "merged" if root else "inactive"


def _context(document: Document) -> Context:
    code = document.integer("dataContext")
    # The CDP sends to 1 alone; what says nothing is not sent to either.
    context = _CONTEXTS.get(code) if code is not None else None
    if context is None:
        document.warn(
            "dataContext", "is not 1, 0 or -1; taken as test data, which is never sent to"
        )
        return "test"
    return context


def _gender(document: Document) -> Gender:
    code = document.integer("gender")
    if code is None:
        return ""
    if code not in _GENDERS:
        document.warn("gender", "is not a code from 0 to 7")
    return _GENDERS.get(code, "")


def _birth_date(document: Document) -> BirthDate | None:
    time = document.time("dateOfBirth")
    if time is None:
        return None
    birth_date = BirthDate(time.year, time.month, time.day)
    if not birth_date.valid():
        document.warn("dateOfBirth", "is no birthday since 1900")
        return None
    return birth_date


def _zalo_user_id(document: Document) -> str:
    """The user's id at Zalo, where the CDP may have it: social media, identities, CRM reference."""
    found = document.mapping("socialMediaProfiles").get("zalo")
    candidates = [found] if isinstance(found, str) else []
    identities = document.texts("identities", count_max=SEGMENT_COUNT_MAX, length_max=512)
    candidates += [value.removeprefix("zalo:") for value in identities if value.startswith("zalo:")]
    reference = document.text("crmRefId", length_max=EXT_ID_LENGTH_MAX)
    if reference.startswith("zalo-"):
        candidates.append(reference.removeprefix("zalo-"))
    for candidate in candidates:
        if candidate.isascii() and candidate.isdigit() and len(candidate) <= EXT_ID_LENGTH_MAX:
            return candidate
        if candidate:
            document.warn(
                "socialMediaProfiles.zalo", "is not a Zalo user id, which has digits only"
            )
    return ""


def _push_addresses(document: Document) -> tuple[PushAddress, ...]:
    found: dict[PushAddress, None] = {}
    for provider, addresses in document.mapping("notificationUserIds").items():
        place = f"notificationUserIds.{provider}"
        if not isinstance(addresses, list) or not 1 <= len(provider) <= NAME_LENGTH_MAX:
            document.warn(place, "is not a provider with a list of addresses")
            continue
        for index, address in enumerate(addresses):
            usable = isinstance(address, str) and 1 <= len(address) <= PUSH_ADDRESS_LENGTH_MAX
            if usable and address.isprintable():
                found[PushAddress(provider, address)] = None
            else:
                document.warn(f"{place}[{index}]", "is not an address")
    if len(found) > PUSH_ADDRESS_COUNT_MAX:
        document.warn("notificationUserIds", "has too many addresses; the first ones are kept")
    return tuple(found)[:PUSH_ADDRESS_COUNT_MAX]


def _segment_ids(document: Document) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for place, segment in document.objects("inSegments"):
        if segment_id := segment.text("id", length_max=EXT_ID_LENGTH_MAX):
            found[segment_id] = None
        else:
            document.warn(place, "has no id")
    if len(found) > SEGMENT_COUNT_MAX:
        document.warn("inSegments", f"has more than {SEGMENT_COUNT_MAX}; the first ones are kept")
    return tuple(found)[:SEGMENT_COUNT_MAX]


def _money(document: Document, field: str) -> int:
    number = document.number(field)
    if number is None:
        return 0
    if abs(number) >= MONEY_VND_MAX:
        document.warn(field, "is out of range")
        return 0
    return round(number)


def _churn_score(document: Document) -> float | None:
    score = document.number("churnScore")
    if score is not None and not 0 <= score <= 1:
        document.warn("churnScore", "is not from 0 to 1")
        return None
    return score


def _consent_hints(document: Document) -> dict[str, bool]:
    hints = {}
    for field, channel in _HINTS.items():
        flag = document.integer(field)
        if flag in (1, -1):
            hints[channel] = flag == 1
        elif flag not in (0, None):
            document.warn(field, "is not 1, 0 or -1")
    return hints


def _attributes(document: Document) -> dict[str, Any]:
    """What has no column: under our names, and the sites' own under "ext"."""
    attributes: dict[str, Any] = {}
    for field, name in _TEXT_LISTS.items():
        if texts := document.texts(field, count_max=LABEL_COUNT_MAX, length_max=TEXT_LENGTH_MAX):
            attributes[name] = list(texts)
    for field, name in _SCORES.items():
        if (score := document.number(field)) is not None:
            attributes[name] = int(score) if score.is_integer() else score
    if (kind := document.integer("type")) is not None:
        attributes["type"] = kind
    statistics = _event_statistics(document)
    if statistics:
        attributes["event_statistics"] = statistics
    ext = document.mapping("extAttributes")
    if ext and (stored := document.storable("extAttributes", ext)):
        attributes["ext"] = stored
    return {name: value for name, value in attributes.items() if document.storable(name, value)}


def _event_statistics(document: Document) -> dict[str, int]:
    """Counts by metric, as in "id_default_journey-page-view": 12."""
    statistics = {}
    for metric, count in document.mapping("eventStatistics").items():
        if isinstance(count, int) and not isinstance(count, bool):
            statistics[metric] = count
        else:
            document.warn(f"eventStatistics.{metric}", "is not a whole number")
    return statistics
