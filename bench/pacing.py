"""The pace of a destination over time, found by the delivery side before model servers, drawn as SVG.

    python -m bench.pacing docs/throttling.svg

No time passes and no socket is opened: the relay's delivery side runs on a clock, before the servers of
`harness/limited_server.py`. The figures are the same on any machine.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from harness.limited_delivery import DeliverySide
from harness.limited_server import Limit, LimitedServer, SlidingWindow, TokenBucket

_WIDTH, _HEIGHT, _LEGEND = 900, 230, 30
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 44, 46
_PACE, _LIMIT, _REFUSED = "#1f5fa8", "#6b6b6b", "#c4501b"
#: Points of a drawn line.
_POINTS = 600

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A server whose limits follow each other: each from its second on, with the rate that it allows."""

    title: str
    limits: Sequence[tuple[float, Callable[[], Limit], float]]
    messages: int
    seconds: float
    #: The name of the drawn unit of time, and its seconds.
    unit: tuple[str, float]


SCENES = (
    Scene(
        "Five messages a second, counted in any second; 2,000 messages at once",
        [(0, lambda: SlidingWindow(5, 1), 5.0)],
        2000,
        420,
        ("second", 1.0),
    ),
    Scene(
        "A limit that changes: ten a second, then two, then ten",
        [
            (0, lambda: TokenBucket(10, 10), 10.0),
            (120, lambda: TokenBucket(2, 2), 2.0),
            (300, lambda: TokenBucket(10, 10), 10.0),
        ],
        5000,
        600,
        ("second", 1.0),
    ),
    Scene(
        "Twenty messages an hour, counted in any hour; 300 messages at once",
        [(0, lambda: SlidingWindow(20, 3600), 20 / 3600)],
        300,
        16 * 3600,
        ("hour", 3600.0),
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The course of a scene. Times are seconds since its begin, paces messages a second."""

    pace: Points
    refused: Sequence[float]
    taken: int


def run(scene: Scene) -> Seen:
    """Play a scene; return its course."""
    relay = DeliverySide()
    begun = relay.clock.seconds()
    server = LimitedServer(relay.clock, scene.limits[0][1]())
    relay.to(server)
    relay.send(scene.messages)
    coming = list(scene.limits[1:])
    pace: list[tuple[float, float]] = []
    while (now := relay.clock.seconds() - begun) < scene.seconds and len(server.taken) < scene.messages:
        if coming and now >= coming[0][0]:
            server.limit = coming.pop(0)[1]()
        step = min(call.getTime() for call in relay.clock.getDelayedCalls()) - relay.clock.seconds()
        relay.clock.advance(max(0.0, min(step, scene.seconds / _POINTS)))
        rate = relay.pace()
        if rate is not None and (not pace or now - pace[-1][0] >= scene.seconds / _POINTS):
            pace.append((now, rate))
    return Seen(pace, [at - begun for at in server.refused], len(server.taken))


def draw(scenes: Sequence[tuple[Scene, Seen]]) -> str:
    """Return the scenes as one SVG document, below each other."""
    body = "".join(
        f'<g transform="translate(0,{_LEGEND + _HEIGHT * place})">{"".join(_panel(scene, seen))}</g>\n'
        for place, (scene, seen) in enumerate(scenes)
    )
    height = _LEGEND + _HEIGHT * len(scenes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{"".join(_legend())}\n{body}</svg>\n'
    )


def _legend() -> Iterator[str]:
    middle = _LEGEND / 2
    yield _line(_PACE, [(_LEFT, middle), (_LEFT + 30, middle)], 'stroke-width="2"')
    yield _text(_LEFT + 36, middle + 4, "pace of the relay", "")
    yield _line(_LIMIT, [(_LEFT + 170, middle), (_LEFT + 200, middle)], _DASHED)
    yield _text(_LEFT + 206, middle + 4, "limit of the server", "")
    yield f'<path d="M{_LEFT + 340} {middle - 5}v10" stroke="{_REFUSED}" stroke-width="1.5"/>'
    yield _text(_LEFT + 348, middle + 4, "refusal", "")


def _panel(scene: Scene, seen: Seen) -> Iterator[str]:
    name, unit = scene.unit
    allowed = [(begin, rate * unit) for begin, _, rate in scene.limits]
    # Beyond twice the limit a pace is only known to be too high.
    top = 2 * max(rate for _, rate in allowed)

    def across(seconds: float) -> float:
        return _LEFT + seconds / scene.seconds * (_WIDTH - _LEFT - _RIGHT)

    def up(rate: float) -> float:
        return _HEIGHT - _BOTTOM - min(rate, top) / top * (_HEIGHT - _TOP - _BOTTOM)

    yield _text(_LEFT, 18, scene.title, 'font-weight="bold"')
    yield _text(_WIDTH - _RIGHT, 18, f"{len(seen.refused)} of {seen.taken + len(seen.refused)} refused", _END)
    for rate in (0, top / 2, top):
        yield f'<path d="M{_LEFT} {up(rate):.1f}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>'
        yield _text(_LEFT - 6, up(rate) + 4, f"{rate:g}", _END)
    for part in range(5):
        seconds = scene.seconds * part / 4
        yield _text(across(seconds), _HEIGHT - _BOTTOM + 24, f"{seconds / unit:g}", 'text-anchor="middle"')
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, f"{name}s", 'text-anchor="middle"')
    yield _text(_LEFT, _TOP - 8, f"messages per {name}", 'fill="#444"')
    ends = [*(begin for begin, _ in allowed[1:]), scene.seconds]
    for (begin, rate), end in zip(allowed, ends, strict=True):
        yield _line(_LIMIT, [(across(begin), up(rate)), (across(end), up(rate))], _DASHED)
    yield _line(_PACE, [(across(at), up(rate * unit)) for at, rate in seen.pace], 'stroke-width="1.5"')
    bottom = _HEIGHT - _BOTTOM
    for at in sorted({round(across(at), 1) for at in seen.refused if at <= scene.seconds}):
        yield f'<path d="M{at} {bottom}v10" stroke="{_REFUSED}" stroke-width="1.5"/>'


_END, _DASHED = 'text-anchor="end"', 'stroke-width="2" stroke-dasharray="6 4"'


def _line(colour: str, points: Points, style: str) -> str:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{way}" fill="none" stroke="{colour}" {style}/>'


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def main() -> None:
    """Draw all scenes into the file that is named, and print their figures."""
    played = [(scene, run(scene)) for scene in SCENES]
    Path(sys.argv[1]).write_text(draw(played))
    for scene, seen in played:
        print(f"{scene.title}: {seen.taken} taken, {len(seen.refused)} refused")  # noqa: T201  a command's output


if __name__ == "__main__":
    main()
