"""How many clients fit into the descriptors that the system lets this process have."""

import resource
from collections.abc import Callable


def room_for_clients(most: int, notice: Callable[[str], object]) -> int:
    """Return how many clients may be connected at once, at most `most`; an operator is told when it must be fewer.

    They get half of the descriptors, for the other half is needed to deliver what they send. The soft limit, which
    many systems set to 1,024 for the sake of programs that use select(), is raised as far as the hard one allows.
    """
    wanted = 2 * most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    notice(f"only {soft // 2} clients may be connected at once, not {most}: let the relay have {wanted} open files")
    return soft // 2
