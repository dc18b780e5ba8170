"""The bench's own sink: recipients are counted, however a message is cut into pieces."""

import smtplib

import pytest

from bench.client import Client, content
from bench.recipients import Dialogue, RecipientSink


def test_the_sink_counts_every_recipient_of_every_transaction():
    with RecipientSink() as sink:
        with Client(sink.port) as client:
            client.send(["a@example.test", "b@example.test"], content(200))
            client.send(["c@example.test"], content(200))
        assert (sink.delivered, sink.transactions) == (3, 2)


@pytest.mark.parametrize("body", [b".\r\n", b"x\r\n.\r\n", b"\r\n..\r\n.x\r\nDATA\r\n" * 3 + b".\r\n"])
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_the_sink_finds_the_end_of_the_data_however_it_arrives(body, step):
    sink = RecipientSink()
    dialogue = Dialogue(sink)
    sent = b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n" + body + b"QUIT\r\n"
    replies = b"".join(dialogue.replies(sent[start : start + step]) for start in range(0, len(sent), step))
    assert [line[:3] for line in replies.splitlines()] == [b"250"] * 5 + [b"354", b"250", b"221"]
    assert (sink.delivered, sink.transactions) == (1, 1)


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_the_sink_takes_chunks_however_they_arrive(step):
    sink = RecipientSink(chunking=True)
    dialogue = Dialogue(sink)
    sent = b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nBDAT 6\r\nQUIT\r\nBDAT 0\r\nBDAT 5 LAST\r\n\r\n.\r\n"
    sent += b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nQUIT\r\n"
    replies = b"".join(dialogue.replies(sent[start : start + step]) for start in range(0, len(sent), step))
    assert [line[:3] for line in replies.splitlines()] == [b"250"] * 9 + [b"221"]
    assert (sink.delivered, sink.transactions) == (2, 2)


@pytest.mark.parametrize("chunking", [True, False])
def test_the_sink_offers_chunking_if_it_is_asked_to(chunking):
    offered = Dialogue(RecipientSink(chunking=chunking)).replies(b"EHLO me\r\n")
    assert (b"CHUNKING" in offered) is chunking


def test_the_sink_speaks_with_a_client_of_another_project():
    with RecipientSink() as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@example.test", ["b@example.test"], "Subject: x\n\n.\nRCPT TO:<nobody>\n")
        assert (sink.delivered, sink.transactions) == (1, 1)


def test_a_message_is_as_large_as_asked_for():
    assert 4000 < len(content(4096)) <= 4100
