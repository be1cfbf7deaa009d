"""The cookie jar of an iteration: which cookie goes where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.cookies import CookieJar


def jar(url: str, *lines: str) -> CookieJar:
    made = CookieJar()
    made.store(url, [(b"Set-Cookie", line.encode("latin-1")) for line in lines])
    return made


def test_a_cookie_goes_back_to_the_host_that_set_it_and_to_no_other() -> None:
    made = jar("http://app.test/", "sid=1")
    assert made.header("http://app.test/") == b"sid=1"
    assert made.header("http://app.test:81/x") == b"sid=1"
    for other in ("http://other.test/", "http://www.app.test/", "http://test/", "http://xapp.test/"):
        assert made.header(other) == b""


def test_a_cookie_with_a_domain_goes_to_the_sub_domains_too() -> None:
    for domain in ("app.test", ".app.test", "APP.test"):
        made = jar("http://www.app.test/", f"sid=1; Domain={domain}")
        for url in ("http://app.test/", "http://www.app.test/", "http://a.b.app.test/"):
            assert made.header(url) == b"sid=1"
        for url in ("http://test/", "http://xapp.test/", "http://app.test.evil/"):
            assert made.header(url) == b""


@pytest.mark.parametrize("domain", ["other.test", "www.app.test", "pp.test", "app.test.evil"])
def test_a_host_cannot_set_cookies_for_another(domain: str) -> None:
    assert jar("http://app.test/", f"sid=1; Domain={domain}").header(f"http://{domain}/") == b""


def test_an_address_has_no_sub_domains() -> None:
    made = jar("http://127.0.0.1/", "sid=1; Domain=0.0.1", "own=2; Domain=127.0.0.1")
    assert made.header("http://9.0.0.1/") == b""
    assert made.header("http://127.0.0.1/") == b"own=2"


def test_a_path_covers_itself_and_what_lies_below() -> None:
    made = jar("http://app.test/", "a=1; Path=/v1")
    for path, sent in (("/v1", True), ("/v1/x", True), ("/v1?q=/", True), ("/v10", False), ("/", False)):
        assert (made.header(f"http://app.test{path}") == b"a=1") == sent


@pytest.mark.parametrize(
    ("at", "path"), [("/", "/"), ("", "/"), ("/login", "/"), ("/v1/login", "/v1"), ("/v1/a/", "/v1/a")]
)
@pytest.mark.parametrize("written", ["", "; Path=", "; Path=relative"])
def test_without_a_path_a_cookie_is_for_the_folder_it_was_set_in(at: str, path: str, written: str) -> None:
    made = jar(f"http://app.test{at}", f"a=1{written}")
    assert made.header(f"http://app.test{path}") == b"a=1"
    assert (made.header("http://app.test/elsewhere") == b"a=1") == (path == "/")


def test_a_secure_cookie_goes_over_https_only() -> None:
    made = jar("https://app.test/", "a=1; Secure; HttpOnly; SameSite=Lax")
    assert made.header("https://app.test/") == b"a=1"
    assert made.header("http://app.test/") == b""


def test_the_longer_path_comes_first() -> None:
    made = jar("http://app.test/", "a=1; Path=/", "b=2; Path=/v1", "c=3; Path=/")
    assert made.header("http://app.test/v1") == b"b=2; a=1; c=3"


def test_the_latest_value_stands() -> None:
    made = jar("http://app.test/", "a=1", "a=2")
    assert made.header("http://app.test/") == b"a=2"
    made.store("http://app.test/", [(b"set-cookie", b"a=3")])
    assert made.header("http://app.test/") == b"a=3"


@pytest.mark.parametrize(
    "over",
    ["Max-Age=0", "Max-Age=-1", "max-age=00", "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
     "Expires=Thu, 01-Jan-1970 00:00:00 GMT", "Expires=Thu, 01 Jan 2099 00:00:00 GMT; Max-Age=0"],
)  # fmt: skip
def test_a_cookie_whose_time_is_over_is_taken_away(over: str) -> None:
    assert jar("http://app.test/", "a=1", f"a=; {over}").header("http://app.test/") == b""


@pytest.mark.parametrize(
    "still",
    ["Max-Age=60", "Expires=Thu, 01 Jan 2099 00:00:00 GMT",
     "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "Max-Age=",
     "Max-Age=soon", "Expires=never", "Expires="],
)  # fmt: skip
def test_a_cookie_with_time_left_or_none_that_can_be_read_stays(still: str) -> None:
    assert jar("http://app.test/", f"a=1; {still}").header("http://app.test/") == b"a=1"


def test_values_are_left_as_they_are() -> None:
    made = jar("http://app.test/", 'a="x=y, z"', "b=", "c= \xe9 ", "no-value", "=nameless", "")
    assert made.header("http://app.test/") == b'a="x=y, z"; b=; c=\xe9'


def test_no_target_can_fill_the_jar() -> None:
    made = jar("http://app.test/", *(f"n{n}=1" for n in range(1000)))
    assert made.header("http://app.test/").count(b"=") == CookieJar.MOST
    made.store("http://app.test/", [(b"set-cookie", b"n0=2")])
    assert b"n0=2" in made.header("http://app.test/")


@given(st.lists(st.binary(max_size=60)))
def test_no_header_of_a_target_breaks_the_jar(lines: list[bytes]) -> None:
    made = CookieJar()
    made.store("http://app.test/", [(b"set-cookie", line) for line in lines])
    made.store(
        "http://app.test/",
        [(b"set-cookie", b"a=1; expires=" + line) for line in lines]
        + [(b"set-cookie", b"a=1; domain=" + line) for line in lines],
    )
    assert isinstance(made.header("http://app.test/"), bytes)
