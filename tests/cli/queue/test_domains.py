"""`smtprelay queue domains` on real queue files."""

import json
from pathlib import Path

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


def test_an_empty_queue_has_no_shape(tmp_path: Path) -> None:
    result(opened(tmp_path).close())
    assert run(tmp_path, "queue", "domains").stdout == "Nothing is waiting.\n"
    assert json.loads(run(tmp_path, "queue", "domains", "--json").stdout) == []
