"""The values of DNSSEC: which way of validation each chooses, with libunbound and without."""

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from harness.dns_server import DnsServer
from harness.zone import Zone
from mta.dns.answers import Found
from mta.dns.client import DnsClient, Server
from mta.dns.dnssec.authenticity import Authenticity, Security
from mta.dns.dnssec.choosing import NO_LIBRARY, DnssecUnavailable, check_setting, choose
from mta.dns.dnssec.library import Libunbound, libunbound
from mta.dns.message import RecordType

HERE, ELSEWHERE = ("127.0.0.1", 53), ("192.0.2.53", 53)


def missing() -> Libunbound | None:
    return None


class _SilentReactor(Clock):
    """Time by hand, and sockets that nothing reads."""

    def addReader(self, reader: Any) -> None:
        pass

    def removeReader(self, reader: Any) -> None:
        pass


class SettingTests(SynchronousTestCase):
    def choose(self, setting: str, *servers: Server) -> Authenticity:
        reactor: Any = _SilentReactor()
        self.servers = list(servers)
        self.notices: list[str] = []
        client = DnsClient(reactor, lambda: self.servers)
        return choose(setting, reactor, client, notice=self.notices.append, library=missing)

    def test_without_libunbound_auto_believes_only_servers_on_this_host_and_says_so(self) -> None:
        chosen = self.choose("auto", HERE)
        assert chosen.usable
        self.servers.append(ELSEWHERE)
        assert not chosen.usable
        assert "\n".join(self.notices) == (
            "DNSSEC=auto: libunbound.so.8 cannot be loaded (Debian: libunbound8), so DANE works only with a validating"
            " DNS server on this host"
        )

    def test_trust_believes_any_server(self) -> None:
        assert self.choose("trust", ELSEWHERE).usable
        assert self.notices == []

    def test_off_is_off(self) -> None:
        assert not self.choose("off", HERE).usable

    def test_libunbound_must_be_there_if_it_is_demanded(self) -> None:
        with pytest.raises(DnssecUnavailable, match="Install Debian's libunbound8"):
            self.choose("libunbound", HERE)
        for setting in ("auto", "trust", "off"):
            check_setting(setting, missing)
        with pytest.raises(DnssecUnavailable) as error:
            check_setting("libunbound", missing)
        assert str(error.value) == NO_LIBRARY


class ChosenTests(TestCase):
    """With a name server that sets the AD bit in each reply, and has no signatures."""

    def choose(self, setting: str, *, with_library: bool = False) -> Authenticity:
        from twisted.internet import reactor

        if with_library and libunbound() is None:
            raise SkipTest("libunbound is missing (Debian: libunbound8)")
        server = DnsServer(Zone({"a.test": {"A": ["192.0.2.1"]}}))
        server.validating = True
        self.addCleanup(server.stop)
        self.notices: list[str] = []
        client = DnsClient(reactor, [("127.0.0.1", server.listen(reactor))])  # type: ignore[arg-type]
        library = libunbound if with_library else missing
        chosen = choose(setting, reactor, client, notice=self.notices.append, library=library)  # type: ignore[arg-type]
        self.addCleanup(chosen.stop)
        chosen.start()
        return chosen

    async def test_without_libunbound_the_ad_bit_of_a_server_on_this_host_is_believed(self) -> None:
        for setting in ("auto", "trust"):
            found = await self.choose(setting).look_up("a.test", RecordType.A)
            assert isinstance(found.answer, Found)
            assert found.security is Security.SECURE

    async def test_libunbound_does_not_believe_the_ad_bit(self) -> None:
        for setting in ("auto", "libunbound"):
            chosen = self.choose(setting, with_library=True)
            found = await chosen.look_up("a.test", RecordType.A)
            assert isinstance(found.answer, Found)
            assert (found.security, found.reason) == (Security.INSECURE, "answers cannot be validated now")
            assert not chosen.usable
            assert len(self.notices) == 1
            assert self.notices[0].startswith("DANE is off")
