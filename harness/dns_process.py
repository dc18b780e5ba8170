"""A DNS server in a process of its own."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.daemon import ROOT
from harness.processes import Child, free_port


class Dns:
    """A DNS server in a process of its own, which follows its zone file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "zone.json"
        self._records: dict[str, Mapping[str, Any]] = {}
        self.port = free_port()
        self.add({})
        command = [sys.executable, "-m", "harness.dns_server", "--port", str(self.port), "--zone", str(self._file)]
        self.child = Child(command, folder / "dns.log", {"PYTHONPATH": str(ROOT)})

    def add(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        """Add records by name, in the form of the zone file."""
        self._records |= names
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._records))
        new.replace(self._file)

    def clear(self) -> None:
        """Remove all records."""
        self._records.clear()
        self.add({})

    def mail_host(self, domain: str, address: str = "127.0.0.1") -> None:
        """Give a domain one MX host at this address."""
        self.add({domain: {"MX": [[10, f"mx.{domain}"]]}, f"mx.{domain}": {"A": [address]}})

    @property
    def setting(self) -> str:
        """The value of DNS_SERVERS."""
        return f"127.0.0.1:{self.port}"
