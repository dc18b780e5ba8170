"""The scripted hosts, asked by Python's own client."""

import smtplib
from collections.abc import Iterator

import pytest

from bench.hosts import FaultAt
from bench.limits import AtOnce
from bench.scripted import CLOSE, Host, Hosts, Plain, Script, Step

CONTENT = b"Subject: x\r\n\r\n.dot\r\n"


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts() as running:
        yield running


def send(hosts: Hosts, script: Script) -> Host:
    host = Host(script)
    with smtplib.SMTP("127.0.0.1", hosts.add(host, "127.0.0.1", 0), timeout=20) as client:
        client.sendmail("from@x.test", ["one@x.test", "two@x.test"], CONTENT)
    return host


def test_a_message_is_stored_with_its_envelope(hosts: Hosts):
    host = send(hosts, Plain())
    assert [(one.sender, one.recipients) for one in host.stored] == [("from@x.test", ("one@x.test", "two@x.test"))]
    assert host.refused == 0


@pytest.mark.parametrize("step", [Step.MAIL, Step.RCPT, Step.DATA, Step.END])
def test_a_reply_of_the_script_is_the_one_that_the_client_gets(hosts: Hosts, step: Step):
    with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused), match="not now"):
        send(hosts, FaultAt(step, "451 not now"))


@pytest.mark.parametrize("step", [Step.GREETING, Step.MAIL, Step.BODY, Step.END])
@pytest.mark.parametrize("answer", [CLOSE, "421 closing"])
def test_a_session_ends_where_the_script_ends_it(hosts: Hosts, step: Step, answer: str):
    with pytest.raises((smtplib.SMTPException, OSError)):
        send(hosts, FaultAt(step, answer))


def test_a_transaction_is_over_when_it_is_stored_or_reset(hosts: Hosts):
    host = Host(AtOnce(1, 0.0))
    with smtplib.SMTP("127.0.0.1", hosts.add(host, "127.0.0.1", 0), timeout=20) as client:
        client.sendmail("from@x.test", ["one@x.test"], CONTENT)
        assert client.mail("from@x.test")[0] == 250
        assert client.docmd("RSET")[0] == 250
        assert client.mail("from@x.test")[0] == 250
