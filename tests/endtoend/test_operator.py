"""The operator's commands beside the running daemon."""

import os
import subprocess
import threading

from harness.daemon import ROOT, Daemon, program
from harness.shifted_clock import WallClock
from harness.sink_rules import Rule
from harness.waiting import until
from tests.acceptance.stage import advance
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

LATER = "F,1h,30m"
HALF_AN_HOUR = 1800.0


def busy(times=None):
    """Return the rule of a server that has no time."""
    return Rule("RCPT", "451 4.3.0 come back", times=times)


def test_a_waiting_message_is_shown_and_a_retry_delivers_it_at_once(world):
    sink = world.sink(busy(1))
    relay = world.relay(sink, RETRY_SCHEDULE=LATER)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    (entry,) = relay.queue()
    (recipient,) = entry["recipients"]
    assert entry["sender"] == "sender@sender.test"
    assert recipient["address"] == TO
    assert recipient["attempts"] == 1
    assert "451 4.3.0 come back" in str(recipient)
    assert TO in relay.tool("queue", "show", entry["id"]).stdout
    done = relay.tool("queue", "retry", entry["id"])
    assert done.returncode == 0, done.stderr
    received(sink)
    relay.wait_until_empty()


def test_retry_all_delivers_everything_that_waits(world):
    sink = world.sink(busy(3))
    relay = world.relay(sink, RETRY_SCHEDULE=LATER)
    for number in range(3):
        relay.submit(mail(str(number)), TO)
    until(lambda: sum(one["recipients"][0]["attempts"] for one in relay.queue()) >= 1, what="an attempt")
    sink.rules.clear()
    assert relay.tool("queue", "retry", "--all").returncode == 0
    received(sink, 3)


def test_commands_in_a_shell_without_settings_find_the_relay_by_its_runtime_directory(world, tmp_path):
    directory = tmp_path / "run"
    directory.mkdir(mode=0o755)
    relay = world.relay(world.sink(busy()), RETRY_SCHEDULE=LATER, RUNTIME_DIRECTORY=str(directory))
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    shell = {name: relay.environment[name] for name in ("PATH", "PYTHONPATH", "RUNTIME_DIRECTORY")}
    for words, expected in (
        (("health",), ""),
        (("queue", "list"), TO),
        (("config", "check"), f"queue: {relay.queue_dir}"),
        (("config", "show"), f"PORT = {relay.port}"),
    ):
        done = subprocess.run(
            [program("smtprelay"), *words], env=shell, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def sendmail(relay, *words, message):
    """Run sendmail beside a relay with a message on its standard input."""
    command = [program("smtprelay"), "sendmail", *words]
    return subprocess.run(command, env=relay.environment, input=message, capture_output=True, check=False, timeout=60)


def test_sendmail_hands_a_message_to_the_relay_and_tells_of_a_refusal(world):
    sink = world.sink()
    relay = world.relay(sink)
    message = f"To: {TO}\nBcc: hidden@example.test\nSubject: x\n\n.line\n.\nlast\n".encode()
    done = sendmail(relay, "-t", "-i", "-f", "app@sender.test", message=message)
    assert (done.returncode, done.stderr) == (0, b"")
    (arrived,) = received(sink)
    assert (arrived.sender, sorted(arrived.recipients)) == ("app@sender.test", sorted((TO, "hidden@example.test")))
    assert b"Bcc:" not in arrived.content
    assert arrived.content.endswith(b"\r\n\r\n.line\r\n.\r\nlast\r\n")
    relay.mail_dir.mkdir()
    refused = sendmail(relay, "nobody-here@localhost", message=b"Subject: x\n\nx\n")
    assert refused.returncode == os.EX_UNAVAILABLE
    assert refused.stderr.startswith(b"smtprelay: <nobody-here@localhost> refused: 550 ")


def test_a_removed_message_is_gone_without_a_report_to_its_sender(world):
    sink = world.sink(busy())
    relay = world.relay(sink, RETRY_SCHEDULE=LATER)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    assert relay.tool("queue", "remove", relay.queue()[0]["id"]).returncode == 0
    relay.wait_until_empty()
    assert relay.events("reported") == []
    assert sink.messages == []


def test_a_returned_message_has_its_events_in_the_log(world):
    sink = world.sink(busy())
    relay = world.relay(sink, RETRY_SCHEDULE=LATER)
    relay.submit(mail(), TO)
    (deferred,) = relay.wait_for_events("deferred")
    done = relay.tool("queue", "bounce", deferred["id"])
    assert (done.returncode, done.stdout) == (0, f"{deferred['id']} returned to its sender\n")
    assert done.stderr == ""
    (failed,) = relay.wait_for_events("failed")
    (reported,) = relay.wait_for_events("reported")
    assert (failed["id"], failed["to"], reported["id"]) == (deferred["id"], f"<{TO}>", deferred["id"])
    assert "returned to the sender by the operator of this relay" in failed["reply"]
    assert relay.events("amended")[0]["change"] == "bounce"


def test_without_a_relay_an_order_is_done_in_its_queue_and_says_so(world):
    relay = world.relay(world.sink(busy()), RETRY_SCHEDULE=LATER)
    relay.submit(mail(), TO)
    (deferred,) = relay.wait_for_events("deferred")
    assert relay.stop() == 0
    done = relay.tool("queue", "hold", deferred["id"])
    assert (done.returncode, done.stdout) == (0, f"{deferred['id']} held\n")
    assert done.stderr == "smtprelay: no relay is running: the order is done in its queue, and no log has it\n"
    assert relay.queue()[0]["held"]


def test_a_held_message_waits_until_it_is_released(world, tmp_path):
    clock = WallClock(tmp_path / "ahead")
    sink = world.sink(busy(2))
    relay = world.relay(sink, RETRY_SCHEDULE=LATER, **clock.settings(str(ROOT)))
    relay.submit(mail("held"), TO)
    relay.wait_for_events("deferred")
    id = relay.queue()[0]["id"]
    assert relay.tool("queue", "hold", id).returncode == 0
    relay.submit(mail("free"), TO)
    relay.wait_for_events("deferred", 2)
    # The times of both have come; that of the held one first.
    advance(clock, HALF_AN_HOUR)
    (first,) = received(sink)
    assert "free" in first.header("Message-ID")
    assert relay.tool("queue", "release", id).returncode == 0
    received(sink, 2)


def test_an_unknown_id_is_named_and_the_status_says_so(world):
    relay = world.relay(world.sink())
    done = relay.tool("queue", "show", "nosuchid")
    assert done.returncode != 0
    assert "nosuchid" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_deferred_message_is_tried_again_on_schedule(world):
    sink = world.sink(busy(2))
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    received(sink)
    relay.wait_until_empty()
    assert len(relay.events("deferred")) == 2
    assert len(sink.messages) == 1


def test_a_failed_message_is_reported_to_its_sender_at_the_senders_mx(world):
    world.dns.mail_host("sender.test", "127.0.0.6")
    sink = world.sink(Rule("RCPT", "550 5.1.1 no such person"))
    home = world.sink(address="127.0.0.6", port=sink.port)
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    (report,) = received(home)
    relay.wait_until_empty()
    assert report.sender == ""
    assert report.recipients == ("sender@sender.test",)
    assert "multipart/report" in report.header("Content-Type")
    assert b"550 5.1.1 no such person" in report.content
    assert b"Status: 5.1.1" in report.content
    assert b"Message-ID: <1@sender.test>" in report.content


def test_a_report_that_fails_is_not_reported(world):
    sink = world.sink(Rule("RCPT", "550 5.1.1 no such person"))
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    relay.wait_for_events("failed", 2)
    relay.wait_until_empty()
    assert len(relay.events("reported")) == 1


def test_a_message_out_of_time_fails_with_the_last_words_of_the_remote(world):
    world.dns.mail_host("sender.test", "127.0.0.6")
    sink = world.sink(busy())
    home = world.sink(address="127.0.0.6", port=sink.port)
    relay = world.relay(sink, RETRY_SCHEDULE="F,2s,1s")
    relay.submit(mail(), TO)
    (report,) = received(home)
    assert b"451 4.3.0 come back" in report.content


def test_a_domain_that_does_not_exist_fails_at_once(world):
    relay = world.relay(world.sink())
    relay.submit(mail(), "a@nowhere.test", sender="")
    (event,) = relay.wait_for_events("failed")
    relay.wait_until_empty()
    assert "nowhere.test" in event["reply"]


def test_a_success_report_comes_when_asked_for(world):
    world.dns.mail_host("sender.test", "127.0.0.6")
    sink = world.sink(extensions=("PIPELINING",))
    home = world.sink(address="127.0.0.6", port=sink.port)
    relay = world.relay(sink)
    with relay.client() as client:
        client.sendmail("sender@sender.test", [TO], mail(), rcpt_options=["NOTIFY=SUCCESS"])
    received(sink)
    (report,) = received(home)
    assert b"Action: relayed" in report.content


def test_dsn_wishes_are_passed_on_where_dsn_is_offered(world):
    sink = world.sink()
    relay = world.relay(sink)
    changes = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;x@y"]
    with relay.client() as client:
        client.sendmail("sender@sender.test", [TO], mail(), ["RET=HDRS", "ENVID=abc"], changes)
    (message,) = received(sink)
    assert {"RET=HDRS", "ENVID=abc"} <= set(message.mail_parameters.split())
    assert set(changes) <= set(message.rcpt_parameters[0].split())


def test_local_mail_goes_to_an_existing_maildir_only(world):
    relay = world.stopped_relay(world.sink(), OTHER_HOSTNAMES="home.test")
    for folder in ("new", "cur", "tmp"):
        (relay.mail_dir / "bob" / folder).mkdir(parents=True)
    relay.start()
    with relay.client("127.0.0.2") as stranger:
        refused = stranger.sendmail("a@sender.test", ["bob@home.test", "eve@home.test", "../bob@home.test"], mail())
    new = relay.mail_dir / "bob" / "new"
    until(lambda: list(new.iterdir()), what="a message in the Maildir")
    relay.wait_until_empty()
    assert set(refused) == {"eve@home.test", "../bob@home.test"}
    (file,) = new.iterdir()
    assert file.read_bytes().replace(b"\r\n", b"\n").endswith(mail().replace(b"\r\n", b"\n"))


def test_a_stop_ends_sessions_kindly_keeps_the_queue_and_says_so(world):
    sink = world.sink(busy(1))
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,5s")
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    with relay.client() as idle:
        assert relay.stop() == 0
        code, _ = idle.getreply()
    assert code == 421
    assert len(relay.events("stopped")) == 1
    relay.start()
    received(sink)
    relay.wait_until_empty()


def test_a_stop_waits_for_a_running_delivery(world):
    go_on = threading.Event()
    sink = world.sink(Rule(".", "250 2.0.0 at last", hold=go_on))
    relay = world.relay(sink)
    relay.submit(mail(), TO)
    until(lambda: sink.waiting, what="a message before its answer")
    relay.child.process.terminate()
    relay.wait_for_events("stopping")
    go_on.set()
    assert relay.child.wait() == 0
    assert len(relay.events("delivered")) == 1
    relay.start()
    relay.wait_until_empty()
    assert len(sink.messages) == 1


def test_the_effective_settings_are_shown_without_secrets(tmp_path):
    relay = Daemon(tmp_path / "relay", SMARTHOST_ADDRESS="smart.test", SMARTHOST_USER="me", SMARTHOST_PASSWORD="s3cret")
    done = relay.tool("config", "show")
    assert done.returncode == 0, done.stderr
    assert "smart.test" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr
