"""Which addresses a webhook may have. What a restaurant types in is called from inside the installation's network."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import idna

MAX_URL_CHARACTERS = 500
_LABEL = "[a-z0-9_-]{1,63}"
_HOST_AND_PORT = re.compile(rf"(\[[0-9a-f:.]+\]|{_LABEL}(\.{_LABEL})*\.?)(:\d*)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)


def as_called(url: str) -> str:
    """With a host's name as name servers know it: xn--… for other letters. What cannot be written so is left to `refusal`."""
    try:
        host = urlsplit(url).netloc.partition(":")[0]
        return url if host.isascii() else url.replace(host, idna.encode(host, uts46=True).decode(), 1)
    except ValueError:
        return url


def refusal(url: str, *, private: bool) -> str:
    """Why this is no address for a webhook, in words; empty when it is one. `private`: this installation allows addresses of its
    own network, and HTTP without TLS."""
    if len(url) > MAX_URL_CHARACTERS:
        return f"The address has more than {MAX_URL_CHARACTERS} characters."
    if not url.isascii() or any(not one.isprintable() or one == " " for one in url):
        return "The address has a character that no address has; after the host's name it can be percent-encoded."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "This address cannot be read."
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        return "The address has to begin with https://." if not private else "The address has to begin with https:// or http://."
    if not host:
        return "The address names no host."
    if "@" in parts.netloc:
        return "The address must not carry a user or a password."
    if parts.fragment:
        return "An address with a # part cannot be called."
    if not _HOST_AND_PORT.fullmatch(parts.netloc):
        return "This is no host's name: it has letters, digits, - and dots alone, and nothing that is percent-encoded."
    literal = _literal(host)
    if literal is None and ":" in host:
        return "This address cannot be read."
    if literal is None and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return "This address cannot be read."  # 2130706433, 127.1: some read it as an IPv4 address
    if not private and (host == "localhost" or host.endswith(".localhost") or (literal is not None and not is_public(literal))):
        return "This address is inside the installation's own network, which is not allowed here."
    return ""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it lies outside every network that only its own members can reach."""
    if isinstance(address, IPv6Address):
        inner = _carried(address)
        return is_public(inner) if inner is not None else address.is_global and address in _UNICAST
    return address.is_global and not address.is_multicast


_UNICAST = IPv6Network("2000::/3")  # all that has been given out
_NAT64 = IPv6Network("64:ff9b::/96")


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that it leads to in the end."""
    return address.ipv4_mapped or address.sixtofour or (IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
