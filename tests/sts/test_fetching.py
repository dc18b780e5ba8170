"""The fetch of a policy from real policy hosts on loopback, with a private authority."""

from typing import Any

import pytest
from twisted.internet import reactor

from harness.certificates import Leaf, self_signed
from harness.processes import free_port
from harness.waiting import eventually
from mta.https.client import HttpsClient, HttpsOptions
from mta.sts.fetching import PolicyFetcher, PolicyFetchError
from mta.sts.policy import MAX_POLICY, StsMode, StsPolicy
from tests.drivers.https_servers import ROOT, TRUST, HttpsServers, says

DOMAIN = "example.test"
HOST = f"mta-sts.{DOMAIN}"
GOOD = ROOT.leaf([HOST])
POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 86400\n"
VALUE = StsPolicy(StsMode.ENFORCE, ("mx.example.test",), 86400)
EMPTY = b"Content-Length: 0\r\n\r\n"


def answer(body: bytes = POLICY, media_type: str = "text/plain; charset=utf-8", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class FetchingTests(HttpsServers):
    def fetcher(self, port: int, **options: Any) -> PolicyFetcher:
        https = HttpsClient(reactor, self.resolver, HttpsOptions(trust=lambda: TRUST, **options))
        return PolicyFetcher(lambda: https, port)

    async def fetch(self, octets: bytes, leaf: Leaf | None = GOOD, patience: float = 30.0) -> StsPolicy:
        try:
            return await self.fetcher(self.listen(says(octets), leaf)).fetch(DOMAIN, patience)
        finally:
            await eventually(reactor, lambda: all(script.lost for script in self.scripts))

    async def failure(self, octets: bytes, leaf: Leaf | None = GOOD, patience: float = 30.0) -> str:
        with pytest.raises(PolicyFetchError) as caught:
            await self.fetch(octets, leaf, patience)
        assert caught.value.reached is True
        assert str(caught.value).startswith(f"{HOST}:")
        assert str(caught.value).isprintable()
        return str(caught.value).partition(": ")[2]

    async def test_a_policy_is_fetched_from_its_well_known_place(self) -> None:
        assert await self.fetch(answer()) == VALUE
        request, *fields = self.scripts[0].heard.split(b"\r\n")
        assert request == b"GET /.well-known/mta-sts.txt HTTP/1.1"
        assert any(field.lower().startswith(b"host: mta-sts.example.test") for field in fields)
        assert self.resolver.asked == [(HOST, True, False)]

    async def test_the_media_type_is_plain_text_with_any_parameters(self) -> None:
        for good in ("text/plain", "TEXT/Plain ;charset=us-ascii"):
            assert await self.fetch(answer(media_type=good)) == VALUE
        for bad in ("text/html", "application/octet-stream", "", "text/plainer"):
            assert await self.failure(answer(media_type=bad)) == "the policy is not text/plain"
        assert "not text/plain" in await self.failure(b"HTTP/1.1 200 OK\r\n" + EMPTY)

    async def test_only_status_200_is_a_policy(self) -> None:
        for status in ("404 Not Found", "500 Oops", "204 No Content", "203 Other", "206 Partial Content"):
            assert await self.failure(answer(status=status)) == f"the answer has status {status[:3]}"

    async def test_a_redirect_is_not_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            moved = f"HTTP/1.1 {status} Moved\r\nLocation: https://{HOST}/other\r\n".encode() + EMPTY
            assert f"a redirect ({status})" in await self.failure(moved)
        assert len(self.scripts) == 5

    async def test_a_long_policy_is_not_read_to_its_end(self) -> None:
        full = POLICY + b"x" * 19 + b":" + b"y" * (MAX_POLICY - len(POLICY) - 20)
        assert await self.fetch(answer(full)) == VALUE
        assert await self.failure(answer(full + b"z")) == f"the answer is longer than {MAX_POLICY} octets"

    async def test_a_malformed_policy_is_told(self) -> None:
        assert await self.failure(answer(b"<html>")) == "line 1 of the policy is not 'name: value'"

    async def test_the_certificate_must_prove_the_policy_host(self) -> None:
        for leaf, words in (
            (ROOT.leaf([DOMAIN]), f"certificate is for {DOMAIN}, not for {HOST}"),
            (ROOT.leaf([HOST], expired=True), "certificate expired on"),
            (self_signed([HOST]), "self-signed certificate"),
        ):
            assert words in await self.failure(answer(), leaf)
        assert await self.fetch(answer(), ROOT.leaf([f"*.{DOMAIN}"])) == VALUE

    async def test_a_silent_host_is_given_up_in_time(self) -> None:
        assert await self.failure(b"", patience=0.2) == "no answer within 0.2 s"

    async def test_a_host_that_takes_no_connection_is_unreachable(self) -> None:
        port = free_port()
        with pytest.raises(PolicyFetchError, match="connection refused") as caught:
            await self.fetcher(port).fetch(DOMAIN, 5.0)
        assert caught.value.reached is False

    async def test_an_address_that_is_refused_is_not_connected_to(self) -> None:
        fetcher = self.fetcher(self.listen(says(answer()), GOOD), refuses=lambda address: address == "127.0.0.1")
        with pytest.raises(PolicyFetchError, match=r"no connection may be made to its address 127\.0\.0\.1") as caught:
            await fetcher.fetch(DOMAIN, 5.0)
        assert caught.value.reached is None
        assert self.scripts == []

    async def test_a_name_that_no_host_can_have_is_an_error_too(self) -> None:
        for domain in ("a_b.test", "[192.0.2.1]", "a" * 250, ""):
            with pytest.raises(PolicyFetchError):
                await self.fetcher(443).fetch(domain, 5.0)
