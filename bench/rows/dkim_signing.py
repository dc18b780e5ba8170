"""B8: as B1, and every message is signed with DKIM and an RSA key of 2048 bits."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import Source
from bench.row import EXIM, RELAY, RELAY_X2, Bench, Figures, Goal
from bench.rows.sending import share, warm_passage
from bench.server import Server
from harness import sink as recording
from harness.dkim_verifiers import dkimpy_accepts, records
from harness.waiting import until
from mta.dkim.keys import SigningKey, new_key, to_pem

_DOMAIN, _SELECTOR, _FILE = "example.test", "bench", "dkim.pem"
_RELAY = {"DKIM_KEY_PATH": f"@HOME@/{_FILE}", "DKIM_SELECTOR": _SELECTOR}
_EXIM = {
    "smtp: dkim_domain": _DOMAIN,
    "smtp: dkim_selector": _SELECTOR,
    "smtp: dkim_private_key": f"@HOME@/{_FILE}",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """The row."""

    name: str = "B8"
    words: str = "4 KiB, 20 sessions, reused connections, signed with DKIM RSA-2048, end to end"
    contenders: Sequence[str] = (RELAY, RELAY_X2, EXIM)
    goals: Sequence[Goal] = (Goal("end-to-end/s", 1.5, against=EXIM),)

    def run(self, bench: Bench, contender: str) -> Figures:
        """See that the contender signs, then measure it before a sink on the same port."""
        key = new_key(_SELECTOR, "rsa")
        looking = recording.Sink()
        with looking:
            server = bench.server(contender, looking.port, relay=_RELAY, exim=_EXIM, files={_FILE: to_pem(key)})
            with server:
                _see_one(server, looking, key)
                looking.close()
                return _measure(server, looking.port, bench, share(contender, bench.amount(4000, 800)))


def _see_one(server: Server, looking: recording.Sink, key: SigningKey) -> None:
    with Source(server.port, 1, sessions=1) as source:
        until(lambda: looking.messages or source.failed, what="the message that shows whether mail is signed")
    if not (looking.messages and dkimpy_accepts(looking.messages[0].content, records(_DOMAIN, [key]))):
        raise RuntimeError("the mail at the sink has no good signature")


def _measure(server: Server, sink_port: int, bench: Bench, messages: int) -> Figures:
    counting = bench.sink()
    counting.port = sink_port
    with counting as sink:
        return warm_passage(server, sink, messages).figures()


ROW = Signed()
