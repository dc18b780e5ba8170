"""The text that Prometheus reads, and the page that documents its names."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from mta.metrics.counters import Counters
from mta.metrics.exposition import expose
from mta.metrics.metric import PREFIX
from mta.metrics.table import METRICS
from tools.metrics_page import BEGIN, END, metrics_tables

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
promtool = shutil.which("promtool")


def counters() -> Counters:
    counted = Counters()
    counted.accepted_messages = 3
    counted.attempts["deferred", "4.7"] += 2
    for size in (500, 5000, 10**9):
        counted.message_size_bytes.observe(size)
    return counted


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"])
def test_the_exposition_has_each_metric_of_the_table_and_no_other(accept: str) -> None:
    text, kind = expose(counters().samples(), accept)
    assert kind.startswith("application/openmetrics-text" if accept else "text/plain")
    read = read_open_metrics if accept else read_text
    families = list(read(text.decode()))
    assert [family.name for family in families] == [PREFIX + name for name in METRICS]
    assert {family.name: family.documentation for family in families} == {
        PREFIX + metric.name: metric.help for metric in METRICS.values()
    }


def test_figures_are_those_that_were_counted() -> None:
    text = expose(counters().samples(), "")[0].decode()
    assert "\nsmtprelay_accepted_messages_total 3.0\n" in text
    assert '\nsmtprelay_attempts_total{result="deferred",status="4.7"} 2.0\n' in text
    assert '\nsmtprelay_recipients_total{outcome="failed"} 0.0\n' in text
    assert '\nsmtprelay_message_size_bytes_bucket{le="1024.0"} 1.0\n' in text
    assert '\nsmtprelay_message_size_bytes_bucket{le="16384.0"} 2.0\n' in text
    assert '\nsmtprelay_message_size_bytes_bucket{le="+Inf"} 3.0\n' in text
    assert "\nsmtprelay_message_size_bytes_sum 1.0000055e+09\n" in text


def test_a_label_is_escaped() -> None:
    text = expose({("destination_down", ('a"b\\c\nd',)): 1}, "")[0].decode()
    assert 'destination="a\\"b\\\\c\\nd"' in text


@pytest.mark.skipif(promtool is None, reason="promtool is missing: install prometheus")
def test_promtool_finds_no_fault() -> None:
    text = expose(counters().samples(), "")[0]
    done = subprocess.run([str(promtool), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_page_has_the_tables_of_the_metrics() -> None:
    between = PAGE.partition(BEGIN)[2].partition(END)[0]
    assert between == metrics_tables(), "put the output of `python -m tools.metrics_page` between the marks"


def test_the_page_names_each_metric_and_no_other() -> None:
    named = set(re.findall(r"`(smtprelay_\w+)`", PAGE))
    assert named == {metric.full_name for metric in METRICS.values()}
