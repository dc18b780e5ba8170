"""Mail through a container in each mode, and a queue that outlives it."""

import smtplib
import threading

import pytest

from harness.certificates import authority
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import HARD, mail
from tests.endtoend.world import TO, received
from tests.image.container import QUEUE, Container

CLIENTS = 5
ENOUGH = 300


@pytest.fixture
def sink():
    """Return a running sink."""
    with Sink() as running:
        yield running


@pytest.fixture
def relay(image, dns, tmp_path):
    """Return a maker of containers that end with the test."""
    made = []

    def make(out, mounts=None, **settings):
        common = {"DNS_SERVERS": dns.setting, "SMTPPORTOUT": str(out.port), "RETRY_SCHEDULE": "F,1h,30m"}
        container = Container(
            image.buildah,
            image.container,
            tmp_path / "relay",
            start=image.start,
            mounts=mounts,
            **{**common, **settings},
        )
        made.append(container)
        return container

    yield make
    for container in made:
        container.kill()


def test_mail_goes_to_the_mx_hosts(relay, sink):
    with relay(sink, PRIVATE_DESTINATIONS="allow") as container:
        container.submit(HARD, TO)
        (message,) = received(sink)
        assert message.without_trace == HARD
        container.wait_until_empty()
        assert container.run("mailq").stdout.startswith("Nothing is waiting. ")


def test_the_commands_of_the_exim_image_work_beside_the_relay(relay, sink):
    sink.rules.append(Rule("RCPT", "451 4.3.0 come back"))
    with relay(sink, PRIVATE_DESTINATIONS="allow") as container:
        sent = container.run("sh", "-c", f"printf 'To: {TO}\\nSubject: x\\n\\nhello\\n' | /usr/sbin/sendmail -t -i")
        assert sent.returncode == 0, sent.stderr
        container.wait_for_events("deferred")
        assert container.run("exim", "-bpc").stdout == "1\n"
        assert container.run("exiqgrep", "-c").stdout == "1 matches out of 1 messages\n"
        assert TO in container.run("exim4", "-bp").stdout
        id = container.run("exiqgrep", "-i").stdout.strip()
        assert "Subject: x\n" in container.run("exim", "-Mvh", id).stdout
        assert container.run("exim", "-bd").returncode != 0
        sink.rules.clear()
        assert container.run("exim", "-qff").returncode == 0
        received(sink)
        container.wait_until_empty()


def test_two_workers_take_mail_and_are_one_relay(relay, sink):
    with relay(sink, PRIVATE_DESTINATIONS="allow", WORKERS="2") as container:
        container.wait_for_events("started")
        clients = [container.client() for _ in range(8)]
        for client in clients:
            client.sendmail("a@sender.test", [TO], mail())
            client.quit()
        received(sink, 8)
        container.wait_until_empty()
        assert container.run("smtprelay", "health").returncode == 0
        assert container.run("ls", f"{QUEUE}/worker-2/queue.sqlite").returncode == 0


def test_a_secondary_passes_strangers_mail_on_to_the_primary(relay, sink):
    with relay(sink, RELAY_DOMAINS="example.test") as container:
        with container.client("127.0.0.2") as stranger:
            stranger.sendmail("a@sender.test", [TO], mail())
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                stranger.sendmail("a@sender.test", ["b@sender.test"], mail())
        assert received(sink)[0].recipients == (TO,)


def test_a_smarthost_gets_everything_and_the_secrets_are_mounted(relay, dns, tmp_path):
    root = authority()
    dns.add({"smart.example.test": {"A": ["127.0.0.5"]}})
    (tmp_path / "user").write_text("me\n")
    (tmp_path / "password").write_text("s3cret\n")
    mounts = {tmp_path / "user": "/run/secrets/user", tmp_path / "password": "/run/secrets/password"}
    mounts[root.write(tmp_path)] = "/run/secrets/authority"
    tls = tuple(map(str, root.leaf(["smart.example.test"]).write(tmp_path)))
    with Sink(address="127.0.0.5", tls=tls, users={"me": "s3cret"}) as smarthost:
        settings = {
            "SMARTHOST_ADDRESS": "smart.example.test",
            "SMARTHOST_PORT": str(smarthost.port),
            "SMARTHOST_USER_FILE": "/run/secrets/user",
            "SMARTHOST_PASSWORD_FILE": "/run/secrets/password",
            "SSL_CERT_FILE": "/run/secrets/authority",
        }
        with relay(smarthost, mounts, **settings) as container:
            container.submit(mail(), [TO, "other@anything.test"])
            (message,) = received(smarthost)
        assert message.recipients == (TO, "other@anything.test")
        assert [(login.user, login.tls) for login in smarthost.logins] == [("me", True)]
        assert "s3cret" not in container.child.text


def test_the_queue_is_kept_from_one_container_to_the_next(relay, sink):
    sink.rules.append(Rule("RCPT", "451 4.3.0 come back"))
    with relay(sink, PRIVATE_DESTINATIONS="allow") as container:
        container.submit(mail(), TO)
        container.wait_for_events("deferred")
    sink.rules.clear()
    with relay(sink, PRIVATE_DESTINATIONS="allow") as successor:
        received(sink)
        successor.wait_until_empty()


def test_a_stop_in_the_middle_of_load_loses_no_accepted_mail(relay, sink):
    container = relay(sink, PRIVATE_DESTINATIONS="allow")
    accepted = []

    def send(client_number):
        with container.client() as client:
            for number in range(100_000):
                token = f"{client_number}.{number}"
                client.sendmail(f"{token}@sender.test", [TO], mail(token))
                accepted.append(token)

    def send_until_the_end(client_number):
        try:
            send(client_number)
        except (OSError, smtplib.SMTPException):
            return

    clients = [threading.Thread(target=send_until_the_end, args=(number,)) for number in range(CLIENTS)]
    with container:
        for client in clients:
            client.start()
        until(lambda: len(accepted) >= ENOUGH, 60, what="accepted messages")
    for client in clients:
        client.join()
    with relay(sink, PRIVATE_DESTINATIONS="allow") as successor:
        until(lambda: set(accepted) <= tokens(sink), 60, what="all accepted mail")
        successor.wait_until_empty()
    assert sink.faults == []


def tokens(sink):
    return {message.sender.partition("@")[0] for message in list(sink.messages)}


def test_the_health_check_follows_the_relay(image, relay, sink):
    probe = image.configuration["Healthcheck"]["Test"][1:]
    with relay(sink) as container:
        assert container.run(*probe).returncode == 0
    done = container.run(*probe)
    assert done.returncode != 0
    assert "smtprelay: unhealthy: no answer" in done.stdout + done.stderr


def test_the_places_where_exims_users_mount_files_are_known(image, relay, sink, tmp_path):
    (tmp_path / "key").write_text("a key")
    (tmp_path / "spool").mkdir()
    mounts = {tmp_path / "key": "/etc/exim4/dkim.key.temp", tmp_path / "spool": "/var/spool/exim4"}
    container = relay(sink, mounts)
    done = container.run(image.start[0], "env")
    assert "DKIM_KEY_PATH=/etc/exim4/dkim.key.temp" in done.stdout.splitlines()
    assert "mount the volume there" in done.stderr


def test_exims_command_line_starts_the_relay(image, relay, sink):
    container = relay(sink)
    container.child.command = container.inside(image.start[0], "exim", "-bd", "-q15m", "-v")
    with container:
        assert "there is no Exim here: the relay is started in place of 'exim -bd -q15m -v'" in container.child.text
