"""The source of tokens and the HTTPS client against an endpoint with a private authority."""

import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from harness.token_endpoint import TokenEndpoint
from harness.web_server import WebAnswer
from mta.dns.answers import AddressAnswer, Found
from mta.https.client import HttpsClient, HttpsOptions
from mta.message.outcome import TryLater
from mta.oauth.grants import ClientCredentials, Grant, RefreshToken, ServiceAccount
from mta.oauth.token_file import TokenFile
from mta.oauth.token_source import SourceParts, TokenSource
from mta.routing.route import Route, TokenCredentials
from mta.smtp.sasl.logins import TokenLogin
from mta.tls.client import TrustAnchors
from tests.oauth.test_grants import KEY, pem

ROOT = authority()
ROUTE = Route("smtp.test", "192.0.2.1", 587, credentials=TokenCredentials("boss@example.test"))


class Loopback:
    """Finds every host on loopback."""

    async def mx(self, name: str) -> Any:
        raise NotImplementedError

    async def txt(self, name: str) -> Any:
        raise NotImplementedError

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        return Found(("127.0.0.1",), 60.0, name)


class EndpointTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        tls = tuple(map(str, ROOT.leaf(["login.example.test"]).write(self.folder)))
        self.endpoint = TokenEndpoint(tls)  # type: ignore[arg-type]
        self.endpoint.__enter__()
        self.addCleanup(self.endpoint.__exit__)
        self.url = f"https://login.example.test:{self.endpoint.port}/token"
        self.troubles: list[str] = []
        self.wall_clock = 0.0

    def source(self, grant: Grant, root: Any = ROOT) -> TokenSource:
        trust = TrustAnchors(root.certificate_pem, system=False)
        https = HttpsClient(reactor, Loopback(), HttpsOptions(trust=lambda: trust))
        seconds: Any = reactor
        parts = SourceParts(
            https, TokenFile(self.folder), deferToThread, seconds, lambda: self.wall_clock, self.troubles.append
        )
        return TokenSource(grant, parts)

    async def text(self, source: TokenSource) -> str:
        result = await source.login(ROUTE)
        assert isinstance(result, TryLater)
        return result.text

    async def test_client_credentials_of_a_hundred_callers_cost_one_request(self) -> None:
        self.endpoint.clients = {"id": "se/cr+t %"}
        source = self.source(ClientCredentials(self.url, "id", "se/cr+t %", "https://mail.test/.default"))
        asked = [Deferred.fromCoroutine(source.login(ROUTE)) for _ in range(100)]
        assert await gatherResults(asked) == [TokenLogin("boss@example.test", "token-1")] * 100
        [request] = self.endpoint.requests
        assert request.form["scope"] == "https://mail.test/.default"
        assert request.headers["Accept"] == "application/json"

    async def test_a_rotated_refresh_token_is_used_after_a_restart(self) -> None:
        self.endpoint.rotate = True
        self.endpoint.refresh_tokens = ["configured"]
        self.endpoint.expires_in = 60
        for number in (1, 2, 3):
            source = self.source(RefreshToken(self.url, "id", "", "configured"))
            assert await source.login(ROUTE) == TokenLogin("boss@example.test", f"token-{number}")
            self.wall_clock += 60

    async def test_the_assertion_of_a_service_account_is_verified_with_its_public_key(self) -> None:
        self.wall_clock = time.time()
        self.endpoint.issuers["relay@project.test"] = KEY.public_key()
        self.endpoint.address = "login.example.test"
        grant = ServiceAccount(self.url, "relay@project.test", "boss@example.test", pem(KEY), scope="mail")
        assert await self.source(grant).login(ROUTE) == TokenLogin("boss@example.test", "token-1")
        [claims] = self.endpoint.claims
        assert (claims["sub"], claims["scope"]) == ("boss@example.test", "mail")

    async def test_a_refusal_that_repeats_the_secret_is_masked(self) -> None:
        self.endpoint.clients = {"id": "good"}
        text = await self.text(self.source(ClientCredentials(self.url, "id", "hush-secret", "")))
        assert "AADSTS7000215: Invalid client secret provided: ****" in text
        assert "Check SMARTHOST_CLIENT_ID and SMARTHOST_CLIENT_SECRET" in text
        assert "hush" not in text + self.troubles[0]

    async def test_an_endpoint_without_a_trusted_certificate_gets_no_secret(self) -> None:
        source = self.source(ClientCredentials(self.url, "id", "hush-secret", ""), authority("Other"))
        text = await self.text(source)
        assert text.startswith("no token for the smarthost's login: login.example.test:")
        assert "certificate not trusted: certificate is signed by an authority not trusted here" in text
        assert self.endpoint.requests == []

    async def test_a_redirect_is_not_followed(self) -> None:
        self.endpoint.answers.append(WebAnswer(307, b"", {"Location": self.url}))
        text = await self.text(self.source(ClientCredentials(self.url, "id", "secret", "")))
        assert (
            "the token endpoint answers with status 307 and no token, but with another place: https://login.example.test:"
            in text
        )
        assert len(self.endpoint.requests) == 1
