"""Router rules in the running relay: smarthosts by sender, hosts of a domain, mail that is discarded or returned."""

import json

import pytest

from harness.certificates import authority
from harness.processes import free_port
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.submission import in_clear_users, submission
from tests.endtoend.world import TO, received
from tests.length import choose
from tests.programs.mail_clients import Account, python

ROOTS = {"office": authority("Office Authority"), "branch": authority("Branch Authority")}


class Office:
    """A smarthost with a login and an authority of its own, which takes the mail of one sender domain."""

    def __init__(self, world, name):
        self.name = name
        self.host = f"{name}.smarthost.test"
        self.user, self.password = f"relay@{name}.test", f"{name}-open-sesame/+9"
        folder = world.home / name
        folder.mkdir()
        self.trusted = ROOTS[name].write(folder)
        certificate = tuple(map(str, ROOTS[name].leaf([self.host]).write(folder, "server")))
        self.password_file = folder / "password"
        self.password_file.write_text(f"{world.secret(self.password)}\n")
        world.dns.add({self.host: {"A": ["127.0.0.1"]}})
        self.sink = world.sink(tls=certificate, users={self.user: self.password}, mechanisms=("PLAIN",))

    def table(self, trusted=None):
        """Return its table, with another authority if one is given."""
        return (
            f'[smarthost.{self.name}]\nhosts = ["{self.host}:{self.sink.port}"]\nuser = "{self.user}"\n'
            f'password_file = "{self.password_file}"\nca_file = "{trusted or self.trusted}"\n'
        )

    def shown(self):
        """Return the users and passwords that it was shown."""
        return {(login.user, login.password) for login in self.sink.logins}


def router(conditions, action):
    return f"[[router]]\n{conditions}\n{action}\n"


def plain(name, port):
    """Return the table of a smarthost without a login."""
    return f'[smarthost.{name}]\nhosts = ["127.0.0.1:{port}"]\n'


def rules(world, *tables):
    """Write the tables into one file and return the setting that names its directory."""
    directory = world.home / "rules.d"
    directory.mkdir(exist_ok=True)
    (directory / "20-routes.toml").write_text("".join(tables))
    return {"RULES_DIR": str(directory)}


def from_domains(relay, *domains):
    """Submit a message from each of these domains, from the null sender for ""."""
    for domain in domains:
        relay.submit(mail(), TO, sender=f"ann@{domain}" if domain else "")


def two_offices(world, *, swapped=False):
    """Return two smarthosts and the tables by which the sender's domain chooses one."""
    office, branch = Office(world, "office"), Office(world, "branch")
    tables = (
        office.table(branch.trusted if swapped else None),
        branch.table(),
        router('sender = ["a.test", "<>"]', 'smarthost = "office"'),
        router('sender = "b.test"', 'smarthost = "branch"'),
    )
    return office, branch, tables


@pytest.mark.parametrize("workers", choose(["1"], ["1", "2"]))
def test_each_sender_domain_has_a_smarthost_with_its_own_login_and_authority(world, workers):
    office, branch, tables = two_offices(world)
    out = world.sink()
    relay = world.relay(out, WORKERS=workers, **rules(world, *tables))
    from_domains(relay, "a.test", "b.test", "", "c.test")
    events = relay.wait_for_events("delivered", 4)
    assert {message.sender for message in received(office.sink, 2)} == {"ann@a.test", ""}
    assert {message.user for message in office.sink.messages} == {office.user}
    assert [(message.sender, message.user) for message in received(branch.sink)] == [("ann@b.test", branch.user)]
    assert [(message.sender, message.user) for message in received(out)] == [("ann@c.test", "")]
    assert office.shown() == {(office.user, office.password)}
    assert branch.shown() == {(branch.user, branch.password)}
    assert out.logins == []
    by_host = {event["host"].partition("[")[0]: event.get("rule") for event in events}
    assert by_host[office.host] == "20-routes.toml:11"
    assert by_host[branch.host] == "20-routes.toml:14"
    assert sum("rule" not in event for event in events) == 1
    assert all(event["tls"].endswith(" verified") for event in events if "rule" in event)


def test_a_smarthost_that_another_authority_vouches_for_is_shown_no_password(world):
    office, branch, tables = two_offices(world, swapped=True)
    relay = world.relay(world.sink(), **rules(world, *tables))
    from_domains(relay, "a.test", "b.test")
    received(branch.sink)
    (event, *_) = relay.wait_for_events("deferred")
    assert "certificate" in event["reply"]
    assert event["rule"] == "20-routes.toml:11"
    assert office.sink.logins == office.sink.messages == []


def test_one_domain_has_hosts_of_its_own_and_another_its_mx_while_the_smarthost_takes_the_rest(world):
    smart, partner, mx = world.sink(), world.sink(), world.sink()
    world.dns.mail_host("direct.test")
    tables = (
        router('recipient = "partner.test"', f'hosts = ["127.0.0.1:{partner.port}"]'),
        router('recipient = "direct.test"', "mx = true"),
        router('recipient = "moved.test"', 'mx = "direct.test"'),
    )
    smarthost = {"SMARTHOST_ADDRESS": "127.0.0.1", "SMARTHOST_PORT": str(smart.port)}
    relay = world.relay(mx, **smarthost, **rules(world, *tables))
    relay.submit(mail(), [f"bob@{domain}" for domain in ("partner.test", "direct.test", "moved.test", "other.test")])
    assert [message.recipients for message in received(partner)] == [("bob@partner.test",)]
    assert [message.recipients for message in received(smart)] == [("bob@other.test",)]
    until(lambda: sum(len(message.recipients) for message in mx.messages) == 2, what="two recipients at the MX")
    events = relay.wait_for_events("delivered", 4)
    assert {event["to"]: event.get("rule") for event in events} == {
        "<bob@partner.test>": "20-routes.toml:1",
        "<bob@direct.test>": "20-routes.toml:4",
        "<bob@moved.test>": "20-routes.toml:7",
        "<bob@other.test>": None,
    }


def send_without_waiting(relay, out):
    """Send mail to a recipient for whom other mail waits, in turns with mail to another one, which it keeps up with."""
    before = len(out.messages)
    for _ in range(20):
        from_domains(relay, "b.test")
        relay.submit(mail(), "bob@other.test", sender="ann@b.test")
    places = {TO: [], "bob@other.test": []}
    for place, message in enumerate(received(out, before + 40)[before:]):
        places[message.recipients[0]].append(place)
    waited = [place for place in places[TO] if place > places["bob@other.test"][-1]]
    assert len(waited) < 10
    relay.wait_for_events("delivered", before + 40)


@pytest.mark.parametrize("workers", choose(["1"], ["1", "2"]))
def test_mail_of_others_to_the_same_recipients_does_not_wait_for_a_smarthost_that_is_down(world, workers):
    out = world.sink()
    world.dns.mail_host("other.test")
    tables = (plain("office", free_port()), router('sender = "a.test"', 'smarthost = "office"'))
    settings = {**rules(world, *tables), "WORKERS": workers, "RETRY_SCHEDULE": "F,1h,5m"}
    relay = world.relay(out, **settings)
    with relay.client() as client:
        for _ in range(150):
            client.sendmail("ann@a.test", TO, mail())
    relay.wait_for_events("deferred")
    send_without_waiting(relay, out)
    assert {message.sender for message in out.messages} == {"ann@b.test"}
    assert len(relay.queue()) == 150
    # The same for mail that waits in the queue at a start.
    relay.stop()
    relay.start()
    relay.wait_for_events("started", 2)
    send_without_waiting(relay, out)
    assert len(relay.queue()) == 150


@pytest.mark.parametrize("workers", choose(["1"], ["1", "2"]))
def test_mail_of_a_login_still_goes_by_its_rule_after_a_restart(world, workers):
    out, port = world.sink(), free_port()
    accounts = Account("app", world.secret("crooked-hearse")), Account("other", world.secret("buttery-steeple"))
    users = in_clear_users({account.user: account.password for account in accounts})
    tables = (plain("office", port), router('login = "app"', 'smarthost = "office"'))
    ports = submission(world, out, users, WORKERS=workers, **rules(world, *tables))
    relay = ports.relay
    for account in accounts:
        assert python(ports.implicit, account).accepted
    relay.wait_for_events("delivered")
    relay.wait_for_events("deferred")
    relay.kill()
    office = world.sink(port=port)
    relay.start()
    (message,) = received(office)
    assert message.recipients == (TO,)
    relay.wait_until_empty()
    assert len(out.messages) == 1


def test_discarded_mail_is_accepted_and_sent_nowhere_and_the_queue_names_the_rule(world):
    out = world.sink()
    tables = (router('recipient = "drop@example.test"\nname = "no drops"', "discard = true"),)
    relay = world.relay(out, **rules(world, *tables))
    relay.submit(mail(), ["drop@example.test", TO])
    relay.submit(mail(), "drop@example.test")
    relay.wait_for_events("delivered")
    relay.wait_until_empty()
    (first, second) = relay.wait_for_events("discarded", 2)
    assert {first["to"], second["to"]} == {"<drop@example.test>"}
    assert first["rule"] == second["rule"] == "20-routes.toml:1"
    assert [message.recipients for message in received(out)] == [(TO,)]
    assert relay.events("reported") == relay.events("failed") == []
    words = 'discarded by the rule 20-routes.toml:1 "no drops"'
    listed = relay.tool("queue", "list", "--all").stdout
    assert listed.count("<drop@example.test> removed, on ") == 2
    assert listed.count(words) == 2
    assert words in relay.tool("queue", "show", second["id"]).stdout
    shown = json.loads(relay.tool("queue", "show", "--json", second["id"]).stdout)["recipients"][0]
    assert (shown["status"], shown["last_reply"], shown["attempts"]) == ("removed", words, 0)
    assert "ledger: 3 accepted = 1 delivered + 0 failed + 2 removed + 0 waiting\n" in _summary(relay)


def test_mail_that_a_rule_fails_is_returned_with_the_words_of_the_rule(world):
    out = world.sink()
    tables = (router('recipient = "rival.test"', 'fail = "5.7.9 nothing goes to rivals"'),)
    relay = world.relay(out, **rules(world, *tables))
    relay.submit(mail(), "bob@rival.test")
    (failed,) = relay.wait_for_events("failed")
    assert (failed["status"], failed["rule"], failed["reply"]) == (
        "5.7.9",
        "20-routes.toml:1",
        "nothing goes to rivals",
    )
    (report,) = received(out)
    assert (report.sender, report.recipients) == ("", ("sender@sender.test",))
    assert b"nothing goes to rivals" in report.content
    relay.wait_until_empty()
    assert "1 delivered + 1 failed + 0 removed" in _summary(relay)


def _summary(relay):
    return relay.tool("queue", "summary").stdout
