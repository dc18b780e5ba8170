"""Prints the documentation of the settings, made from the table that the relay itself reads.

`python -m tools.settings_page` prints docs/configuration.md, and `python -m tools.settings_page table` the table of
README.md.
"""

import sys
from collections.abc import Iterator, Mapping

from mta.cli.configuration import names_and_default
from mta.config import table
from mta.config.help_text import DETAILS
from mta.config.setting import Setting

_HEAD = """\
# Configuration

Every setting is an environment variable; nothing needs to be set. This page is made from the table that the relay
itself reads.

- A variable that is empty counts as not set. Blanks and line ends around a value do not count, but
  blanks before a secret do.
- A secret can be given as a file instead: `NAME_FILE` has its path. Both at once are an error.
- Quotation marks around a whole value are part of it, as `docker --env-file` and Kubernetes keep them. A notice
  names the variables that have some.
- All mistakes in the settings, a file that is missing among them, are reported together at start, one line each with an
  example that is right, and the relay ends with status 78. What is wrong inside a certificate or a DKIM key, or with
  `RUN_AS`, is found after that and told one at a time, with status 78 too. A port that is taken or a queue that cannot
  be used is status 1: it may pass.
- Whatever is set and has no effect is named in the log, as an event `notice`. So is a variable spelled almost like one
  of ours. What the settings amount to stands in events `setting`: who may send, to whom, by which route, how safe.
- `smtprelay config check` says the same without starting, reads certificate and keys as well, and exits with 1 if there
  are mistakes. `smtprelay config explain NAME` says what a setting is now, where that comes from and what it does.
  Secrets are shown as `****`.

## The mode

The first that is set decides where mail goes that is not local:

1. `GMAIL_USER` and `GMAIL_PASSWORD`: through Gmail;
2. `SES_USER` and `SES_PASSWORD`: through Amazon SES;
3. `SMARTHOST_ADDRESS`: through that smarthost, with or without a login;
4. nothing: to the MX hosts of each recipient's domain.

A user without its password, or a password without its user, is an error at start, unless a login before it counts.
"""

_TAIL = """\
## What has no setting

| limit | value | beyond it |
|---|---|---|
| recipients of a message that comes in | 1,000 | `452 4.5.3`; the client sends the rest in another message |
| refused recipients of a message, if they are more than half | 10 | `550 5.7.1` for all that follow |
| header of a message | 1 MiB | `552 5.3.4` |
| `Received:` fields of a message | 50 | `554 5.4.6`, a loop |
| mistakes in a session | 10 | `421 4.7.0`, and the end |
| commands without mail in a session | 50 | `421 4.7.0`, and the end |
| clients at once | 6,000 | `421 4.3.2` |
| clients at once that are not trusted | 4,500 | `421 4.3.2` |
| clients at once from an address that is not trusted | 50 | `421 4.7.0` |
| connections to a destination | 20, from 5 on as it answers well | mail waits its turn |
| recipients of a message that we send at a time | 100 | the rest in the next transaction |
| free room that is left on the queue's disk and in its file | 10 MiB | `452 4.3.1` |
"""

# The settings by what an operator is about to do: each section begins with a setting of the table.
_SECTIONS: Mapping[str, str] = {
    table.PORT.name: "Listening and our name",
    table.NET_DEV.name: "Who may send, and to whom",
    table.OTHER_HOSTNAMES.name: "Local mail",
    table.CERTIFICATE_PATH.name: "TLS for our clients",
    table.SMTPPORTOUT.name: "Delivery by MX",
    table.SMARTHOST_ADDRESS.name: "A smarthost",
    table.GMAIL_USER.name: "Gmail",
    table.SES_USER.name: "Amazon SES",
    table.DKIM_KEY_PATH.name: "DKIM",
    table.QUEUE_DIR.name: "Queue and retries",
    table.MESSAGE_SIZE_LIMIT.name: "Limits, log and DNS",
    table.VERBOSE.name: "From the image we replace",
}


def configuration_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_settings(), _TAIL])


def _settings() -> Iterator[str]:
    for setting in table.SETTINGS:
        if setting.name in _SECTIONS:
            yield f"## {_SECTIONS[setting.name]}\n"
        yield from _about(setting)


def _about(setting: Setting[object]) -> Iterator[str]:
    names, default = names_and_default(setting)
    yield f"### {names}\n\n{setting.help}\n"
    yield f"- default: {default}\n- example: `{setting.name}={setting.example}`\n"
    if setting.name in DETAILS:
        yield f"{DETAILS[setting.name]}\n"


def markdown_table() -> str:
    """Return the settings as the table of the README."""
    rows = ["| variable | default | what it does |", "|---|---|---|", *map(_row, table.SETTINGS)]
    return "\n".join(rows) + "\n"


def _row(setting: Setting[object]) -> str:
    names, default = names_and_default(setting)
    return f"| {names} | {default} | {setting.help} |"


if __name__ == "__main__":
    sys.stdout.write(markdown_table() if sys.argv[1:] == ["table"] else configuration_page())
