"""Every script, straight into the machine: whole, and one octet at a time."""

import base64
from dataclasses import replace

import pytest

from mta.smtp.limits import STRICT, SmtpLimits
from mta.smtp.replies import Reply, reply
from mta.smtp.sasl import server
from mta.smtp.sasl.scram import ScramSecret
from mta.smtp.server import canned_replies
from mta.smtp.server.auth import NO_LOGINS, LoginTerms
from mta.smtp.server.events import (
    NEED_DATA,
    WAITING,
    AuthBegin,
    AuthResponse,
    BodyEnd,
    BodyPart,
    BodyRefused,
    Closed,
    CommandRefused,
    DataBegin,
    Event,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    StartTls,
)
from mta.smtp.server.machine import ServerMachine
from tests.dialogues.script import LENIENCY, PASSWORD, SCRIPTS, USER, Happen, octets, read_script, run, unescape, whole

MECHANISMS = ("PLAIN", "LOGIN")
LOGGED_IN = reply(235, "2.7.0", "logged in")
WRONG = reply(535, "5.7.8", "wrong")
GREETING = reply(220, "", "mx.example.test ESMTP")
QUEUED = reply(250, "2.0.0", "queued")
REFUSED = reply(550, "5.7.1", "not permitted")
LATER = reply(451, "4.3.0", "try later")


def _logins(words: list[str]) -> LoginTerms:
    in_clear = MECHANISMS if "in_clear" in words else ()
    return LoginTerms(in_clear, MECHANISMS, required="required" in words)


def _no_secret(user: str) -> ScramSecret:
    raise AssertionError(user)


def _reply_to(step: server.Step) -> Reply:
    match step:
        case server.Challenge(data):
            return reply(334, "", base64.b64encode(data).decode())
        case server.PasswordGiven(user, password) if (user, password) == (USER, PASSWORD):
            return LOGGED_IN
    return WRONG


class MachineDriver:
    """Answers for policy and queue, at once or when told to; keeps the accepted messages."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[str], bytes]] = []
        self._said = ""
        self._held: list[Reply] | None = None
        self._forget()

    def open(self, opening: dict[str, str]) -> None:
        limits = {
            name: int(number) for name, _, number in (item.partition("=") for item in opening.get("limits", "").split())
        }
        self._machine = ServerMachine(
            replace(SmtpLimits(), **limits),
            "mx.example.test",
            starttls="starttls" in opening,
            leniency=LENIENCY if "lenient" in opening else STRICT,
            logins=_logins(opening["logins"].split()) if "logins" in opening else NO_LOGINS,
        )
        self._held = [] if "greeting" in opening else None
        self._answer(GREETING)
        self._pump()

    def send(self, data: bytes) -> None:
        self._machine.receive(data)
        self._pump()

    def reply(self) -> list[str]:
        lines = []
        while self._said:
            line, _, self._said = self._said.partition("\r\n")
            lines.append(line)
            if line[3] == " ":
                break
        return lines

    def unread(self) -> str:
        return self._said

    def happen(self, event: Happen) -> None:
        name = f"{event.name}_{event.argument}" if event.name in ("verdict", "connection") else event.name
        getattr(self, f"_{name}")(event.argument)

    def _verdict_pending(self, _: str) -> None:
        self._held = []

    def _verdict_given(self, _: str) -> None:
        held, self._held = self._held, None
        for verdict in held or []:
            self._machine.answer(verdict)
        self._pump()

    def _tls(self, _: str) -> None:
        self._machine.tls_started()

    def _connection_lost(self, _: str) -> None:
        self._machine.lost()
        self._pump()
        assert self._machine.closing

    def _connection_half_closed(self, _: str) -> None:
        self._machine.eof()
        self._pump()

    def _connection_closed(self, _: str) -> None:
        assert self._machine.closing

    def _messages(self, number: str) -> None:
        assert len(self.messages) == int(number)

    def _body(self, text: str) -> None:
        assert self.messages[-1][2].endswith(unescape(text))

    def _envelope(self, addresses: str) -> None:
        sender, recipients, _ = self.messages[-1]
        assert [sender, *recipients] == addresses.split()

    def _pump(self) -> None:
        while (event := self._machine.next_event()) is not NEED_DATA and event is not WAITING:
            self._take(event)
        self._said += self._machine.to_send().decode()

    def _take(self, event: Event) -> None:
        match event:
            case Hello():
                self._answer(GREETING)
            case MailFrom(sender):
                self._forget()
                self._sender = str(sender or "<>")
                self._answer(REFUSED if self._sender.endswith("@refused.test") else canned_replies.SENDER_OK)
            case RcptTo(recipient):
                self._consider(str(recipient.address), recipient.address.domain)
            case DataBegin():
                self._body_so_far = b""
                self._answer(canned_replies.SEND_DATA)
            case BodyPart(data):
                self._body_so_far += data
            case BodyEnd():
                self.messages.append((self._sender, self._recipients, self._body_so_far))
                self._forget()
                self._answer(QUEUED)
            case StartTls():
                self._answer(canned_replies.READY_FOR_TLS)
            case AuthBegin(mechanism, initial):
                self._exchange = server.start(mechanism, secret_of=_no_secret, binding=None, nonce="")
                self._answer(_reply_to(self._exchange.respond(initial)))
            case AuthResponse(response):
                self._answer(_reply_to(self._exchange.respond(response)))
            case Reset() | Closed() | BodyRefused():
                self._forget()
            case CommandRefused():
                pass

    def _consider(self, address: str, domain: str) -> None:
        verdict = {"refused.test": REFUSED, "later.test": LATER}.get(domain, canned_replies.RECIPIENT_OK)
        if verdict.positive:
            self._recipients.append(address)
        self._answer(verdict)

    def _answer(self, verdict: Reply) -> None:
        if self._held is None:
            self._machine.answer(verdict)
        else:
            self._held.append(verdict)

    def _forget(self) -> None:
        self._sender = ""
        self._recipients: list[str] = []
        self._body_so_far = b""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_comes_out_as_written(path):
    run(read_script(path), MachineDriver(), whole)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_comes_out_alike_one_octet_at_a_time(path):
    script = read_script(path)
    if "whole" in script.opening:
        pytest.skip("the script is about segments")
    run(script, MachineDriver(), octets)
