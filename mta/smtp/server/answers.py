"""The changes of a server's session by the answers of its driver.

The table AFTER_ANSWER has the phase that follows the answer to each question, and the function for everything else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mta.smtp.errors import LocalProtocolError
from mta.smtp.framing import ChunkReader, DotReader
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.phases import PendingQuestion, Phase
from mta.smtp.server.state import ServerState

# `state` says why the members are not read off the Enum each time.
_CLOSED, _LOGIN = Phase.CLOSED, Phase.LOGIN


def answer(state: ServerState, reply: Reply) -> None:
    """Answer the pending question. Raises LocalProtocolError if there is none."""
    question, state.question = state.question, None
    if question is None:
        raise LocalProtocolError(f"nothing was asked that {reply} could answer")
    if state.phase is _CLOSED:
        return
    if reply.code == 421:
        state.close(reply, reply.text)
        return
    after = AFTER_ANSWER[question]
    phase = after.positive if reply.positive else after.negative
    if phase is not None:
        state.phase = phase
    after.effect(state, reply)


def _greeted(state: ServerState, reply: Reply) -> None:
    if not reply.positive:
        state.close(reply, reply.text)
    elif state.input.size and not state.leniency.haste:
        state.close(canned_replies.SPOKE_TOO_SOON, "input before the greeting")
    else:
        state.outgoing.append(reply.wire)


def _hello_answered(state: ServerState, reply: Reply) -> None:
    if not reply.positive:
        state.say(reply)
    elif state.extended:
        state.say(
            canned_replies.extended_hello(
                state.name,
                state.limits,
                starttls=state.starttls and not state.tls,
                dsn=state.dsn,
                mechanisms=state.mechanisms,
                latest_release=state.latest_release(),
                in_tls=state.tls,
            )
        )
    else:
        state.say(canned_replies.hello(state.name))
    if state.logins.required and not state.logged_in and reply.positive:
        state.phase = _LOGIN


def _recipient_answered(state: ServerState, reply: Reply) -> None:
    state.outgoing.append(reply.wire)
    if reply.positive:
        state.transaction.accepted += 1
    else:
        state.transaction.refused += 1


def _data_answered(state: ServerState, reply: Reply) -> None:
    if state.input.size and not (state.leniency.haste and reply.positive):
        state.close(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")
        return
    state.data_refused = not reply.positive
    state.begin_body()
    state.dots = DotReader()
    state.outgoing.append(reply.wire)


def _chunk_answered(state: ServerState, reply: Reply) -> None:
    state.begin_body()
    state.chunks = ChunkReader()
    if not reply.positive:
        state.chunk.refusal = reply


def _message_answered(state: ServerState, reply: Reply) -> None:
    state.outgoing.append(reply.wire)
    if reply.positive:
        state.idle = 0


def _auth_answered(state: ServerState, reply: Reply) -> None:
    state.outgoing.append(reply.wire)
    if reply.code == 334:
        state.expect_response()
    elif reply.positive:
        state.log_in()
    else:
        state.leave_login()


def _tls_answered(state: ServerState, reply: Reply) -> None:
    if reply.positive and state.input.size:
        state.close(canned_replies.INPUT_BEHIND_STARTTLS, "input behind STARTTLS")
    else:
        state.outgoing.append(reply.wire)


@dataclass(frozen=True, slots=True)
class AfterAnswer:
    """The phases after a positive and after a negative answer (None: no change), and a further effect."""

    positive: Phase
    negative: Phase | None
    effect: Callable[[ServerState, Reply], None] = ServerState.say


AFTER_ANSWER = {
    PendingQuestion.GREETING: AfterAnswer(Phase.HELLO, Phase.CLOSED, _greeted),
    PendingQuestion.HELLO: AfterAnswer(Phase.READY, None, _hello_answered),
    PendingQuestion.SENDER: AfterAnswer(Phase.MAIL, Phase.READY),
    PendingQuestion.RECIPIENT: AfterAnswer(Phase.RCPT, None, _recipient_answered),
    PendingQuestion.DATA: AfterAnswer(Phase.DATA, Phase.READY, _data_answered),
    PendingQuestion.CHUNK: AfterAnswer(Phase.CHUNK, Phase.SKIP, _chunk_answered),
    PendingQuestion.MESSAGE: AfterAnswer(Phase.READY, Phase.READY, _message_answered),
    PendingQuestion.AUTH: AfterAnswer(Phase.READY, None, _auth_answered),
    PendingQuestion.TLS: AfterAnswer(Phase.TLS, None, _tls_answered),
}
