"""Origin of a request: the caller's address behind proxies, the host it names, the page it is from.

A browser sends requests to this service on behalf of any page. Such a page is told from the user's
own by two headers that it cannot set: `Origin` names the page's host, and `Host` the name by which
the browser found this service. Under DNS rebinding a foreign name leads here.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mint_ray.config.serving import LOOPBACK

Headers = Mapping[bytes, bytes]


class Proxies:
    """Reverse proxies whose X-Forwarded-For is believed.

    Args:
        trusted: addresses and networks, such as `10.0.0.0/8`.

    Raises:
        ValueError: an entry is neither.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ip_network(entry, strict=False) for entry in trusted]

    def caller(self, client: Sequence[object] | None, headers: Headers) -> str:
        """Return the address of the caller.

        Args:
            client: address and port of the peer, as ASGI gives them.
            headers: headers of the request, in lower case.
        """
        peer = str(client[0]) if client else "unknown"
        listed = headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
        addresses = [address for part in listed if (address := _address(part))]
        # Ray Serve's HTTP server believes the header from any program on this machine, and puts
        # the last outer address of it in the place of the peer's.
        outer = next((a for a in reversed(addresses) if a not in LOOPBACK), None)
        if peer == outer:
            peer = "127.0.0.1"
        if not self._is_trusted(peer):
            return peer
        return next((a for a in reversed(addresses) if not self._is_trusted(a)), peer)

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _address(text: str) -> str:
    """Return the address of an entry of X-Forwarded-For, which may have a port."""
    entry = text.strip()
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


class Hosts:
    """Names by which the service may be asked.

    Args:
        allowed: names without ports; empty for any name.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)

    def refusal(self, method: str, headers: Headers) -> tuple[int, str, str] | None:
        """Return status, reason and message for a request that a foreign page may have made.

        Args:
            method: HTTP method.
            headers: headers of the request, in lower case.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self._allowed and host and _name(host) not in self._allowed:
            text = "expected a Host header that names this service; see serving.allowed_hosts"
            return 403, "wrong_host", text
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        origin = headers.get(b"origin", b"").decode("latin-1")
        other_page = bool(origin) and not self._is_own(origin, host)
        if other_page or headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "cross_site", "expected a request from this service's own page"
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            netloc = urlsplit(origin).netloc
        except ValueError:
            return False
        return bool(netloc) and (netloc.lower() == host.lower() or _name(netloc) in self._allowed)


def _name(host: str) -> str:
    """Return the name of a host without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
