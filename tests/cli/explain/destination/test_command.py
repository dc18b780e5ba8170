"""`smtprelay explain DESTINATION` on real queue files, with a DNS of the test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.queue.interface import QueueId
from tests.cli.explain.test_explain import in_zone
from tests.cli.queue.test_command import fill

SETTINGS = {"MAILNAME": "relay.example.test", "NET_DEV": "none0", "PORT": "2525"}


def explain(directory: Path, *words: str, **environ: str) -> Result:
    settings = {"QUEUE_DIR": str(directory)} | SETTINGS | environ
    return CliRunner().invoke(main, ["explain", *words], env=settings, obj=in_zone)


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    return fill(tmp_path)


@pytest.mark.usefixtures("ids")
def test_a_domain_is_explained_by_its_hosts_and_its_mail(tmp_path: Path) -> None:
    told = explain(tmp_path, "b.test")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[:5] == [
        "domain     b.test",
        "route      the MX hosts of b.test, port 25: mx1.b.test[192.0.2.1]:25, mx2.b.test[192.0.2.2]:25",
        "mx         10 mx1.b.test [192.0.2.1]",
        "           20 mx2.b.test [192.0.2.2]",
        "tls        mx1.b.test, mx2.b.test: with TLS if it is offered, with any certificate (the default for MX hosts)",
    ]
    assert lines[5].startswith("waiting    2 recipients; the oldest for ")
    assert "next       as soon as a relay runs" in lines
    assert any(line.startswith("reply      ") and "450 4.2.0 later" in line for line in lines)
    assert "note: no relay is running on this queue, so connections, limits and probes are not known" in lines


@pytest.mark.usefixtures("ids")
def test_an_address_chooses_its_domain(tmp_path: Path) -> None:
    assert explain(tmp_path, "eve@B.test").stdout == explain(tmp_path, "b.test").stdout


@pytest.mark.usefixtures("ids")
def test_a_host_is_explained_by_the_domains_that_were_tried_there(tmp_path: Path) -> None:
    for name in ("mx.b.test", "192.0.2.1"):
        lines = explain(tmp_path, name).stdout.splitlines()
        assert lines[0] == f"host       {name}"
        assert lines[1].startswith("mail for   b.test: 2 recipients")


@pytest.mark.usefixtures("ids")
def test_a_smarthost_is_known_by_its_name_and_by_its_host(tmp_path: Path) -> None:
    for name in ("smarthost", "smart.test"):
        lines = explain(tmp_path, name, SMARTHOST_ADDRESS="smart.test::587").stdout.splitlines()
        assert lines[1] == "smarthost  smarthost (SMARTHOST_ADDRESS)"
    domain = explain(tmp_path, "b.test", SMARTHOST_ADDRESS="smart.test::587").stdout.splitlines()
    assert "smart.test[192.0.2.9]:587" in domain[1]
    assert domain[2].startswith("tls        smart.test: ")


@pytest.mark.usefixtures("ids")
def test_a_domain_that_takes_no_mail_tells_the_reason(tmp_path: Path) -> None:
    lines = explain(tmp_path, "broken.test").stdout.splitlines()
    assert "mx         looking up the MX of broken.test failed: SERVFAIL" in lines
    assert "waiting    nothing" in lines


@pytest.mark.usefixtures("ids")
def test_the_same_facts_are_one_json_object(tmp_path: Path) -> None:
    found = json.loads(explain(tmp_path, "b.test", "--json").stdout)
    assert [host["name"] for host in found["mx"]["hosts"]] == ["mx1.b.test", "mx2.b.test"]
    assert (found["waiting"]["waiting"], found["replies"][0]["host"]) == (2, "mx.b.test[192.0.2.1]:25")


@pytest.mark.usefixtures("ids")
def test_words_that_name_nothing_are_a_mistake(tmp_path: Path) -> None:
    told = explain(tmp_path, "oops")
    assert told.exit_code == 2
    assert told.stderr == (
        "smtprelay: oops is no id of a message, and the name of no domain, host or smarthost that is known\n"
    )
    assert explain(tmp_path, "a b.test").exit_code == 2


@pytest.mark.usefixtures("ids")
def test_wrong_settings_leave_the_page_without_a_route(tmp_path: Path) -> None:
    told = explain(tmp_path, "b.test", SMTPPORTOUT="none")
    assert told.exit_code == 0
    assert "note: the settings have a mistake, so the route is not told: SMTPPORTOUT" in told.stdout
    assert "waiting    2 recipients" in told.stdout
