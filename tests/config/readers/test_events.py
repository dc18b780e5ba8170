"""The receiver of events: its URL, and the secret without which no event is sent."""

import pytest

from mta.config.readers.events import EventsTarget
from tests.config.readers.reading import mistake, read

URL = "https://app.example.com/hook?token=abc-hidden"
SECRET = "the-secret"


def test_events_are_off_by_default():
    assert read().events is None


def test_a_receiver_has_a_url_and_a_secret_that_are_not_shown(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = read(EVENTS_URL=URL, EVENTS_SECRET_FILE=str(file))
    assert settings.events == EventsTarget(URL, SECRET)
    shown = repr(settings) + "".join(map(str, settings.effective))
    assert SECRET not in shown
    assert "abc-hidden" not in shown


def test_a_url_needs_a_secret():
    assert "EVENTS_SECRET: it must be set together with EVENTS_URL" in mistake(EVENTS_URL=URL)


def test_a_secret_without_a_url_has_no_effect():
    assert "EVENTS_SECRET has no effect: EVENTS_URL is not set" in read(EVENTS_SECRET=SECRET).notices


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("app.example.com/abc-hidden", "not a URL"),
        ("ftp://app.example.com/abc-hidden", "not a URL"),
        ("https:///abc-hidden", "not a URL"),
        ("https://app.example.com:0/abc-hidden", "not a URL"),
        ("https://app.example.com:99999/abc-hidden", "not a URL"),
        ("https://app.example.com/abc-hidden#x", "not a URL"),
        ("https://app.example.com/ abc-hidden", "not a URL"),
        ("https://[app/abc-hidden", "not a URL"),
        ("https://user:abc-hidden@app.example.com/", "it must have no user or password"),
        ("http://8.8.8.8/abc-hidden", "http is used only to loopback or private addresses"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_mistake_that_does_not_show_it(url, words):
    told = mistake(EVENTS_URL=url, EVENTS_SECRET=SECRET)
    assert f"EVENTS_URL: {words}" in told
    assert "abc-hidden" not in told


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://[::1]/", "http://10.0.0.5/hook", "http://app/hook"])
def test_http_to_a_private_receiver_has_a_notice(url):
    settings = read(EVENTS_URL=url, EVENTS_SECRET=SECRET)
    assert settings.events == EventsTarget(url, SECRET)
    assert any(notice.startswith("EVENTS_URL is http") for notice in settings.notices)
