import smtplib

from bench.client import Client, content
from bench.recipients import RecipientSink


def test_the_sink_counts_every_recipient_of_every_transaction():
    with RecipientSink() as sink:
        with Client(sink.port) as client:
            client.send(["a@example.test", "b@example.test"], content(200))
            client.send(["c@example.test"], content(200))
        assert (sink.delivered, sink.transactions) == (3, 2)


def test_the_sink_speaks_with_a_client_that_is_not_ours():
    with RecipientSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@example.test", ["b@example.test"], "Subject: x\n\n.\nRCPT TO:<nobody>\n")
        assert (sink.delivered, sink.transactions) == (1, 1)


def test_a_message_is_as_large_as_asked_for():
    assert 4000 < len(content(4096)) <= 4100
