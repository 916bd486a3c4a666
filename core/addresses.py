"""Which addresses are of the open internet, in every spelling and through every translation."""

import ipaddress
import socket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Spelt out, because what `is_global` means has changed between Python's patch releases.
_INTERNAL_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own services, although the address is a public one
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_INTERNAL_V6 = [ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")]
# Networks whose addresses carry an IPv4 address, and how far it is shifted to the left: mapped, NAT64, 6to4.
_TRANSLATED = [
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
]
# ISATAP (RFC 5214): under any prefix, these four bytes before an IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: IPAddress) -> bool:
    """Whether `address` is one of the open internet, through every translation that it may carry."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _INTERNAL_V4)
    if address.scope_id is not None:
        return False
    for network, shift in _TRANSLATED:
        if address in network:
            return is_public(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and not is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)):
        return False
    return address in _PUBLIC_V6 and not any(address in network for network in _INTERNAL_V6)


def literal_address(host: str) -> IPAddress | None:
    """The address that `host` spells: dotted, short, decimal, octal or hexadecimal, or IPv6; None for a
    name."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host)
        except ValueError:
            return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None
