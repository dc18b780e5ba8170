"""The DNS servers of tests: nsd with the zones of a tree, and unbound as the resolver that may validate them."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

from harness.processes import Child, find_program, with_mounts
from harness.waiting import until
from harness.zone_tree import ZoneTree, file_name

_PORT = 53
#: Where Debian's dns-root-data has the trust anchor of the real root.
_ANCHOR = Path("/usr/share/dns/root.key")

_NSD = """\
server:
  ip-address: {address}@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  zonefiles-check: yes
  # No limit of the answers to one client.
  rrl-ratelimit: 0
  verbosity: 1
remote-control:
  control-enable: yes
  control-interface: "{folder}/nsd.control"
"""

_UNBOUND = """\
server:
  interface: {address}
  port: {port}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 1
  val-log-level: 2
  do-not-query-localhost: no
  do-ip6: no
  root-hints: "{folder}/root.hints"
  module-config: "{modules}"
  trust-anchor-file: "{folder}/root.anchor"
  trust-anchor-signaling: no
  root-key-sentinel: no
  # unbound would answer for this zone itself.
  local-zone: "test." transparent
  {cache}
  num-threads: 1
  so-rcvbuf: 0
remote-control:
  control-enable: no
"""

# Tests change zones, and each look-up must see it. Without a lifetime, an answer still counts for its second.
_NO_CACHE = (
    "cache-max-ttl: 0",
    "cache-max-negative-ttl: 0",
    "key-cache-size: 0",
    "infra-host-ttl: 0",
    "aggressive-nsec: no",
)


def why_not() -> str | None:
    """Return why zones cannot be served here, or None if they can."""
    for program, package in (("nsd", "nsd"), ("ldns-signzone", "ldnsutils"), ("unbound", "unbound")):
        if find_program(program) is None:
            return f"{program} is missing: install {package}"
    return None if _ANCHOR.exists() else f"{_ANCHOR} is missing: install dns-root-data"


def with_anchor(anchor: Path) -> list[str]:
    """Return a prefix for commands that validate from this trust anchor on, in place of the real root's."""
    return with_mounts({str(_ANCHOR): anchor})


class Nsd:
    """The authoritative server of all zones of a tree, at port 53 of its address. A context manager."""

    def __init__(self, tree: ZoneTree, folder: Path, address: str) -> None:
        folder.mkdir()
        self._tree = tree
        self._folder = folder
        self.address = address
        self._configuration = folder / "nsd.conf"
        command = [find_program("nsd") or "nsd", "-d", "-c", str(self._configuration)]
        self.child = Child(command, folder / "log")

    def __enter__(self) -> Self:
        self._write()
        self.child.start()
        wait_for_server(self.child, self.address)
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.__exit__()

    def publish(self) -> None:
        """Serve the zones as they are now; those of new domains too."""
        self._write()
        self.child.stop()
        self.child.start()
        wait_for_server(self.child, self.address)

    def _write(self) -> None:
        self._tree.write(self._folder)
        zones = [f'zone:\n  name: "{name or "."}"\n  zonefile: "{file_name(name)}"\n' for name in self._tree.zones]
        head = _NSD.format(address=self.address, port=_PORT, folder=self._folder)
        self._configuration.write_text(head + "".join(zones))


class Unbound:
    """A recursive server at port 53 of an address, which validates or does not. A context manager.

    Answers carry their signatures in either case, for clients that ask for them. Without `caching` a change of a zone
    is seen at the next query.
    """

    def __init__(
        self, tree: ZoneTree, folder: Path, address: str, *, validating: bool = True, caching: bool = False
    ) -> None:
        folder.mkdir()
        self.address = address
        (folder / "root.hints").write_text(tree.hints)
        (folder / "root.anchor").write_text(tree.anchor)
        modules = "validator iterator" if validating else "iterator"
        configuration = folder / "unbound.conf"
        cache = "\n  ".join(() if caching else _NO_CACHE)
        configuration.write_text(
            _UNBOUND.format(address=address, port=_PORT, folder=folder, modules=modules, cache=cache)
        )
        command = [find_program("unbound") or "unbound", "-d", "-p", "-c", str(configuration)]
        self.child = Child(command, folder / "log")

    def __enter__(self) -> Self:
        self.child.start()
        wait_for_server(self.child, self.address)
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.__exit__()


def wait_for_server(child: Child, address: str) -> None:
    """Wait for a DNS server that answers; end its program and raise RuntimeError with its words if it cannot."""
    with ExitStack() as stack:
        stack.callback(child.__exit__)
        until(lambda: answers(address) or not child.running, what=f"the DNS server at {address}")
        if not child.running:
            raise RuntimeError(f"a DNS server does not start: {child.text[-2000:]}")
        stack.pop_all()


def answers(address: str) -> bool:
    """Whether a DNS server answers at port 53 of this address."""
    query = dns.message.make_query(".", "SOA")
    # Over TCP a server that does not listen yet is known at once.
    with suppress(OSError, EOFError, dns.exception.DNSException):
        dns.query.tcp(query, address, timeout=5)
        return True
    return False
