"""The HTTPS client against real servers on loopback: answers, faults of every stage, and bounds."""

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from harness.certificates import Leaf, authority, self_signed
from harness.processes import free_port
from harness.waiting import eventually
from mta.dns.answers import Found, LookupFailed, NoSuchName
from mta.https import kept
from mta.https.client import HttpsClient, HttpsOptions
from mta.https.interface import HostNotProven, HostUnknown, HostUnreachable, HttpAnswer, HttpsError
from mta.https.running_exchange import OVERHEAD
from tests.drivers.https_servers import HOST, ROOT, TRUST, HttpsServers, Script, SilentResolver, says

GOOD = ROOT.leaf([HOST])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: a\r\nx-two: b\r\n\r\nhello"


class _Servers(HttpsServers):
    def serve(self, reply: Callable[[Script], object], leaf: Leaf | None = GOOD) -> str:
        """Serve on a port of loopback and return the URL."""
        return f"https://{HOST}:{self.listen(reply, leaf)}/token"

    def client(self, **options: Any) -> HttpsClient:
        return HttpsClient(reactor, self.resolver, HttpsOptions(trust=lambda: TRUST, **options))

    async def get(self, url: str, *, limit: int = 100, seconds: float = 30.0, **options: Any) -> HttpAnswer:
        try:
            return await self.client(**options).request("GET", url, {}, limit=limit, timeout=seconds)
        finally:
            await eventually(reactor, lambda: all(script.lost for script in self.scripts))

    async def failure(self, url: str, kind: type[HttpsError] | None = None, **options: Any) -> str:
        with pytest.raises(HttpsError) as caught:
            await self.get(url, **options)
        assert kind is None or caught.type is kind
        said = str(caught.value)
        assert said.isprintable()
        return said


class AnswerTests(_Servers):
    async def test_an_answer_has_status_headers_and_body(self) -> None:
        answer = await self.get(self.serve(says(OK)))
        assert answer == HttpAnswer(200, {"x-two": "a, b"}, b"hello")

    async def test_a_request_has_its_method_host_headers_and_body(self) -> None:
        url = self.serve(says(OK))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        await self.client().request("POST", url, form, b"a=b", limit=100)
        await eventually(reactor, lambda: self.scripts[0].lost)
        head, _, body = self.scripts[0].heard.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /token HTTP/1.1"
        assert {line.lower() for line in lines[1:]} == {
            b"host: " + url.encode().split(b"/")[2],
            b"user-agent: smtprelay",
            b"content-type: application/x-www-form-urlencoded",
            b"content-length: 3",
            b"connection: close",
        }
        assert body == b"a=b"

    async def test_a_redirect_is_an_answer_and_is_not_followed(self) -> None:
        moved = b"HTTP/1.1 302 Found\r\nLocation: https://other.test/\r\nContent-Length: 0\r\n\r\n"
        answer = await self.get(self.serve(says(moved)))
        assert (answer.status, answer.headers["location"]) == (302, "https://other.test/")
        assert len(self.scripts) == 1

    async def test_an_answer_in_pieces_and_chunks_is_whole(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await self.get(self.serve(says(head, b"3\r\nhel\r\n", b"2\r\nlo\r\n0\r\n\r\n")))
        assert answer.body == b"hello"

    async def test_an_answer_without_body(self) -> None:
        assert await self.get(self.serve(says(b"HTTP/1.1 204 No Content\r\n\r\n"))) == HttpAnswer(204)

    async def test_a_body_without_length_ends_with_a_connection_that_is_closed_properly(self) -> None:
        answer = await self.get(self.serve(says(b"HTTP/1.1 200 OK\r\n\r\n", b"hello", then="close")))
        assert answer.body == b"hello"

    async def test_the_operators_names_may_use_the_search_list(self) -> None:
        await self.get(self.serve(says(OK)), ipv6=False, search=True)
        assert self.resolver.asked == [(HOST, False, True)]

    async def test_a_host_may_be_an_address(self) -> None:
        url = self.serve(says(OK), ROOT.leaf(ips=["127.0.0.1"])).replace(HOST, "127.0.0.1")
        assert (await self.get(url)).status == 200
        assert self.resolver.asked == []
        assert "certificate is for" in await self.failure(self.serve(says(OK)).replace(HOST, "127.0.0.1"))
        assert "no connection may be made" in await self.failure(url, refuses=lambda _: True)

    async def test_http_without_tls_only_if_it_is_allowed(self) -> None:
        factory = Factory.forProtocol(lambda: Script(says(OK)))  # type: ignore[arg-type]
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        url = f"http://{HOST}:{port.getHost().port}/"
        assert (await self.get(url, plain=True)).body == b"hello"
        assert "does not begin with https://" in await self.failure(url)
        assert "no connection may be made" in await self.failure(url, plain=True, refuses=lambda _: True)

    async def test_the_next_address_is_tried_if_one_refuses(self) -> None:
        self.resolver.answer = Found(("127.0.0.9", "127.0.0.1"), 60.0, HOST)
        for _ in range(4):
            assert (await self.get(self.serve(says(OK)))).status == 200


class FaultTests(_Servers):
    async def test_a_body_without_length_on_a_connection_that_is_cut_is_no_answer(self) -> None:
        said = await self.failure(self.serve(says(b"HTTP/1.1 200 OK\r\n\r\n", b"hello", then="cut")))
        assert said.endswith(": connection lost before the end of the answer")

    async def test_a_body_that_ends_before_its_length_is_no_answer(self) -> None:
        for then in ("close", "cut"):
            said = await self.failure(self.serve(says(OK[:-1], then=then)))
            assert said.endswith(": connection lost before the end of the answer")

    async def test_a_connection_that_is_closed_without_an_answer(self) -> None:
        url = self.serve(says(then="close"))
        said = await self.failure(url)
        assert said == f"{url.split('/')[2]}: connection lost before the answer"

    async def test_the_certificate_must_prove_the_name(self) -> None:
        for leaf, words in (
            (ROOT.leaf(["other.test"]), f"certificate is for other.test, not for {HOST}"),
            (ROOT.leaf([HOST], expired=True), "certificate expired on "),
            (self_signed([HOST]), "self-signed certificate"),
            (authority("Other").leaf([HOST]), "certificate is signed by an authority not trusted here"),
        ):
            said = await self.failure(self.serve(says(OK), leaf))
            assert f": certificate not trusted: {words}" in said
            assert self.scripts[-1].heard == b""

    async def test_a_server_without_tls(self) -> None:
        def babble(script: Script) -> None:
            script.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        url = self.serve(babble, None)
        Script.connectionMade = babble  # type: ignore[method-assign]
        self.addCleanup(lambda: delattr(Script, "connectionMade"))
        assert (await self.failure(url)).endswith(": TLS failed: the host answers with something that is not TLS")

    async def test_a_port_that_is_closed(self) -> None:
        port = free_port()
        said = await self.failure(f"https://{HOST}:{port}/", HostUnreachable)
        assert said == f"{HOST}:{port}: connection refused (127.0.0.1)"

    async def test_a_port_that_drops_connections(self) -> None:
        with closing(socket.socket()) as full, closing(socket.socket()) as first:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            first.connect(full.getsockname())
            url = f"https://{HOST}:{full.getsockname()[1]}/"
            assert "no answer within 0.2 s" in await self.failure(url, HostUnreachable, seconds=0.2)

    async def test_a_host_that_was_reached_is_not_unreachable(self) -> None:
        silent = self.serve(says(b""))
        await self.failure(silent, HttpsError, seconds=0.2)
        await self.failure(self.serve(says(then="close")), HttpsError)
        await self.failure(self.serve(says(OK), ROOT.leaf(["other.test"])), HostNotProven)

    async def test_a_host_without_an_address_that_may_be_connected_to_is_unknown(self) -> None:
        url = self.serve(says(OK))
        await self.failure(url, HostUnknown, refuses=lambda _: True)
        self.resolver.answer = NoSuchName(60.0)
        await self.failure(url, HostUnknown)
        self.resolver = SilentResolver()
        await self.failure(url, HostUnknown, seconds=0.05)

    async def test_a_host_that_the_dns_does_not_know(self) -> None:
        self.resolver.answer = NoSuchName(60.0)
        assert await self.failure(f"https://{HOST}/") == f"{HOST}: there is no such host, or it has no address"
        self.resolver.answer = LookupFailed("SERVFAIL from 192.0.2.1")
        assert await self.failure(f"https://{HOST}/") == (
            f"{HOST}: looking up its address failed: SERVFAIL from 192.0.2.1"
        )

    async def test_a_url_that_is_malformed(self) -> None:
        assert "does not begin with https://" in await self.failure("http://a.test/")

    async def test_an_answer_that_is_not_http(self) -> None:
        for octets in (
            b"220 mail\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: secret\r\n\r\n",
            b"\0" * 20_000,
            b"x" * 20_000 + b"\r\n",
        ):
            said = await self.failure(self.serve(says(octets)))
            assert said.endswith((": the answer is not HTTP", ": connection lost before the answer")), (
                octets[:40],
                said,
            )

    async def test_chunks_that_are_malformed(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert "connection lost before the end" in await self.failure(self.serve(says(head, b"zz\r\n")))

    async def test_an_address_that_is_refused_is_not_connected_to(self) -> None:
        url = self.serve(says(OK))
        refused = await self.failure(url, refuses=lambda address: address == "127.0.0.1")
        assert refused.endswith(": no connection may be made to its address 127.0.0.1")
        assert self.scripts == []
        self.resolver.answer = Found(("127.0.0.2", "127.0.0.1"), 60.0, HOST)
        assert (await self.get(url, refuses=lambda address: address == "127.0.0.2")).status == 200


class BoundTests(_Servers):
    async def test_a_body_may_have_as_many_octets_as_the_limit_and_no_more(self) -> None:
        assert (await self.get(self.serve(says(OK)), limit=5)).body == b"hello"
        said = await self.failure(self.serve(says(OK)), limit=4)
        assert said.endswith(": the answer is longer than 4 octets")

    async def test_a_body_without_end_is_cut_at_the_limit(self) -> None:
        def reply(script: Script) -> None:
            script.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            script.repeat(b"x" * 1000)

        assert "longer than 5000 octets" in await self.failure(self.serve(reply), limit=5000)

    async def test_headers_without_end_are_cut(self) -> None:
        for line in (b"X-Header: value\r\n", b" folded\r\n"):
            octets = b"HTTP/1.1 200 OK\r\nA: b\r\n" + line * (2 * OVERHEAD // len(line))
            assert "longer than 100 octets" in await self.failure(self.serve(says(octets)))

    async def test_interim_answers_without_end_are_cut(self) -> None:
        octets = b"HTTP/1.1 100 Continue\r\n\r\n" * (OVERHEAD // 20)
        assert "longer than 100 octets" in await self.failure(self.serve(says(octets)))

    async def test_a_silent_server_is_given_up_in_time(self) -> None:
        for octets in (b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]):
            assert (await self.failure(self.serve(says(octets)), seconds=0.2)).endswith(": no answer within 0.2 s")

    async def test_a_server_that_dribbles_gets_no_more_time(self) -> None:
        def reply(script: Script) -> None:
            script.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            script.repeat(b"x", 0.01)

        assert "no answer within 0.2 s" in await self.failure(self.serve(reply), limit=200_000, seconds=0.2)

    async def test_a_look_up_without_answer_is_given_up_in_time(self) -> None:
        self.resolver = SilentResolver()
        assert await self.failure(f"https://{HOST}/", seconds=0.05) == f"{HOST}: no answer within 0.05 s"

    async def test_a_body_without_length_is_not_whole_because_the_time_is_over(self) -> None:
        url = self.serve(says(b"HTTP/1.1 200 OK\r\n\r\nhello"))
        assert "no answer within 0.2 s" in await self.failure(url, seconds=0.2)

    async def test_cancelling_closes_the_connection(self) -> None:
        running = Deferred.fromCoroutine(self.get(self.serve(says(b""))))
        await eventually(reactor, lambda: self.scripts and self.scripts[0].replied)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        assert self.scripts[0].lost

    async def test_cancelling_ends_a_look_up(self) -> None:
        self.resolver = SilentResolver()
        running = Deferred.fromCoroutine(self.get(f"https://{HOST}/"))
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        await deferLater(reactor, 0)


def says_each_time(*answers: bytes) -> Callable[[Script], object]:
    """Return a reply of the next of these octets for each request of a connection; "" cuts the connection."""

    def reply(script: Script) -> None:
        number = script.requests = script.requests + 1
        script.replied, script.heard = False, b""
        if answer := answers[min(number, len(answers)) - 1]:
            script.transport.write(answer)
        else:
            script.transport.abortConnection()

    return reply


class KeptTests(_Servers):
    def setUp(self) -> None:
        super().setUp()
        self.kept = self.client(keep=True)

    async def post(self, url: str) -> bytes:
        return (await self.kept.request("POST", url, {}, b"body", limit=100)).body

    async def closed(self) -> None:
        self.kept.close()
        await eventually(reactor, lambda: all(script.lost for script in self.scripts))

    async def test_requests_go_over_one_connection(self) -> None:
        url = self.serve(says_each_time(OK, b"HTTP/1.1 204 No Content\r\n\r\n", OK))
        assert [await self.post(url) for _ in range(3)] == [b"hello", b"", b"hello"]
        assert len(self.scripts) == 1
        await self.closed()

    async def test_a_connection_that_the_host_closed_is_opened_anew(self) -> None:
        url = self.serve(says(OK, then="close"))
        for number in (1, 2):
            assert await self.post(url) == b"hello"
            await eventually(reactor, lambda: all(script.lost for script in self.scripts))
            assert len(self.scripts) == number
        await self.closed()

    async def test_a_connection_that_the_host_wants_to_end_is_opened_anew(self) -> None:
        url = self.serve(says_each_time(OK.replace(b"X-Two: a", b"Connection: close")))
        await self.post(url)
        await self.post(url)
        assert len(self.scripts) == 2
        await self.closed()

    async def test_a_request_that_meets_the_end_of_a_kept_connection_is_sent_again(self) -> None:
        url = self.serve(says_each_time(OK, b""))
        assert [await self.post(url) for _ in range(3)] == [b"hello"] * 3
        assert len(self.scripts) == 3
        await self.closed()

    async def test_a_request_whose_new_connection_ends_is_not_sent_again(self) -> None:
        url = self.serve(says_each_time(b""))
        with pytest.raises(HttpsError, match="connection lost before the answer"):
            await self.post(url)
        assert len(self.scripts) == 1
        await self.closed()

    async def test_a_request_with_half_an_answer_is_not_sent_again(self) -> None:
        url = self.serve(says_each_time(OK, OK[:-1]))
        await self.post(url)
        again = Deferred.fromCoroutine(self.post(url))
        await eventually(reactor, lambda: self.scripts[0].requests == 2)
        self.scripts[0].transport.abortConnection()
        with pytest.raises(HttpsError):
            await again
        assert len(self.scripts) == 1
        await self.closed()

    async def test_octets_that_nobody_asked_for_end_a_connection_that_waits(self) -> None:
        url = self.serve(says_each_time(OK))
        await self.post(url)
        self.scripts[0].transport.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await eventually(reactor, lambda: self.scripts[0].lost)
        assert await self.post(url) == b"hello"
        await self.closed()

    async def test_a_request_beside_another_one_has_a_connection_of_its_own(self) -> None:
        url = self.serve(says_each_time(OK))
        first, second = (Deferred.fromCoroutine(self.post(url)) for _ in range(2))
        assert (await first, await second) == (b"hello", b"hello")
        assert len(self.scripts) == 2
        await self.closed()

    async def test_a_connection_is_not_used_for_another_host_nor_for_ever(self) -> None:
        url, other = self.serve(says_each_time(OK)), self.serve(says_each_time(OK))
        for each in (url, other, url):
            assert await self.post(each) == b"hello"
        assert len(self.scripts) == 3
        self.patch(kept, "MOST_SECONDS", -1.0)
        await self.post(url)
        assert len(self.scripts) == 4
        await self.closed()
