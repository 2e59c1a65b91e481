from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import Struct

from leo.ingest.v1 import ingest_service_pb2 as pb
from libs.rpc.readable import find_unreadable_field

BATCH = pb.BatchUpsertProfilesRequest.DESCRIPTOR


def broken(message: pb.BatchUpsertProfilesRequest) -> bytes:
    """Serialize, with each XXX turned into a lone surrogate as CESU-8 writes it."""
    return message.SerializeToString().replace(b"XXX", b"\xed\xa0\x80")


def profiles(*inputs: pb.Profile) -> pb.BatchUpsertProfilesRequest:
    return pb.BatchUpsertProfilesRequest(
        profiles=[pb.ProfileInput(profile=profile) for profile in inputs]
    )


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (profiles(pb.Profile(ext_id="XXX")), "profiles[0].profile.ext_id"),
        (profiles(pb.Profile(), pb.Profile(city="aXXX")), "profiles[1].profile.city"),
        (
            profiles(pb.Profile(emails=["a@b.vn", "Đà Nẵng", "XXX"])),
            "profiles[0].profile.emails[2]",
        ),
        (
            profiles(pb.Profile(push_addresses=[pb.PushAddress(address="XXX")])),
            "profiles[0].profile.push_addresses[0].address",
        ),
        (
            pb.BatchUpsertProfilesRequest(
                profiles=[pb.ProfileInput(document=pb.SourceDocument(json='{"a": "XXX"}'))]
            ),
            "profiles[0].document.json",
        ),
        (profiles(pb.Profile(ext_id="fine")), ""),
    ],
)
def test_the_path_of_the_first_unreadable_text(
    message: pb.BatchUpsertProfilesRequest, path: str
) -> None:
    assert find_unreadable_field(broken(message), BATCH) == path


@pytest.mark.parametrize("where", ["key", "value"])
def test_what_the_caller_named_is_not_repeated(where: str) -> None:
    attributes = Struct()
    attributes.update({"canaryXXX": 1} if where == "key" else {"canary": ["XXX"]})
    data = broken(profiles(pb.Profile(attributes=attributes)))
    assert find_unreadable_field(data, BATCH) == "profiles[0].profile.attributes"


def test_bytes_that_end_too_early_name_no_field() -> None:
    data = profiles(pb.Profile(ext_id="fine")).SerializeToString()
    assert find_unreadable_field(data[:-1], BATCH) == ""


def test_a_part_that_ends_too_early_is_named() -> None:
    # profiles[0].profile says that it is 3 bytes long, and its text that it is 9.
    assert find_unreadable_field(b"\x0a\x05\x0a\x03\x12\x09a", BATCH) == "profiles[0].profile"


def test_unknown_fields_are_passed_by() -> None:
    unknown = b"\xfa\x07\x02\xff\xff"
    data = unknown + broken(profiles(pb.Profile(ext_id="XXX")))
    assert find_unreadable_field(data, BATCH) == "profiles[0].profile.ext_id"


def test_a_deep_message_ends_the_search() -> None:
    value = b"\xff"
    for _ in range(300):
        value = b"\x0a" + _varint(len(value)) + value
    assert find_unreadable_field(value, BATCH) == "profiles[0].profile.profile_id"


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
