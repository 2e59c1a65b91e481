"""What an address is: on this machine, in a private network, or on the internet."""

from __future__ import annotations

import ipaddress

from libs.rpc.errors import StartError


def split_address(address: str) -> tuple[str, int]:
    """Split "host:port" or "[IPv6]:port".

    Raises:
        StartError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise StartError(f'"{address}" is no address; write host:port, such as 127.0.0.1:7051')
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Say whether what is sent to `address` stays on this machine.

    Raises:
        StartError: it is no address.
    """
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another name may point anywhere tomorrow.
        return False


def is_public(host: str) -> bool:
    """Say whether an IP address is one of the internet, and so neither private nor loopback.

    Raises:
        ValueError: it is no IP address.
    """
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def check_plaintext(address: str, *, behind_tls_proxy: bool, setting: str) -> None:
    """Refuse an address on which plaintext would leave this machine.

    Raises:
        StartError: `address` is not on loopback, and `setting` does not say that a proxy ends TLS.
    """
    if not is_loopback(address) and not behind_tls_proxy:
        raise StartError(
            f"plaintext may not listen on {address}: use a loopback address, or set "
            f"{setting}=true if a proxy in front ends TLS"
        )
