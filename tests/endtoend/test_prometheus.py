"""A real Prometheus scrapes the running relay and evaluates the alert rules."""

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.daemon import ROOT
from harness.processes import Child, free_port
from harness.sink_rules import Rule
from harness.waiting import PATIENCE, until
from mta.metrics.metric import PREFIX, Kind
from mta.metrics.table import METRICS
from tests.endtoend.mails import mail

PROGRAM = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="prometheus is missing: install prometheus")

_CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: smtprelay
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """A Prometheus that scrapes one port each second."""

    def __init__(self, home: Path, port: int) -> None:
        self.port = free_port()
        config = home / "prometheus.yaml"
        config.write_text(_CONFIG.format(rules=ROOT / "deploy" / "monitoring" / "alerts.yaml", port=port))
        command = [
            str(PROGRAM),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'figures'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.child = Child(command, home / "prometheus.log", {"PATH": "/usr/bin", "HOME": str(home)})

    def get(self, path: str, **arguments: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> float | None:
        """Return the value of a query, or None if there is none yet."""
        try:
            result = self.get("query", query=query)["result"]
        except OSError:
            return None
        return float(result[0]["value"][1]) if result else None


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def prometheus(tmp_path: Path, port: int) -> Iterator[Prometheus]:
    home = tmp_path / "prometheus"
    home.mkdir()
    server = Prometheus(home, port)
    with server.child:
        yield server


def test_prometheus_reads_each_documented_metric_and_no_other(world: Any, prometheus: Prometheus, port: int) -> None:
    sink = world.sink(
        Rule("RCPT", "550 5.1.1 no", match="never"), Rule("RCPT", "450 4.2.1 later", match="later", times=2)
    )
    relay = world.relay(sink, METRICS_LISTEN=f"127.0.0.1:{port}")
    for name in ("fine", "never", "later", "other"):
        relay.submit(mail(name), f"{name}@example.test")
    relay.wait_until_empty()
    relay.wait_for_events("delivered", 3)
    query = 'smtprelay_recipients_total{outcome="delivered"}'
    # The report on the failure is one more.
    until(lambda: prometheus.value(query) == len(relay.events("delivered")), what="the deliveries in Prometheus")
    assert prometheus.value("up") == 1
    assert prometheus.value("smtprelay_accepted_messages_total") == 4
    assert prometheus.value("smtprelay_ledger_missing") == 0
    assert prometheus.value("histogram_quantile(0.5, smtprelay_delivery_seconds_bucket)") is not None
    kinds = {name: [each["type"] for each in found] for name, found in prometheus.get("metadata").items()}
    documented = {
        (metric.full_name if metric.kind is Kind.COUNTER else PREFIX + metric.name): [metric.kind.value]
        for metric in METRICS.values()
    }
    assert {_plain(name): kind for name, kind in kinds.items() if name.startswith(PREFIX)} == {
        _plain(name): kind for name, kind in documented.items()
    }
    rules = prometheus.get("rules")["groups"][0]["rules"]
    until(lambda: all(each["health"] == "ok" for each in prometheus.get("rules")["groups"][0]["rules"]), what="rules")
    assert len(rules) == len({each["name"] for each in rules}) > 10


def _plain(name: str) -> str:
    """Return the name of a family: the parser for OpenMetrics leaves the ending of counters out."""
    return name.removesuffix("_total")


def test_an_alert_tells_that_a_destination_is_down(world: Any, prometheus: Prometheus, port: int) -> None:
    relay = world.relay(world.sink(), METRICS_LISTEN=f"127.0.0.1:{port}", SMARTHOST_ADDRESS=f"127.0.0.1::{free_port()}")
    for number in range(110):
        relay.submit(mail(str(number)), "someone@example.test")
    until(lambda: prometheus.value('ALERTS{alertname="SmtprelayDestinationDown"}') == 1, what="the pending alert")
