"""A JSON array that is printed while its objects come."""

import json

import pytest

from mta.cli.queue.printing import print_array


@pytest.mark.parametrize("objects", [[], [{}], [{"a": "x\ny", "b": [{"c": None}, {}]}, {"a": []}]])
def test_an_array_is_printed_as_json_dumps_does(capsys: pytest.CaptureFixture[str], objects: list[dict]) -> None:
    print_array(iter(objects))
    assert capsys.readouterr().out == json.dumps(objects, indent=1) + "\n"
