"""The programs that the tests of logins use, and the sink's logins: each is the judge of the other."""

import pytest

from harness.certificates import authority
from harness.sink import Sink
from tests.programs.mail_clients import SUBMITTERS, TO, Account, Server, gsasl, gsasl_lacks, lacks, msmtp
from tests.programs.sasl_postfix import MECHANISMS, Login, SaslPostfix, why_not

ROOT = authority()
USER, PASSWORD = "me@client.test", "s ecret/+9"
TOKEN = "ya29.the-token"
KNOWN = {
    "swaks": ["PLAIN", "LOGIN", "CRAM-MD5"],
    "smtplib": ["PLAIN", "LOGIN", "CRAM-MD5"],
    "nodemailer": ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"],
    "msmtp": ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"],
}
EACH = [(program, mechanism) for program, mechanisms in KNOWN.items() for mechanism in mechanisms]
# libgsasl hides the password that it compares.
UNSEEN = {"SCRAM-SHA-256"}


def certificate(folder):
    return ROOT.leaf(["localhost"], ["127.0.0.1"]).write(folder)


def sink_for(mechanism, folder, **options):
    tls = tuple(map(str, certificate(folder)))
    return Sink(tls=tls, users={USER: PASSWORD}, tokens={TOKEN}, mechanisms=(mechanism,), **options)


def secret_for(mechanism):
    return TOKEN if mechanism in {"OAUTHBEARER", "XOAUTH2"} else PASSWORD


@pytest.mark.long
@pytest.mark.parametrize(("program", "mechanism"), EACH)
def test_each_program_logs_in_and_submits(tmp_path, program, mechanism):
    submit, why_not_here = SUBMITTERS[program]
    if why_not_here() is not None:
        pytest.skip(why_not_here())
    secret = secret_for(mechanism)
    with sink_for(mechanism, tmp_path) as sink:
        server = Server(sink.port, ROOT.write(tmp_path))
        good = submit(server, Account(USER, secret, mechanism))
        bad = submit(server, Account(USER, f"{secret}x", mechanism))
    assert good.accepted, good.output
    assert not bad.accepted, bad.output
    assert sink.faults == []
    (message,) = sink.messages
    assert (message.user, message.recipients, message.tls) == (USER, (TO,), True)
    assert [(login.mechanism, login.accepted) for login in sink.logins[:1]] == [(mechanism, True)]
    assert not any(login.accepted for login in sink.logins[1:])
    if mechanism not in UNSEEN:
        assert sink.logins[0].password == secret


@pytest.mark.parametrize("program", SUBMITTERS)
def test_each_program_submits_over_implicit_tls(tmp_path, program):
    submit, why_not_here = SUBMITTERS[program]
    if why_not_here() is not None:
        pytest.skip(why_not_here())
    with sink_for("PLAIN", tmp_path, implicit=True) as sink:
        done = submit(Server(sink.port, ROOT.write(tmp_path), "implicit"), Account(USER, PASSWORD))
    assert done.accepted, done.output
    assert [message.user for message in sink.messages] == [USER]


@pytest.mark.skipif(lacks("msmtp") is not None, reason=str(lacks("msmtp")))
@pytest.mark.parametrize("mechanisms", [("EXTERNAL",), ()], ids=["EXTERNAL", "certificate alone"])
def test_msmtp_shows_a_certificate(tmp_path, mechanisms):
    server = tuple(map(str, certificate(tmp_path)))
    client = ROOT.leaf(["client.test"]).write(tmp_path, "client")
    trusted = ROOT.write(tmp_path)
    sink = Sink(tls=server, client_authority=str(trusted), certificate_required=True, mechanisms=mechanisms)
    account = Account("client.test", "none", "EXTERNAL" if mechanisms else "off")
    with sink:
        without = msmtp(Server(sink.port, trusted), account)
        done = msmtp(Server(sink.port, trusted), account, certificate=client)
    assert not without.accepted
    assert done.accepted, done.output
    (message,) = sink.messages
    assert message.certificate == "client.test"
    assert [(login.mechanism, login.user, login.accepted) for login in sink.logins] == [
        ("EXTERNAL", "client.test", True) for _ in mechanisms
    ]


@pytest.mark.skipif(gsasl_lacks() is not None, reason=str(gsasl_lacks()))
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_gsasl_logs_in_at_libgsasl(tmp_path, mechanism):
    with sink_for(mechanism, tmp_path) as sink:
        server = Server(sink.port, ROOT.write(tmp_path))
        assert gsasl(server, Account(USER, PASSWORD, mechanism)).accepted
        assert not gsasl(server, Account(USER, "wrong", mechanism)).accepted
    assert [(login.user, login.accepted) for login in sink.logins] == [(USER, True), (USER, False)]


@pytest.mark.long
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_postfix_and_dovecot_take_the_mail_of_who_has_logged_in_by_any_mechanism(tmp_path):
    # Its daemons run as users of their own.
    users = {"me@client.test": "secret-word"}
    with SaslPostfix(certificate(tmp_path), users, {TOKEN: "me@client.test"}) as server:
        for mechanism in MECHANISMS:
            secret = TOKEN if mechanism in {"OAUTHBEARER", "XOAUTH2"} else "secret-word"
            for given, accepted in ((secret, True), ("wrong", False)):
                done = msmtp(Server(server.port, ROOT.write(tmp_path)), Account("me@client.test", given, mechanism))
                assert done.accepted is accepted, (mechanism, done.output, server.log)
        assert server.logins == [Login(mechanism, "me@client.test") for mechanism in MECHANISMS]
