"""Logins that fail: by guesses, by broken exchanges, and at the wrong moment."""

import select
import time

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.submission import SECOND, STRANGER, THIRD, TRUSTING, TlsWire, in_clear_users, plain, submission
from tests.endtoend.wire import Wire
from tests.endtoend.world import received

USER = "alice"
PASSWORD = "open-sesame/+9"
GUESS = "guess-the-word"
VICTIM = "bob"
USERS = in_clear_users({USER: PASSWORD, VICTIM: PASSWORD})


@pytest.fixture(autouse=True)
def _hidden(world):
    """Have the passwords sought in all words of the relay."""
    world.secret(PASSWORD)
    world.secret(GUESS)


def guess(site, source, number=1):
    """Fail so often from an address, and return the replies and the seconds that each of them needed."""
    replies = []
    wire = None
    for _ in range(number):
        wire = wire or site.in_tls(source)
        began = time.monotonic()
        said = wire.say(plain(VICTIM, GUESS))
        replies.append((said, time.monotonic() - began))
        if said.startswith("421"):
            wire = None
    return replies


def test_three_failures_end_the_session(world):
    site = submission(world, world.sink(), USERS)
    wire = site.in_tls(STRANGER)
    codes = [wire.say(plain(USER, GUESS))[:9] for _ in range(3)]
    assert codes == ["535 5.7.8", "535 5.7.8", "421 4.7.0"]
    assert wire.rest() == b""


def test_an_address_that_guesses_is_answered_later_and_later_but_no_other_address_and_no_known_user(world):
    site = submission(world, world.sink(), USERS)
    # The user has logged in at the address of the guesses before.
    assert site.in_tls(SECOND).say(plain(USER, PASSWORD)).startswith("235")
    seconds = [needed for _, needed in guess(site, SECOND, 5)]
    assert seconds[4] >= 1
    other, user, *guessers = site.in_tls(THIRD), site.in_tls(SECOND), *(site.in_tls(SECOND) for _ in range(6))
    for guesser in guessers:
        guesser.socket.sendall(plain(VICTIM, GUESS))
    site.relay.wait_for_events("login-failed", 11)
    assert other.say(plain(VICTIM, GUESS)).startswith("535")
    assert user.say(plain(USER, PASSWORD)).startswith("235")
    # The last answer to a guess comes after half a minute.
    assert len(select.select([guesser.socket for guesser in guessers], [], [], 0)[0]) < len(guessers)


def test_an_address_that_guesses_on_is_shut_out_of_the_ports_of_submission_and_of_no_other(world):
    site = submission(world, world.sink(), USERS)
    guessers = [site.in_tls(SECOND) for _ in range(20)]
    for wire in guessers:
        wire.socket.sendall(plain(USER, GUESS))
    until(lambda: Wire(site.starttls.port, SECOND).greeting.startswith("421 4.7.0"), what="a refusal by the greeting")
    assert Wire(site.relay.port, SECOND).greeting.startswith("220")
    assert Wire(site.starttls.port, THIRD).greeting.startswith("220")
    assert site.in_tls(THIRD).say(plain(USER, PASSWORD)).startswith("235")


def test_our_own_networks_are_not_shut_out(world):
    site = submission(world, world.sink(), USERS)
    guessers = [site.in_tls() for _ in range(21)]
    for wire in guessers:
        wire.socket.sendall(plain(USER, GUESS))
    site.relay.wait_for_events("login-failed", 5)
    assert site.in_tls().say(b"NOOP\r\n").startswith("250")


def test_an_unknown_user_is_answered_in_the_same_words_and_its_name_is_not_logged(world):
    site = submission(world, world.sink(), USERS)
    # People type their password in the place of their name.
    unknown = world.secret("a-password-typed-as-name")
    wire = site.in_tls(STRANGER)
    assert wire.say(plain(unknown, GUESS)) == wire.say(plain(USER, GUESS))
    events = site.relay.wait_for_events("login-failed", 2)
    assert [event.get("user", "") for event in events] == ["", USER]


EXCHANGES = {
    "cancelled": (b"AUTH PLAIN\r\n", b"*\r\n", "501 5.7.0"),
    "cancelled later": (b"AUTH LOGIN\r\n", b"*\r\n", "501 5.7.0"),
    "bad base64": (b"AUTH PLAIN\r\n", b"not base64!\r\n", "501 5.5.2"),
    "padding amiss": (b"AUTH LOGIN\r\n", b"YWxpY2U\r\n", "501 5.5.2"),
    "a command as response": (b"AUTH LOGIN\r\n", b"MAIL FROM:<a@sender.test>\r\n", "501 5.5.2"),
}


def test_a_broken_exchange_gets_one_reply_and_no_command_in_it_is_executed(world):
    sink = world.sink()
    site = submission(world, sink, USERS)
    for name, (command, response, reply) in EXCHANGES.items():
        wire = site.in_tls()
        assert wire.say(command).startswith("334"), name
        assert wire.say(response).startswith(reply), name
        # The next reply is that of the next command.
        assert wire.say(b"NOOP\r\n").startswith("250"), name
        assert wire.say(b"RCPT TO:<someone@example.test>\r\n").startswith("5"), name
        assert wire.say(plain(USER, PASSWORD)).startswith("235"), name
    wire = site.in_tls()
    assert wire.say(b"AUTH PLAIN bad!\r\n").startswith("501 5.5.2")
    assert wire.say(b"AUTH NTLM\r\n").startswith("504 5.5.4")
    assert wire.say(b"AUTH\r\n").startswith("501 5.5.4")
    assert wire.say(plain(USER, PASSWORD)).startswith("235")


def test_auth_comes_once_and_between_messages(world):
    sink = world.sink()
    site = submission(world, sink, USERS)
    wire = site.in_tls()
    assert wire.say(plain(USER, PASSWORD)).startswith("235")
    assert wire.say(plain(USER, PASSWORD)).startswith("503 5.5.1")
    assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("250")
    assert wire.say(plain(USER, PASSWORD)).startswith("503 5.5.1")
    assert wire.say(b"RCPT TO:<someone@example.test>\r\n").startswith("250")
    assert wire.say(b"DATA\r\n").startswith("354")
    assert wire.say(mail() + b".\r\n").startswith("250")
    received(sink)


def test_auth_within_a_transaction_of_port_25_is_refused(world):
    site = submission(world, world.sink(), USERS, SUBMISSION_PORT="", AUTH_IN_CLEAR="trusted", SUBMISSION_TLS_PORT="")
    wire = Wire(site.relay.port)
    wire.say(b"EHLO client.test\r\n")
    assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("250")
    assert wire.say(plain(USER, PASSWORD)).startswith("503 5.5.1")
    assert wire.say(b"RCPT TO:<someone@example.test>\r\n").startswith("250")


def test_commands_behind_auth_wait_for_its_end(world):
    site = submission(world, world.sink(), USERS)
    wire = site.in_tls()
    said = wire.say(plain(USER, PASSWORD) + b"MAIL FROM:<a@sender.test>\r\nRSET\r\n")
    assert [said[:3], wire.reply()[:3], wire.reply()[:3]] == ["235", "250", "250"]
    wire = site.in_tls()
    said = wire.say(plain(USER, GUESS) + b"MAIL FROM:<a@sender.test>\r\nNOOP\r\n")
    assert [said[:3], wire.reply()[:3], wire.reply()[:3]] == ["535", "530", "250"]


def test_starttls_forgets_a_login_in_clear(world):
    site = submission(world, world.sink(), USERS, AUTH_IN_CLEAR="trusted")
    wire = Wire(site.starttls.port)
    wire.say(b"EHLO client.test\r\n")
    assert wire.say(plain(USER, PASSWORD)).startswith("235")
    assert wire.say(b"STARTTLS\r\n").startswith("220")
    wire.socket = TRUSTING.wrap_socket(wire.socket, server_hostname="localhost")
    wire.say(b"EHLO client.test\r\n")
    assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("530 5.7.0")
    assert wire.say(plain(USER, PASSWORD)).startswith("235")
    assert wire.say(b"MAIL FROM:<a@sender.test>\r\n").startswith("250")


def test_a_stop_ends_logins_under_way_and_leaves_no_traceback(world):
    site = submission(world, world.sink(), USERS)
    guess(site, SECOND, 4)
    late, begun, gone = site.in_tls(SECOND), site.in_tls(), site.in_tls(THIRD)
    late.socket.sendall(plain(VICTIM, GUESS))
    begun.socket.sendall(b"AUTH LOGIN\r\n")
    gone.socket.sendall(plain(VICTIM, GUESS))
    gone.socket.close()
    assert begun.reply().startswith("334")
    assert site.relay.stop() == 0
    assert begun.reply().startswith("421")
    assert "Traceback" not in site.relay.child.text
    assert site.relay.events("fault") == []


class Balanced(TlsWire):
    """A client behind a load balancer at 127.0.0.5, which names the client's address."""

    def __init__(self, port, client):
        self._header = b"PROXY TCP4 " + client + b" 127.0.0.1 40000 465\r\n"
        super().__init__(port, "127.0.0.5")

    def connected(self, plain):
        plain.sendall(self._header)
        return super().connected(plain)


def test_logins_behind_a_load_balancer_count_for_the_client_that_the_header_names(world):
    site = submission(world, world.sink(), USERS, PROXY_NETWORKS="127.0.0.5")

    def login(client: bytes, password: str) -> str:
        """Return the reply to a login of a client behind the load balancer."""
        wire = Balanced(site.implicit.port, client)
        wire.say(b"EHLO client.test\r\n")
        return wire.say(plain(USER, password))

    assert login(b"192.0.2.1", PASSWORD).startswith("235")
    assert login(b"192.0.2.2", GUESS).startswith("535")
    assert [event["client"] for event in site.relay.wait_for_events("login")] == ["192.0.2.1"]
    assert [event["client"] for event in site.relay.wait_for_events("login-failed")] == ["192.0.2.2"]
