"""The metrics of the running relay: they agree with its events, and the port keeps to its bounds."""

import socket
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.daemon import Daemon
from harness.processes import free_port
from harness.sink_rules import Rule
from harness.waiting import PATIENCE, until
from mta.metrics.metric import PREFIX
from mta.metrics.server import MAX_CONNECTIONS, MAX_REQUEST
from mta.metrics.table import METRICS
from tests.endtoend.mails import mail

NAMES = ("fine", "later", "never", "lost", "throttled")


def faults() -> tuple[Rule, ...]:
    """Return the rules of a server that refuses each recipient as its name says."""
    return (
        Rule("RCPT", "450 4.2.1 greylisted", match="later", times=8),
        Rule("RCPT", "550 5.1.1 no such user", match="never"),
        Rule("RCPT", None, match="lost", times=3),
        Rule("RCPT", "421 4.7.0 too many messages, slow down", match="throttled", times=1),
    )


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the samples by name and the values of the labels in the order of their names."""
    status, text = ask(port)
    assert status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def events_of(relay: Daemon) -> dict[tuple[str, ...], float]:
    """Return what the counters must be by the events of the log."""
    expected: Counter[tuple[str, ...]] = Counter()
    for name, labels in (
        ("delivered", {"smtprelay_recipients_total": ("delivered",)}),
        ("failed", {"smtprelay_recipients_total": ("failed",)}),
        ("destination-down", {"smtprelay_destinations_went_down_total": ()}),
        ("destination-throttled", {"smtprelay_throttles_total": ()}),
        ("unreported", {"smtprelay_unreported_total": ()}),
        ("login-failed", {}),
    ):
        for key, values in labels.items():
            expected[key, *values] += len(relay.events(name))
    for event in relay.events("reported"):
        expected["smtprelay_reports_total", event["kind"]] += 1
    for result in ("delivered", "deferred", "failed"):
        for event in relay.events(result):
            expected["smtprelay_attempts_total", result, event.get("status", "2.0.0")[:3]] += 1
    for event in relay.events("accepted"):
        expected["smtprelay_accepted_messages_total",] += 1
        expected["smtprelay_accepted_bytes_total",] += event["size"]
        expected["smtprelay_accepted_recipients_total",] += event["recipients"]
    expected["smtprelay_delivery_seconds_count",] = len(relay.events("delivered"))
    expected["smtprelay_message_size_bytes_count",] = len(relay.events("accepted"))
    return dict(expected)


def agrees(port: int, relay: Daemon) -> bool:
    samples = scrape(port)
    return all(samples.get(key, 0.0) == value for key, value in events_of(relay).items())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_counters_agree_with_the_events_of_a_load_with_faults(world: Any, workers: str) -> None:
    port = free_port()
    sink = world.sink(*faults())
    relay = world.relay(sink, METRICS_LISTEN=f"127.0.0.1:{port}", WORKERS=workers)
    for number in range(30):
        relay.submit(mail(str(number)), f"{NAMES[number % len(NAMES)]}{number}@example.test")
    with relay.client("127.0.0.2") as client:
        assert client.docmd("MAIL FROM:<a@stranger.test>")[0] in {250, 503}
        assert client.docmd("NOSUCH")[0] == 500
    until(lambda: len(relay.events("delivered")) >= 24, what="all that can be delivered")
    relay.wait_until_empty()
    until(lambda: agrees(port, relay), what="counters that agree with the events")
    samples = scrape(port)
    expected = events_of(relay)
    assert {key: samples.get(key) for key in expected} == expected
    assert samples["smtprelay_recipients_total", "failed"] == 6
    assert samples["smtprelay_refusals_total", "protocol", "500"] == 1
    assert samples["smtprelay_delivery_attempts_bucket", "1.0"] < samples["smtprelay_delivery_attempts_count",]
    assert samples["smtprelay_ledger_missing",] == 0
    assert samples["smtprelay_processes",] == (1 if workers == "1" else 3)


def test_a_message_is_counted_before_its_line_is_written(world: Any) -> None:
    port = free_port()
    relay = world.relay(world.sink(), METRICS_LISTEN=f"127.0.0.1:{port}")
    relay.submit(mail("one"), "bob@example.test")
    assert scrape(port)["smtprelay_accepted_messages_total",] == 1


def test_each_documented_metric_is_there_and_no_other(world: Any) -> None:
    port = free_port()
    world.relay(world.sink(), METRICS_LISTEN=f"127.0.0.1:{port}")
    named = {family.name for family in text_string_to_metric_families(ask(port)[1])}
    assert named == {PREFIX + name for name in METRICS}
    openmetrics = ask(port, Accept="application/openmetrics-text; version=1.0.0")[1]
    assert openmetrics.endswith("# EOF\n")


def test_no_page_has_an_address_a_sender_or_a_subject(world: Any) -> None:
    port = free_port()
    sink = world.sink(Rule("RCPT", "450 4.2.1 not now"))
    relay = world.relay(sink, METRICS_LISTEN=f"127.0.0.1:{port}")
    relay.submit(b"Subject: confidential\r\n\r\nhi\r\n", "robert@example.test", "author@sender.test")
    relay.wait_for_events("deferred")
    text = "".join(ask(port, path)[1] for path in ("/metrics", "/healthz", "/readyz"))
    assert all(word not in text for word in ("confidential", "robert", "author", "sender.test", "@"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_gauges_are_those_of_the_queue(world: Any, workers: str) -> None:
    port = free_port()
    sink = world.sink(Rule("RCPT", "450 4.2.1 not now"))
    relay = world.relay(sink, METRICS_LISTEN=f"127.0.0.1:{port}", WORKERS=workers, RETRY_SCHEDULE="F,2h,1h")
    for number in range(3):
        relay.submit(mail(str(number)), f"{number}@example.test")
    relay.wait_for_events("deferred", 3)
    assert relay.tool("queue", "hold", relay.queue()[0]["id"]).returncode == 0
    # Figures are kept for a few seconds.
    until(lambda: scrape(port)["smtprelay_queue_held_messages",] == 1, what="the held message")
    samples = scrape(port)
    assert samples["smtprelay_queue_messages",] == samples["smtprelay_queue_recipients",] == 3
    assert samples["smtprelay_queue_bytes",] == sum(event["size"] for event in relay.events("accepted"))
    assert samples["smtprelay_queue_due_messages",] == samples["smtprelay_queue_in_delivery_messages",] == 0
    assert 0 < samples["smtprelay_queue_oldest_seconds",] < PATIENCE
    assert samples["smtprelay_ledger_recipients", "accepted"] == samples["smtprelay_ledger_recipients", "waiting"] == 3
    assert samples["smtprelay_dns_lookups_total", "found"] >= 1
    assert samples["smtprelay_tls_accepted_total", "none"] == 3
    assert samples["smtprelay_destinations",] >= 1


def test_the_relay_is_healthy_and_ready(world: Any) -> None:
    port = free_port()
    relay = world.relay(world.sink(), METRICS_LISTEN=f"127.0.0.1:{port}", WORKERS="2")
    relay.wait_for_events("started")
    assert ask(port, "/healthz") == (200, "ok\n")
    assert ask(port, "/readyz") == (200, "ok\n")
    assert ask(port, "/healthz", "HEAD") == (200, "")
    assert ask(port, "/")[0] == ask(port, "/metrics/x")[0] == 404


def test_the_port_keeps_to_its_bounds(world: Any) -> None:
    port = free_port()
    relay = world.relay(world.sink(), METRICS_LISTEN=f"127.0.0.1:{port}")
    assert ask(port, method="POST")[0] == ask(port, method="DELETE")[0] == 405
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as large:
        large.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * MAX_REQUEST)
        assert ended(large)
    held = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(MAX_CONNECTIONS)]
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as surplus:
        assert ended(surplus)
    for each in held:
        each.close()
    until(lambda: answers(port), what="an answer once there is room")
    assert relay.events("fault") == []


def ended(connection: socket.socket) -> bool:
    """Whether the relay ends a connection without an answer of its own."""
    try:
        return b"200 OK" not in connection.recv(65536)
    except ConnectionResetError:
        return True


def answers(port: int) -> bool:
    try:
        return ask(port, "/healthz")[0] == 200
    except OSError:
        return False


def test_a_port_that_is_taken_ends_the_start_with_the_setting_to_change(world: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        setting = f"127.0.0.1:{taken.getsockname()[1]}"
        relay = world.stopped_relay(world.sink(), METRICS_LISTEN=setting)
        assert "choose another METRICS_LISTEN" in relay.start_and_fail(1)
