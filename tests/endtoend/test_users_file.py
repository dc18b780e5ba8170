"""Files of users as other programs write them, and the senders that each user may have."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from harness.processes import find_program
from harness.waiting import until
from mta.cli.main import main
from tests.endtoend.submission import Submission, in_clear_users, plain, submission, users_file
from tests.endtoend.world import received

PASSWORD = "open-sesame/+9"


@pytest.fixture(autouse=True)
def _hidden(world):
    """Have the password sought in all words of the relay."""
    world.secret(PASSWORD)


def output(*command: str, text: str = "") -> str:
    """Return the output of a program, which must succeed."""
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


def htpasswd(user: str) -> str:
    return output("htpasswd", "-nbB", "-C", "5", user, PASSWORD)


def openssl(user: str, kind: str = "-6") -> str:
    return f"{user}:{output('openssl', 'passwd', kind, '-stdin', text=PASSWORD)}"


def dovecot(scheme: str) -> str:
    return output("doveadm", "-c", "/dev/null", "pw", "-s", scheme, "-p", PASSWORD)


def doveadm(user: str, scheme: str) -> str:
    # Dovecot's users have further fields.
    return f"{user}:{dovecot(scheme)}:1000:1000::/home::"


def mkpasswd(user: str, method: str) -> str:
    return f"{user}:{output('mkpasswd', '-m', method, '-s', text=PASSWORD)}"


def mailserver(user: str) -> str:
    """Return a line of docker-mailserver's postfix-accounts.cf."""
    return f"{user}@relay.example.test|{dovecot('SHA512-CRYPT')}"


LINES: dict[str, tuple[str, Callable[[str], str]]] = {
    "htpasswd": ("htpasswd", htpasswd),
    "openssl-6": ("openssl", openssl),
    "openssl-5": ("openssl", lambda user: openssl(user, "-5")),
    "doveadm-sha512": ("doveadm", lambda user: doveadm(user, "SHA512-CRYPT")),
    "doveadm-bcrypt": ("doveadm", lambda user: doveadm(user, "BLF-CRYPT")),
    "doveadm-argon2id": ("doveadm", lambda user: doveadm(user, "ARGON2ID")),
    "doveadm-scram": ("doveadm", lambda user: doveadm(user, "SCRAM-SHA-256")),
    "mkpasswd-yescrypt": ("mkpasswd", lambda user: mkpasswd(user, "yescrypt")),
    "mkpasswd-scrypt": ("mkpasswd", lambda user: mkpasswd(user, "scrypt")),
    "mailserver": ("doveadm", mailserver),
}


def test_each_user_of_files_that_other_programs_wrote_logs_in(world):
    present = {name: line for name, (program, line) in LINES.items() if find_program(program) is not None}
    if not present:
        pytest.skip("none of htpasswd, openssl, doveadm and mkpasswd is installed")
    lines = [line(name) for name, line in present.items()]
    site = submission(world, world.sink(), "\n".join(lines) + "\n")
    users = [f"{name}@relay.example.test" if name == "mailserver" else name for name in present]
    for user in users:
        assert site.in_tls().say(plain(user, PASSWORD)).startswith("235 2.7.0"), user
    # The answers are late for users who have not logged in before.
    for user in users:
        assert site.in_tls().say(plain(user, PASSWORD[:-1])).startswith("535 5.7.8"), user
    if len(present) < len(LINES):
        pytest.skip(f"tested without {', '.join(sorted(LINES.keys() - present))}")


@pytest.mark.skipif(find_program("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("kind", ["-apr1", "-1"])
def test_a_password_of_apaches_or_unix_md5_is_told_and_ends_the_start(world, kind):
    bad = openssl("old", kind)
    sink = world.sink()
    with pytest.raises(RuntimeError) as failure:
        submission(world, sink, in_clear_users({"good": PASSWORD}) + bad + "\n")
    words = str(failure.value)
    assert "line 2" in words
    assert "htpasswd -B" in words
    assert bad.partition(":")[2] not in words
    assert "Traceback" not in words


def told_of(site: Submission, words: str) -> list[str]:
    """Return the notices with these words."""
    return [event["text"] for event in site.relay.events("notice") if words in event["text"]]


def test_a_file_is_read_again_when_it_changes_and_a_bad_line_is_told_and_passed_over(world):
    site = submission(world, world.sink(), in_clear_users({"first": PASSWORD}))
    users_file(world, in_clear_users({"second": PASSWORD}) + f"third:{PASSWORD}\n")
    until(
        lambda: any("line 2" in event["text"] for event in site.relay.events("notice")), what="a word of the bad line"
    )
    assert site.in_tls().say(plain("second", PASSWORD)).startswith("235")
    assert site.in_tls().say(plain("first", PASSWORD)).startswith("535")
    assert site.in_tls().say(plain("third", PASSWORD)).startswith("535")
    assert len(told_of(site, "line 2")) == 1


def test_a_user_that_the_command_adds_may_log_in_while_the_relay_runs(world):
    site = submission(world, world.sink(), in_clear_users({"first": PASSWORD}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTH_USERS_FILE", site.relay.environment["AUTH_USERS_FILE"])
        done = CliRunner().invoke(main, ["user", "add", "second"], input=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    os.kill(site.relay.child.pid, signal.SIGHUP)
    site.relay.wait_for_events("reloaded")
    until(lambda: site.in_tls().say(plain("second", PASSWORD)).startswith("235"), what="a login of the new user")


AUTHORS = b"From: %s\r\nTo: someone@example.test\r\nSubject: x\r\nMessage-ID: <%d@sender.test>\r\n\r\nHello\r\n.\r\n"


def sent(site: Submission, user: str, sender: bytes, authors: bytes) -> str:
    """Send a message, and return the last reply."""
    wire = site.in_tls()
    assert wire.say(plain(user, PASSWORD)).startswith("235")
    said = wire.say(b"MAIL FROM:<" + sender + b">\r\n")
    if not said.startswith("250"):
        return said
    for command in (b"RCPT TO:<someone@example.test>\r\n", b"DATA\r\n"):
        said = wire.say(command)
        if said[:1] not in {"2", "3"}:
            return said
    return wire.say(AUTHORS % (authors, time.monotonic_ns()))


def test_a_user_sends_with_the_senders_of_its_list_alone(world):
    sink = world.sink()
    users = (
        f"limited:{{PLAIN}}{PASSWORD} app@sender.test @shop.test\n"
        f"free:{{PLAIN}}{PASSWORD}\n"
        f"every:{{PLAIN}}{PASSWORD} *\n"
    )
    site = submission(world, sink, users)
    allowed = [
        ("limited", b"app@sender.test", b"app@sender.test"),
        ("limited", b"any@shop.test", b"Some One <other@shop.test>"),
        ("limited", b"", b"app@sender.test"),
        ("limited", b"app@sender.test", b"app@sender.test, two@shop.test"),
        ("free", b"anyone@sender.test", b"another@example.test"),
        ("every", b"anyone@sender.test", b"another@example.test"),
    ]
    for user, sender, authors in allowed:
        assert sent(site, user, sender, authors).startswith("250"), (user, sender, authors)
    refused = [
        (b"ceo@sender.test", b"app@sender.test"),
        (b"app@sender.test", b"ceo@sender.test"),
        (b"app@sender.test", b"app@sender.test, ceo@sender.test"),
        (b"", b"ceo@sender.test"),
        (b"app@sender.test", b'"app@sender.test" <ceo@sender.test>'),
        (b"any@sub.shop.test", b"app@sender.test"),
    ]
    for sender, authors in refused:
        said = sent(site, "limited", sender, authors)
        assert said.startswith("550 5.7.1 "), (sender, authors, said)
        assert "shop.test" not in said.replace(sender.decode() or "-", "")
        assert "limited" in said
    received(sink, len(allowed))
    site.relay.wait_until_empty()
    assert len(sink.messages) == len(allowed)
