"""The templates of the page and its files. Imported for the first browser, because jinja2 is large."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mta.admin.views import text
from mta.admin.views.traffic_plot import TrafficPlot
from mta.explain.values import RouteVerdict
from mta.explain.words import route_words
from mta.message.dates import short_timestamp, utc
from mta.queue.ids import arrival_of

_HERE = Path(__file__).parent
#: The views, each with its path and its words.
VIEWS = (
    ("overview", "/", "Overview"),
    ("messages", "/messages", "Messages"),
    ("destinations", "/destinations", "Destinations"),
    ("live", "/live", "Live"),
    ("settings", "/settings", "Settings"),
)
# The templates of the views that a browser may open first, with those that they extend and import.
_OF_FIRST_VIEWS = ("base.html", "parts.html", "domains.html", "login.html", "overview.html")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, as it is and compressed."""

    content: bytes
    compressed: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class SiteData:
    """The data of every template."""

    name: str
    version: str
    needs_password: bool
    views: tuple[tuple[str, str, str], ...] = VIEWS


class Templates:
    """The templates and the files, read once."""

    def __init__(self) -> None:
        """Read the files, and compile the templates of the first views; this blocks for some hundredths of a second."""
        self.files = dict(_static_files())
        names = sorted(self.files)
        #: Part of the path of each file, so that a browser may keep it for ever.
        self.digest = hashlib.sha256(b"".join(self.files[name].content for name in names)).hexdigest()[:12]
        self._environment = _environment(self.digest)
        self.compile(*_OF_FIRST_VIEWS)

    def compile(self, *names: str) -> None:
        """Compile templates; the others are compiled when they are first rendered."""
        for name in names:
            self._environment.get_template(name)

    def render(self, template: str, **data: object) -> bytes:
        """Return a page. All text is escaped."""
        return self._environment.get_template(template).render(**data).encode()


def compress(body: bytes) -> bytes:
    """Return octets as gzip has them."""
    return gzip.compress(body, 5, mtime=0)


def _static_files() -> Iterator[tuple[str, StaticFile]]:
    for path in sorted((_HERE / "static").rglob("*")):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            yield (
                path.relative_to(_HERE / "static").as_posix(),
                StaticFile(content, gzip.compress(content, 9, mtime=0), _TYPES[path.suffix]),
            )


def _environment(digest: str) -> Environment:
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(_HERE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        time=time_tag,
        arrival=lambda entry: arrival_of(entry.id, entry.created),
        clock=clock_text,
        number=text.number,
        size=text.size,
        duration=text.duration,
        plot=plot_json,
        pace=pace_text,
        route=route_text,
    )
    environment.globals.update(static=lambda name: f"/static/{digest}/{name}")
    return environment


def time_tag(seconds: float) -> Markup:
    """Return a time in UTC, which a script shows in the browser's zone too."""
    at = utc(seconds)
    shown = f"{at.day} {_MONTHS[at.month - 1]} {at.hour:02}:{at.minute:02}:{at.second:02} UTC"
    return Markup('<time datetime="{}">{}</time>').format(short_timestamp(seconds), shown)


def clock_text(seconds: float) -> str:
    """Return hour and minute in UTC."""
    at = utc(seconds)
    return f"{at.hour:02}:{at.minute:02}"


def plot_json(plot: TrafficPlot) -> str:
    """Return the numbers of a plot for a script."""
    names = ("start", "step", "accepted", "delivered", "failed")
    return json.dumps({name: getattr(plot, name) for name in names}, separators=(",", ":"))


def pace_text(pace: float) -> str:
    """Return a pace in messages a second, or a minute or an hour if that is more than one."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if pace * seconds >= 1:
            return f"{pace * seconds:.3g}/{unit}"
    return f"1 in {text.duration(1 / pace)}" if pace > 0 else "none"


def route_text(route: RouteVerdict) -> str:
    """Return a route and its reason in words."""
    return route_words(route)
