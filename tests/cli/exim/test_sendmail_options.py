"""The command line of sendmail, as programs and people type it."""

import os

import pytest

from mta.cli.exim.sendmail_options import CommandLine, SendmailError, SendmailMode, read_command_line


def read(words: str) -> CommandLine:
    return read_command_line(words.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-t", CommandLine(from_header=True)),
        ("-ti", CommandLine(from_header=True, dots=True)),
        ("-t -oi", CommandLine(from_header=True, dots=True)),
        ("-toi", CommandLine(from_header=True, dots=True)),
        ("-i -- -odd@b.test", CommandLine(dots=True, recipients=["-odd@b.test"])),
        # cron, mdadm and smartd, git send-email, mutt, PHP.
        ("-i -FCronDaemon -B8BITMIME -oem root", CommandLine(dots=True, full_name="CronDaemon", recipients=["root"])),
        ("-oi -f me@a.test b@b.test", CommandLine(dots=True, sender="me@a.test", recipients=["b@b.test"])),
        ("-oem -oi -N failure,delay -R hdrs -f me@a.test -- b@b.test",
         CommandLine(dots=True, sender="me@a.test", notify="FAILURE,DELAY", ret="HDRS", recipients=["b@b.test"])),
        ("b@b.test -f me@a.test", CommandLine(sender="me@a.test", recipients=["b@b.test"])),
        ("-tfme@a.test", CommandLine(from_header=True, sender="me@a.test")),
        ("-r <me@a.test> x", CommandLine(sender="me@a.test", recipients=["x"])),
        ("-fMe<me@a.test> x", CommandLine(sender="me@a.test", recipients=["x"])),
        ("-f <> x", CommandLine(sender="", recipients=["x"])),
        ("-F Me x", CommandLine(full_name="Me", recipients=["x"])),
        ("-V id+1=x x", CommandLine(envelope_id="id+2B1+3Dx", recipients=["x"])),
        ("-v -n -m -U -G -om -odb -odi -oee -o7 -bm -Ac -d0.1 -h 5 -L tag -O A=b -OA=b -p ESMTP -em x",
         CommandLine(recipients=["x"])),
        ("-oMr local -oMs host -oMa 192.0.2.1 x", CommandLine(recipients=["x"])),
        ("-bs", CommandLine(mode=SendmailMode.DIALOGUE)),
        ("-bp", CommandLine(mode=SendmailMode.LIST)),
        ("-bi", CommandLine(mode=SendmailMode.ALIASES)),
        ("-I", CommandLine(mode=SendmailMode.ALIASES)),
        ("-q", CommandLine(mode=SendmailMode.RUN)),
        ("-qI0gqw5z6cn4j0y", CommandLine(mode=SendmailMode.RUN, run_id="0gqw5z6cn4j0y")),
        ("-qRb.test", CommandLine(mode=SendmailMode.RUN, run_domain="b.test")),
    ],
)  # fmt: skip
def test_a_command_line_is_read(words: str, expected: CommandLine) -> None:
    assert read(words) == expected


def test_an_empty_word_after_f_is_the_null_sender() -> None:
    assert read_command_line(["-f", "", "x"]).sender == ""


@pytest.mark.parametrize("value", ["a\nb", "a b", "a> SIZE=1", "<a", "<a><b>", "\udcff@b.test", "a\x01@b.test"])
def test_a_sender_that_would_change_the_command_or_the_from_field_is_refused(value: str) -> None:
    with pytest.raises(SendmailError, match=r"^sendmail: -f .*: not an address$"):
        read_command_line(["-f", value, "x"])


@pytest.mark.parametrize(
    "words",
    ["-bd", "-bD", "-bt a@b.test", "-bv a@b.test", "-bS", "-bz", "-q15m", "-Zx a@b.test", "-C /etc/mail.cf", "-f",
     "-N sometimes", "-N success,", "-N never,delay", "-R all", f"-V {'x' * 101}", "--help", "-s subject"],
)  # fmt: skip
def test_an_option_that_is_not_supported_is_a_wrong_use(words: str) -> None:
    with pytest.raises(SendmailError) as refused:
        read(words)
    assert refused.value.exit_code == os.EX_USAGE
    (line,) = refused.value.lines
    assert line.startswith("sendmail: -")


@pytest.mark.parametrize(
    "words", [["-z\nx"], ["-b", "x\ny"], ["-N", "x\ry"], ["-R", "\x1b[31m"], ["-qx\ny"], ["-f", "a\nb"]]
)
def test_an_error_about_an_option_is_one_line_that_can_be_shown(words: list[str]) -> None:
    with pytest.raises(SendmailError) as refused:
        read_command_line([*words, "a@b.test"])
    (line,) = refused.value.lines
    assert line.isprintable()


def test_an_envelope_id_of_any_octets_is_xtext() -> None:
    assert read_command_line(["-V", "ä \udcff"]).envelope_id == "+C3+A4+20+FF"
