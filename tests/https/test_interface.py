"""The URLs that a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.https.interface import HttpsUrl, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port", "authority"),
    [
        ("https://Login.Example.test/a?b=c", "login.example.test", 443, "login.example.test"),
        ("https://login.example.test:8443", "login.example.test", 8443, "login.example.test:8443"),
        ("https://keycloak/realms/x", "keycloak", 443, "keycloak"),
        ("HTTPS://192.0.2.1/", "192.0.2.1", 443, "192.0.2.1"),
        ("https://[2001:db8::1]:444/", "2001:db8::1", 444, "[2001:db8::1]:444"),
        ("https://a.test:/", "a.test", 443, "a.test"),
    ],
)
def test_the_host_and_the_port_of_a_url(text, host, port, authority):
    url = parse_url(text)
    assert url == HttpsUrl(host, port, text)
    assert url.authority == authority


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://a.test/", "does not begin with https://"),
        ("ftp://a.test/", "does not begin with https://"),
        ("a.test", "does not begin with https://"),
        ("", "is not a URL"),
        ("https://a.test/ b", "is not a URL"),
        ("https://a.test/\r\nX: y", "is not a URL"),
        ("https://ä.test/", "is not a URL"),
        ("https://a.test/" + "x" * 2048, "is not a URL"),
        ("https:///path", "names no host"),
        ("https://a_b.test/", "names no host"),
        ("https://a.test:99999/", "host or port is malformed"),
        ("https://a.test:x/", "host or port is malformed"),
        ("https://[::1/", "host or port is malformed"),
        ("https://a.test:0/", "port 0"),
        ("https://a.test/#x", "fragment"),
        ("https://user:hush@a.test/", "no user or password"),
    ],
)
def test_a_malformed_url_is_refused_in_one_line(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_url(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert "hush" not in str(caught.value)


@given(st.text(max_size=40).map(lambda rest: "https://" + rest) | st.text(max_size=40))
def test_any_text_is_a_url_or_malformed(text):
    try:
        url = parse_url(text)
    except ValueError as error:
        words = str(error)
    else:
        words = url.host
        assert 0 < url.port < 65536
    assert words
    assert words.isprintable()


def test_http_is_allowed_if_the_caller_says_so():
    url = parse_url("http://App.test/hook", plain=True)
    assert url == HttpsUrl("app.test", 80, "http://App.test/hook", tls=False)
    assert url.authority == "app.test"
    assert parse_url("https://app.test:80/", plain=True).authority == "app.test:80"
    assert parse_url("http://app.test:8080/", plain=True).authority == "app.test:8080"
