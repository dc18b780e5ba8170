"""The servers that take part, by name."""

import os
from collections.abc import Mapping

from bench import exim as exim_recipe
from bench import postfix as postfix_recipe
from bench.haraka import Haraka
from bench.peer import Peer
from bench.relay import Relay
from bench.server import LeftOut, Place, Server
from tools import compiling

RELAY = "smtprelay"
RELAY_COMPILED = "smtprelay compiled"
RELAY_X2 = "smtprelay x2"
POSTFIX = "postfix"
EXIM = "exim"
HARAKA = "haraka"


def make(
    name: str,
    place: Place,
    *,
    relay: Mapping[str, str],
    postfix: Mapping[str, str],
    exim: Mapping[str, str],
) -> Server:
    """Return the server of this name, not started. Raises LeftOut if it cannot be had here."""
    if name == RELAY:
        return Relay(place, relay)
    if name == RELAY_COMPILED:
        return Relay(place, {"PYTHONPATH": _compiled_first(), **relay})
    if name == RELAY_X2:
        return Relay(place, {"WORKERS": "2", **relay})
    if name == POSTFIX:
        return Peer(postfix_recipe.RECIPE, place, postfix)
    if name == EXIM:
        return Peer(exim_recipe.RECIPE, place, exim)
    if name == HARAKA:
        return Haraka(place)
    raise LeftOut(f"the bench has no server called {name}")


def _compiled_first() -> str:
    """Return the search path on which Python finds the compiled build. Raises LeftOut without one of this source."""
    if not compiling.is_current():
        raise LeftOut("the modules are not compiled, or changed since then: make compiled")
    return os.pathsep.join(map(str, (compiling.FOLDER, compiling.ROOT)))
