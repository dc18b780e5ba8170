"""`smtprelay queue domains` on real queue files."""

import json
from dataclasses import replace
from pathlib import Path

from mta.admin.state import DestinationState
from mta.cli.queue.domains import lines
from mta.explain.destination.live import LiveIndex
from mta.queue.interface import DomainShape
from tests.cli.queue.test_command import fill, opened, result, run


def test_the_shape_of_the_queue_is_a_table_with_last_replies(tmp_path: Path) -> None:
    ids = fill(tmp_path)
    run(tmp_path, "queue", "hold", ids[1])
    shown = run(tmp_path, "queue", "domains").stdout.splitlines()
    assert [line.split() for line in shown[:2]] == [
        ["domain", "waiting", "held", "sending", "5m", "1h", "6h", "1d", "older"],
        ["b.test", "1", "1", "0", "2", "0", "0", "0", "0"],
    ]
    assert shown[2:] == ["    mx.b.test[192.0.2.1]:25: 450 4.2.0 later"]
    (shape,) = json.loads(run(tmp_path, "queue", "domains", "--json").stdout)
    assert (shape["domain"], shape["waiting"], shape["held"], shape["ages"]["5m"]) == ("b.test", 1, 1, 2)
    assert shape["oldest"] == "2100-01-01T12:00:00Z"
    assert shape["destinations"] == []


LIVE = DestinationState("mx.b.test", 2, 3, 1, 5, hosts=("mx.b.test",))


def shape(domain: str, host: str = "") -> DomainShape:
    return DomainShape(domain, 2, 0, 1, 1_800_000_000.0, (2, 0, 0, 0, 0), "450 later" if host else "", host)


def test_a_running_relay_adds_connections_state_and_pace() -> None:
    down = DestinationState("mx.c.test", 0, 0, 0, 1, blocked_until=1_800_000_900.0, hosts=("mx.c.test",))
    slow = DestinationState("mx.d.test", 4, 1, 1, 2, pace=0.5, throttled=True, domains=("d.test",))
    live = LiveIndex([LIVE, down, slow])
    shapes = [
        shape("b.test", "mx.b.test[192.0.2.1]:25"),
        shape("c.test", "mx.c.test[192.0.2.2]:25"),
        shape("d.test"),
        shape("new.test"),
    ]
    shown = [line for line in lines(shapes, live) if not line.startswith("    ")]
    assert [line.split(maxsplit=11)[9:] for line in shown] == [
        ["open", "most", "state"],
        ["3", "5", "ok"],
        ["0", "1", "down"],
        ["1", "2", "paced 30 a minute"],
        ["-", "-", "-"],
    ]


def test_mail_that_goes_two_ways_adds_up_both() -> None:
    other = replace(LIVE, name="mx.b.test (30-pace.toml:1)", connections=1, window=2, throttled=True)
    (_, row, _) = lines([shape("b.test", "mx.b.test[192.0.2.1]:25")], LiveIndex([LIVE, other]))
    assert row.split(maxsplit=11)[9:] == ["4", "7", "ok, limited"]


def test_an_empty_queue_has_no_shape(tmp_path: Path) -> None:
    result(opened(tmp_path).close())
    assert run(tmp_path, "queue", "domains").stdout == "Nothing is waiting.\n"
    assert json.loads(run(tmp_path, "queue", "domains", "--json").stdout) == []
