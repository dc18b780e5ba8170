"""The SVG of the rows that grow."""

import xml.etree.ElementTree as ET
from itertools import pairwise

from bench.plot import Panel, draw, panels
from bench.results import Results
from tests.fakes.bench_row import FakeRow

SVG = "{http://www.w3.org/2000/svg}"


def found() -> Results:
    results = Results()
    for turn, rate in enumerate((900.0, 1000.0, 1300.0)):
        points = {
            "adds/s @ 1000000 waiting": rate,
            "adds/s @ 0 waiting": 1200.0,
            "resident MB": 40.0,
            "p99 ms @ 5 idle": 1.0,
        }
        results.add("B11", "smtprelay", turn, points)
    return results


def test_a_figure_with_points_becomes_a_panel_at_the_medians_in_order():
    assert panels(found(), [FakeRow("B11")]) == [
        Panel("B11: adds/s", "waiting", {"smtprelay": [(0.0, 1200.0), (1000000.0, 1000.0)]})
    ]


def test_a_drawing_has_a_line_and_a_mark_for_each_point():
    document = ET.fromstring(draw(panels(found(), [FakeRow("B11")])))
    (line,) = document.iter(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert len(list(document.iter(f"{SVG}circle"))) == 2


def test_higher_values_are_drawn_higher_and_further_to_the_right():
    document = ET.fromstring(draw([Panel("B13: accepts/s", "idle", {"smtprelay": [(10.0, 5.0), (5000.0, 10.0)]})]))
    (line,) = document.iter(f"{SVG}polyline")
    (left, low), (right, high) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert left < right
    assert high < low


def test_a_wide_axis_is_logarithmic_and_begins_with_zero():
    points = [(0.0, 1.0), (10.0, 1.0), (100.0, 1.0), (1000.0, 1.0)]
    document = ET.fromstring(draw([Panel("B11: adds/s", "waiting", {"smtprelay": points})]))
    (line,) = document.iter(f"{SVG}polyline")
    places = [float(point.split(",")[0]) for point in line.attrib["points"].split()]
    steps = [round(after - before) for before, after in pairwise(places)]
    assert len(set(steps)) == 1


def test_words_that_are_marks_of_the_format_are_written_as_words():
    drawing = draw([Panel("a < b & c", "x", {"<them>": [(1.0, 1.0), (2.0, 0.0)]})])
    texts = [text.text for text in ET.fromstring(drawing).iter(f"{SVG}text")]
    assert "a < b & c" in texts
    assert "<them>" in texts
