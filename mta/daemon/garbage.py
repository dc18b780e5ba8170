"""Sets when, and among which objects, Python looks for garbage in reference cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Objects that are made and not freed until Python looks at the youngest ones. Its own number is 700.
#
# The messages of a few sessions reach 700 again and again, although the relay frees nearly all objects by counting
# their references: looking in vain took a twentieth of a message's time, and in a process with the page 60 ms at a time
# for all of its objects (measured).
OBJECTS = 5000


def look_for_garbage_rarely() -> None:
    """Look for garbage after OBJECTS objects. Older ones are looked at in the proportions of Python."""
    _, *older = gc.get_threshold()
    gc.set_threshold(OBJECTS, *older)


@contextmanager
def imports_without_search() -> Iterator[None]:
    """Do not look for garbage while modules are imported, nor later among the objects that exist then.

    Python would look at all functions and classes again and again while more are made, a tenth of a start (measured),
    and later at each search in old objects. Modules stay, so that there is little garbage to find among them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
