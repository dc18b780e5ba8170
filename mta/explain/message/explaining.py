"""The call by which the command and the page explain one message."""

from dataclasses import replace

from mta.admin.state import RelayState
from mta.explain.message.gathering import gather
from mta.explain.message.page import MessagePage
from mta.explain.message.view import page_of
from mta.explain.present import PresentRelay


async def explain_message(
    id: str, state: RelayState, present: PresentRelay | None, now: float, *, mistakes: tuple[str, ...] = ()
) -> MessagePage:
    """Return the page about the message whose id begins so, at the wall-clock time `now`.

    `present` is made for this question, with the rules in force; it is None if the settings have `mistakes`. It decides
    whether names are looked up, and in which thread files are read. With look-ups the answer may take as long as the
    DNS, without them no longer than `state`. Nothing blocks, as far as `state` and `present.run` do not.

    Raises `mta.explain.message.page.MessageNotFound`, whose text is for the operator, and StateError.
    """
    return page_of(replace(await gather(id, state, present, now), mistakes=mistakes))
