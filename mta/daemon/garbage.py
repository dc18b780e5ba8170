"""Sets how often Python looks for garbage in reference cycles."""

import gc

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
