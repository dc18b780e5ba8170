"""The drawn paces: each scene reaches the limit of its model server."""

from xml.etree import ElementTree as ET

from bench.pacing import SCENES, Scene, draw, run
from harness.limited_server import SlidingWindow

SHORT = Scene("five <a second>", [(0, lambda: SlidingWindow(5, 1), 5.0)], 60, 20, ("second", 1.0))


def test_a_scene_shows_a_pace_near_the_limit_and_few_refusals() -> None:
    seen = run(SHORT)
    assert seen.taken == 60
    assert all(2.5 < pace < 7.5 for at, pace in seen.pace if at > 2)
    assert len(seen.refused) < 15


def test_the_scenes_are_drawn_as_one_picture() -> None:
    root = ET.fromstring(draw([(SHORT, run(SHORT)), (SHORT, run(SHORT))]))
    assert root.tag.endswith("svg")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}g"))) == 2


def test_each_scene_ends_before_its_messages_or_its_time() -> None:
    assert all(scene.messages > 0 and scene.seconds > 0 for scene in SCENES)
