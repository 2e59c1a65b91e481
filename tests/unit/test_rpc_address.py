from __future__ import annotations

import pytest

from libs.rpc.address import check_plaintext, is_loopback, split_address
from libs.rpc.errors import StartError


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:7051", True),
        ("127.8.8.8:0", True),
        ("localhost:7051", True),
        ("[::1]:7051", True),
        ("0.0.0.0:7051", False),
        ("[::]:7051", False),
        ("192.168.1.5:7051", False),
        ("localhost.example.org:7051", False),
    ],
)
def test_what_stays_on_this_machine(address: str, *, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize("address", ["", "7051", ":7051", "localhost", "localhost:", "a:b", "a:-1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(StartError, match="host:port"):
        split_address(address)


def test_an_ipv6_address_loses_its_brackets() -> None:
    assert split_address("[::1]:70") == ("::1", 70)


def test_beyond_loopback_the_setting_is_named() -> None:
    with pytest.raises(StartError, match="LEO_X_PROXY=true"):
        check_plaintext("0.0.0.0:1", behind_tls_proxy=False, setting="LEO_X_PROXY")
    check_plaintext("0.0.0.0:1", behind_tls_proxy=True, setting="LEO_X_PROXY")
    check_plaintext("127.0.0.1:1", behind_tls_proxy=False, setting="LEO_X_PROXY")
