"""`smtprelay explain ID` on real queue files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.certificates import authority
from harness.mail import envelope
from harness.mail import mail as new_mail
from mta.cli.main import main
from mta.message.envelope import Origin
from mta.queue.disk.queue_dir import worker_home
from mta.queue.interface import NewMail, QueueId
from tests.cli.explain.test_explain import in_zone
from tests.cli.queue.test_command import NOW, fill, opened, result

SETTINGS = {"MAILNAME": "relay.example.test", "NET_DEV": "none0", "PORT": "2525"}


def explain(directory: Path, *words: str, **environ: str) -> Result:
    settings = {"QUEUE_DIR": str(directory)} | SETTINGS | environ
    return CliRunner().invoke(main, ["explain", *words], env=settings, obj=in_zone)


def add(directory: Path, mail: NewMail) -> QueueId:
    queue = opened(directory)
    result(queue.add(mail, NOW))
    result(queue.close())
    return mail.id


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    return fill(tmp_path)


def test_a_waiting_message_is_one_page(tmp_path: Path, ids: list[QueueId]) -> None:
    told = explain(tmp_path, ids[0])
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0] == f"message    {ids[0]}, from <alice@a.test>, 77 octets"
    for line in (
        "submitted  by the client 127.0.0.1",
        "allowed    by the present settings and rules: 127.0.0.1 may send anywhere (the relay's own host)",
        "state      waits for 1 of 2 recipients",
        "recipient  <bob@b.test> waiting, 1 attempt",
        "route      the MX hosts of b.test, port 25",
        "reply      mx.b.test[192.0.2.1]:25: 450 4.2.0 later",
        "meaning    The host does not take the message at the moment, for the reason in its words.",
        "retry      F,2h,15m; G,16h,1h,1.5; F,4d,6h (RETRY_SCHEDULE)",
        "gives up   2100-01-05T12:00:00Z, with a report to the sender",
        "note: no relay is running on this queue, so the message is not tried until one starts",
    ):
        assert line in lines
    (first,) = (line for line in lines if line.startswith("you may"))
    assert first.split("  ")[-1] == "try it now"
    assert "others     1 more message waiting for this domain" in lines


def test_the_route_is_that_of_the_present_settings(tmp_path: Path, ids: list[QueueId]) -> None:
    told = explain(tmp_path, ids[0], SMARTHOST_ADDRESS="smart.test::587")
    assert "route      the smarthost smart.test:587 (SMARTHOST_ADDRESS)" in told.stdout.splitlines()


def test_the_same_facts_are_one_json_object(tmp_path: Path, ids: list[QueueId]) -> None:
    found = json.loads(explain(tmp_path, ids[0], "--json").stdout)
    bob, zoe = found["recipients"]
    assert (bob["address"], zoe["status"]) == ("bob@b.test", "delivered")
    assert bob["next"]["time"] == "2100-01-01T12:15:00Z"
    assert bob["route"]["route"] == "mx"
    assert found["choices"][0] == {"command": f"smtprelay queue retry {ids[0]}", "effect": "try it now"}


def test_an_id_may_be_shortened_while_it_is_unique(tmp_path: Path, ids: list[QueueId]) -> None:
    assert explain(tmp_path, ids[0][:11].upper()).stdout.startswith(f"message    {ids[0]}")
    told = explain(tmp_path, ids[0][:4])
    assert told.exit_code == 2
    assert told.stderr == f"smtprelay: several ids begin with {ids[0][:4]}: {', '.join(reversed(ids))}\n"


def test_an_id_without_a_message_is_a_mistake(tmp_path: Path, ids: list[QueueId]) -> None:  # noqa: ARG001
    told = explain(tmp_path, "0gqw5")
    assert (told.exit_code, told.stderr) == (2, "smtprelay: no message 0gqw5 is in the queue or its history\n")


def test_wrong_settings_leave_the_page_without_routes(tmp_path: Path, ids: list[QueueId]) -> None:
    told = explain(tmp_path, ids[0], SMTPPORTOUT="none")
    assert told.exit_code == 0
    assert "note: the settings have a mistake, so routes are not told: SMTPPORTOUT" in told.stdout
    assert "450 4.2.0 later" in told.stdout


def test_an_id_and_a_description_do_not_fit_together(tmp_path: Path) -> None:
    for words in (("--to", "bob@b.test"), ("--client", "127.0.0.1")):
        told = explain(tmp_path, "0gqw5", *words)
        assert told.exit_code == 2
        assert f"{words[0]} describes a message, so no ID fits with it" in told.stderr
    assert (
        "give the ID of a message or a DESTINATION, or describe a message by --from and --to"
        in explain(tmp_path).stderr
    )


def test_the_rules_that_allow_and_route_a_message_are_named(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "10-all.toml").write_text(
        '[[router]]\nname = "to the office"\nrecipient = "*@b.test"\nhosts = ["office.test"]\n'
        '[[retry]]\nrecipient = "*@b.test"\nschedule = "F,1h,5m"\n'
    )
    id = add(tmp_path, new_mail("bob@b.test"))
    lines = explain(tmp_path, id, RULES_DIR=str(rules)).stdout.splitlines()
    (route,) = (line for line in lines if line.startswith("route"))
    assert '10-all.toml:1 "to the office": office.test' in route
    assert "without that rule: the MX hosts of b.test" in route
    (retry,) = (line for line in lines if line.startswith("retry"))
    assert "F,1h,5m (10-all.toml:5)" in retry
    assert "gives up   2100-01-01T13:00:00Z, with a report to the sender" in lines


def test_the_hosts_of_a_route_are_looked_up_on_demand(tmp_path: Path) -> None:
    id = add(tmp_path, new_mail("bob@b.test"))
    assert "note: names were not looked up; --dns looks for the hosts of each route" in explain(tmp_path, id).stdout
    told = explain(tmp_path, id, "--dns")
    assert "mx1.b.test[192.0.2.1]:25, mx2.b.test[192.0.2.2]:25" in told.stdout
    assert "not looked up" not in told.stdout


def test_a_login_that_is_gone_is_told(tmp_path: Path) -> None:
    mail = new_mail("bob@b.test")
    origin = Origin("203.0.113.9", "app.test", "ESMTPSA", "shop")
    id = add(tmp_path, NewMail(mail.id, replace(envelope("bob@b.test"), origin=origin), mail.body))
    lines = explain(tmp_path, id).stdout.splitlines()
    assert "submitted  by the client 203.0.113.9, logged in as shop" in lines
    gone = "note: there is no user shop in AUTH_USERS, so the present settings would not let it log in"
    assert gone in lines
    assert not any(line.startswith("allowed") for line in lines)
    certificate, key = map(str, authority().leaf(["relay.example.test"]).write(tmp_path))
    users = {"AUTH_USERS": "shop:{PLAIN}a-password", "SUBMISSION_PORT": "587"}
    known = explain(tmp_path, id, CERTIFICATE_PATH=certificate, KEY_PATH=key, **users).stdout
    assert "allowed    by the present settings and rules: the user shop may send anywhere" in known
    assert "a-password" not in known


def test_a_message_in_the_queue_of_a_worker_is_found(tmp_path: Path) -> None:
    result(opened(tmp_path).close())
    home = worker_home(tmp_path, 2)
    home.mkdir(parents=True)
    id = add(home, new_mail("bob@b.test"))
    assert explain(tmp_path, id).stdout.startswith(f"message    {id}")


def test_a_client_that_the_present_settings_refuse_is_told_so(tmp_path: Path) -> None:
    mail = new_mail("bob@b.test")
    origin = Origin("203.0.113.9", "app.test", "ESMTP")
    id = add(tmp_path, NewMail(mail.id, replace(envelope("bob@b.test"), origin=origin), mail.body))
    assert "allowed    by the present settings and rules: they would refuse it: 550 5.7.1 relay not permitted" in (
        explain(tmp_path, id).stdout
    )


def test_a_client_that_had_logged_in_is_trusted_by_the_router_rules_as_well(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "10-all.toml").write_text('[[router]]\nclient = "trusted"\nhosts = ["office.test"]\n')
    mail = new_mail("bob@b.test")
    origin = Origin("203.0.113.9", "app.test", "ESMTPSA", "shop")
    id = add(tmp_path, NewMail(mail.id, replace(envelope("bob@b.test"), origin=origin), mail.body))
    assert "route      10-all.toml:1: office.test:25" in explain(tmp_path, id, RULES_DIR=str(rules)).stdout
