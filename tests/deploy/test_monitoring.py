"""Alert rules, dashboard and compose file for Prometheus and Grafana."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from mta.metrics.metric import PREFIX, Kind
from mta.metrics.table import METRICS
from tests.deploy.manifests import ROOT, documents, understood

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS = documents(FOLDER / "alerts.yaml")[0]["groups"][0]["rules"]
COMPOSE = documents(FOLDER / "compose.yaml")[0]
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
compose = shutil.which("docker-compose")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: install prometheus")
# Gauges that only tell how the others came about.
WITHOUT_PANEL = {
    "smtprelay_history_messages",
    "smtprelay_processes",
    "smtprelay_queue_full",
    # The measure by which Kubernetes starts more relays.
    "smtprelay_queue_late_seconds",
    "smtprelay_queue_read_seconds",
    "smtprelay_start_time_seconds",
}


def series() -> dict[str, tuple[str, ...]]:
    """Return the names that an expression may ask for, each with its labels."""
    known: dict[str, tuple[str, ...]] = {}
    for metric in METRICS.values():
        endings = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        known.update({metric.full_name + ending: metric.labels for ending in endings})
    return known


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for rule in ALERTS:
        yield rule["expr"]


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_each_expression_asks_for_metrics_and_labels_that_there_are(expression: str) -> None:
    known = series()
    asked = set(re.findall(rf"{PREFIX}\w+", expression))
    assert asked <= set(known)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
    labels |= {
        word for group in re.findall(r"(?:by|on)\s*\(([^)]*)\)", expression) for word in re.findall(r"\w+", group)
    }
    assert labels <= {"instance", "job", "le", *(label for name in asked for label in known[name])}


@needs_promtool
@pytest.mark.parametrize(
    "command", ["check rules alerts.yaml", "test rules alerts_test.yaml", "check config prometheus.yaml"]
)
def test_promtool_finds_no_fault(command: str) -> None:
    done = subprocess.run(
        ["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [case for test in documents(FOLDER / "alerts_test.yaml")[0]["tests"] for case in test["alert_rule_test"]]
    fires = [case["alertname"] for case in cases if case["exp_alerts"]]
    quiet = [case["alertname"] for case in cases if not case["exp_alerts"]]
    assert fires == quiet == [rule["alert"] for rule in ALERTS]


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_has_the_parts_that_grafana_reads() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"uid", "title", "time", "templating", "panels"} <= set(DASHBOARD)
    assert [panel["id"] for panel in DASHBOARD["panels"]] == list(range(1, len(PANELS) + 1))
    for panel in DASHBOARD["panels"]:
        assert panel["type"] in {"stat", "timeseries", "table"}
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance", "queue"]


def test_a_queue_that_relays_share_can_be_counted_once() -> None:
    (queue,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["name"] == "queue")
    assert queue["query"].count(" : ") == len(queue["options"])
    assert {option["value"] for option in queue["options"]} == {"sum", "max"}
    summed = [each for each in expressions() if "sum(" in each]
    assert [each for each in summed if "smtprelay_queue_" in each or "smtprelay_ledger_" in each] == []
    assert sum("$queue(" in each for each in expressions()) == 7


def test_no_two_panels_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_every_gauge_has_a_panel() -> None:
    asked = {name for expression in expressions() for name in re.findall(rf"{PREFIX}\w+", expression)}
    gauges = {metric.full_name for metric in METRICS.values() if metric.kind is Kind.GAUGE}
    assert gauges - asked <= WITHOUT_PANEL | {"smtprelay_ledger_recipients", "smtprelay_queue_recipients"}


def test_the_relay_of_the_compose_file_finds_no_mistake_and_prometheus_scrapes_it(tmp_path: Any) -> None:
    settings = understood(COMPOSE["services"]["smtp"]["environment"], tmp_path)
    assert settings.notices == ()
    assert settings.metrics_listen is not None
    (scrape,) = documents(FOLDER / "prometheus.yaml")[0]["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == [f"smtp:{settings.metrics_listen[1]}"]
    assert scrape["job_name"] == "smtprelay"


def test_the_metrics_port_is_not_published_and_the_others_only_on_this_host() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any(port.endswith(":9125") for port in ports)


def test_each_mounted_file_is_there() -> None:
    volumes = [volume for service in COMPOSE["services"].values() for volume in service["volumes"]]
    for volume in volumes:
        if volume.startswith("./"):
            assert volume.endswith(":ro")
            assert (FOLDER / volume.split(":")[0]).is_file()


@pytest.mark.skipif(compose is None, reason="docker-compose is not installed")
def test_compose_itself_takes_the_file() -> None:
    done = subprocess.run(
        [str(compose), "-f", FOLDER / "compose.yaml", "config", "-q"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
