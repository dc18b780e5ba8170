"""Exim as Debian ships it, as a pure relay, with every limit lifted that would hold it back here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.debian import owner_in
from bench.peer import Recipe, Site

_FILE = "exim4.conf"
_TRANSPORT, _ROUTER, _RETRY, _QUEUE_RUN = "smtp: ", "router: ", "retry", "queue run"


def configuration(site: Site, settings: Mapping[str, str]) -> str:
    """Return Exim's configuration.

    Settings that begin with `smtp: ` are the transport's, those that begin with `router: ` stand for the usual
    router's, `retry` is the rule for retries, and `queue run` the interval of queue runs.
    """
    transport, router = _of(settings, _TRANSPORT), _of(settings, _ROUTER)
    elsewhere = {_RETRY, _QUEUE_RUN}
    main = {name: text for name, text in settings.items() if ": " not in name and name not in elsewhere}
    return _TEXT.format(
        main=_lines(_main(site) | main),
        router=_lines(router or _ONWARD),
        transport=_lines(_smtp(site) | transport),
        retry=settings.get(_RETRY, "F,2h,15m"),
    )


def _of(settings: Mapping[str, str], section: str) -> dict[str, str]:
    return {name.removeprefix(section): text for name, text in settings.items() if name.startswith(section)}


def _configure(site: Site, settings: Mapping[str, str]) -> Sequence[str]:
    (site.home / _FILE).write_text(configuration(site, settings))
    for folder in ("spool", "log"):
        (site.home / folder).mkdir()
        os.chown(site.home / folder, *owner_in(site.debian, "Debian-exim"))
    return ["exim4", "-bdf", f"-q{settings.get(_QUEUE_RUN, '30m')}"]


_TEXT = """\
{main}
begin routers
onward:
{router}  transport = remote_smtp

begin transports
remote_smtp:
  driver = smtp
{transport}
begin retry
* * {retry}
"""


_ONWARD = {"driver": "manualroute", "route_list": "* 127.0.0.1 byname", "self": "send"}


def _main(site: Site) -> dict[str, str]:
    return {
        "primary_hostname": "exim.example.test",
        "spool_directory": str(site.home / "spool"),
        "log_file_path": str(site.home / "log" / "%slog"),
        "local_interfaces": "127.0.0.1",
        "daemon_smtp_ports": str(site.port),
        "disable_ipv6": "true",
        "acl_smtp_rcpt": "accept",
        "keep_environment": "",
        "rfc1413_hosts": "",
        "tls_advertise_hosts": "",
        "message_size_limit": "0",
        "recipients_max": "0",
        "smtp_accept_max": "0",
        "smtp_accept_max_per_connection": "0",
        "smtp_accept_queue_per_connection": "0",
        "smtp_connect_backlog": "1024",
        "remote_max_parallel": "20",
    }


def _smtp(site: Site) -> dict[str, str]:
    return {"port": str(site.sink_port), "allow_localhost": "true"}


def _lines(options: Mapping[str, str]) -> str:
    return "".join(f"{name} = {text}\n" for name, text in options.items())


def _waiting(home: Path) -> int:
    return sum(1 for _ in _headers(home))


def _headers(home: Path) -> Iterator[str]:
    """Yield a file for each message in the spool, whether it is split into folders or not."""
    for _, _, files in os.walk(home / "spool" / "input"):
        yield from (file for file in files if file.endswith("-H"))


RECIPE = Recipe("exim", "exim4-daemon-light", _configure, _waiting, {_FILE: f"/etc/exim4/{_FILE}"})
