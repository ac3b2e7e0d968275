"""Who asks, by which name, and from which page."""

import json
import time
from typing import Any

import pytest

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.serving.http.origin import Hosts, Proxies
from mint_ray.serving.http.security import ApiKeys, RateLimit
from tests.serving.http.test_guard import Guard, ask, echo


def caller(trusted: list[str], peer: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode()}
    return Proxies(trusted).caller((peer, 1), headers)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ([], "192.0.2.1", None, "192.0.2.1"),
        ([], "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ([], "127.0.0.1", "198.51.100.7", "127.0.0.1"),
        # The server has believed the header already, from a program on this machine.
        ([], "198.51.100.7", "198.51.100.7", "127.0.0.1"),
        ([], "198.51.100.7", "198.51.100.7:4711, 127.0.0.1", "127.0.0.1"),
        ([], "2001:db8::7", "[2001:db8::7]:4711", "127.0.0.1"),
        (["127.0.0.1"], "198.51.100.7", "198.51.100.7", "198.51.100.7"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.9, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        (["10.0.0.0/8"], "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (["10.0.0.0/8"], "10.1.2.3", "", "10.1.2.3"),
    ],
)
def test_an_address_is_believed_from_known_proxies_alone(
    trusted: list[str], peer: str, forwarded: str | None, expected: str
) -> None:
    assert caller(trusted, peer, forwarded) == expected


def test_a_forged_address_does_not_escape_the_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 60 * 10**6 + 30.0)  # the middle of a minute
    made = Guard(echo, ApiKeys(None, ""), RateLimit(2), 1024)
    headers = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in range(4)]
    assert [ask(made, headers=item)[0] for item in headers] == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("GET", {}, None),
        ("GET", {b"host": b"localhost:8000"}, None),
        ("GET", {b"host": b"[::1]:8000"}, None),
        ("GET", {b"host": b"rebound.example:8000"}, "wrong_host"),
        ("GET", {b"host": b"localhost.rebound.example"}, "wrong_host"),
        ("POST", {b"host": b"localhost:8000", b"origin": b"http://localhost:8000"}, None),
        ("POST", {b"host": b"localhost:8000", b"origin": b"http://other.example"}, "cross_site"),
        ("POST", {b"host": b"localhost:8000", b"origin": b"null"}, "cross_site"),
        ("POST", {b"host": b"localhost:8000", b"origin": b"http://[oops"}, "cross_site"),
        ("POST", {b"host": b"localhost:8000", b"sec-fetch-site": b"cross-site"}, "cross_site"),
        ("POST", {b"host": b"localhost:8000", b"sec-fetch-site": b"same-origin"}, None),
    ],
)
def test_foreign_names_and_pages_are_refused(
    method: str, headers: dict[bytes, bytes], reason: str | None
) -> None:
    refusal = Hosts(["localhost", "::1"]).refusal(method, headers)
    assert (refusal and refusal[1]) == reason


def test_any_name_but_no_foreign_page_where_names_are_open() -> None:
    assert Hosts([]).refusal("POST", {b"host": b"a.example"}) is None
    headers = {b"host": b"a.example", b"origin": b"https://b.example"}
    assert Hosts([]).refusal("POST", headers) is not None
    assert Hosts(["b.example"]).refusal("POST", headers | {b"host": b"b.example"}) is None


def test_the_guard_refuses_before_the_application_sees_the_request() -> None:
    made = Guard(echo, ApiKeys(None, ""), RateLimit(9), 1024, hosts=["localhost"])
    status, _, body = ask(made, headers={"Host": "rebound.example"})
    assert (status, json.loads(body)["error"]["reason"]) == (403, "wrong_host")
    status, _, body = ask(made, headers={"Host": "localhost", "Origin": "https://b.example"})
    assert (status, json.loads(body)["error"]["reason"]) == (403, "cross_site")


def test_a_proxy_that_is_no_address_is_refused() -> None:
    section: dict[str, Any] = {"trusted_proxies": ["proxy.example"]}
    with pytest.raises(ConfigError, match="trusted_proxies"):
        parse_config({"serving": section})
