"""`smtprelay explain ID` on real queue files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.queue.interface import QueueId
from tests.cli.queue.test_command import fill

SETTINGS = {"MAILNAME": "relay.example.test", "NET_DEV": "none0", "PORT": "2525"}


def explain(directory: Path, *words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words], env={"QUEUE_DIR": str(directory)} | SETTINGS | environ)


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
    assert "give the ID of a message, or describe one by --from and --to" in explain(tmp_path).stderr
