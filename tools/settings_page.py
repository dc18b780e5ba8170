"""Prints the documentation of the settings, generated from the table that the relay itself reads.

`python -m tools.settings_page` prints docs/configuration.md, and `python -m tools.settings_page table` the README's
table of the ten settings that most installations need.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

from mta.cli.config.command import names_and_default
from mta.config import table
from mta.config.help_text import DETAILS
from mta.config.setting import Setting

_HEAD = """\
# Settings

Every setting is an environment variable, and none is required. This page is generated from the table that the relay
itself reads.

- An empty variable counts as not set. Blanks and line ends around a value are ignored, except for blanks before a
  secret.
- A secret can be given as a file: `NAME_FILE` contains its path. Setting both is an error.
- Quotation marks around a whole value are part of the value, because `docker --env-file` and Kubernetes keep them. A
  notice names the variables that have them.
- All mistakes in the settings, missing files included, are reported together at start: one line each with a correct
  example, and exit status 78. A certificate, a DKIM key or a `RUN_AS` that cannot be used is found later and reported
  alone, also with status 78. A port that is taken or a queue that cannot be used ends the start with status 1, because
  the cause may pass.
- A setting without effect is named in the log by an event `notice`, and so is a variable whose name is almost that of
  a setting. Events `setting` state the result: the clients that may send, their destinations, the route and its TLS.
- `smtprelay config check` prints the same without a start, reads certificate and keys as well, and exits with 1 if
  there are mistakes. `smtprelay config explain NAME` prints a setting's value, its source and its meaning. Secrets are
  shown as `****`.

## Route

The first of these that is set decides the route of mail that is not local:

1. `GMAIL_USER` with a password or tokens: through Gmail;
2. `O365_USER` with tokens: through Microsoft 365;
3. `SES_USER` and `SES_PASSWORD`: through Amazon SES;
4. `SMARTHOST_ADDRESS`: through that smarthost, with or without a login;
5. otherwise: to the MX hosts of each recipient's domain.

A part of a login without the others, such as a user without a password, is an error at start, and so are two ways to
log in, unless an earlier route with a complete login applies.

## All settings

"""

_TAIL = """\
## Limits without a setting

| limit | value | beyond it |
|---|---|---|
| recipients of an incoming message | 1,000 | `452 4.5.3`; the client sends the rest in another message |
| refused recipients of a message, if they are more than half | 10 | `550 5.7.1` for all that follow |
| header of a message | 1 MiB | `552 5.3.4` |
| `Received:` fields of a message | 50 | `554 5.4.6`, a loop |
| errors in a session | 10 | `421 4.7.0`, and the session ends |
| commands without mail in a session | 50 | `421 4.7.0`, and the session ends |
| clients at a time | 6,000 | `421 4.3.2` |
| untrusted clients at a time | 4,500 | `421 4.3.2` |
| connections at a time from one untrusted address | 50 | `421 4.7.0` |
| connections that wait for a PROXY header | 500, each for 5 s | `421 4.3.2`, or the connection is closed |
| failed logins in a session | 3 | `421 4.7.0`, and the session ends |
| failed logins in an hour from one untrusted address | 20 | `421 4.7.0` for an hour |
| passwords that wait to be checked | 100 | `454 4.7.0` |
| users in `AUTH_USERS` | 100,000 | an error; while the relay runs, they are passed over |
| connections to a destination | 20; 5 at first, more while it answers well | mail waits for a connection |
| recipients of an outgoing transaction | 100 | the rest in the next transaction |
| reserve on the queue's disk and in its file | 10 MiB | `452 4.3.1` |
"""

#: The settings by the operator's task: each section begins with a setting of the table.
SECTIONS: Mapping[str, str] = {
    table.PORT.name: "Ports, addresses and the relay's name",
    table.NET_DEV.name: "Clients and the domains that they may send to",
    table.RULES_DIR.name: "Rules of your own",
    table.OTHER_HOSTNAMES.name: "Local mail",
    table.CERTIFICATE_PATH.name: "STARTTLS for clients",
    table.SUBMISSION_PORT.name: "Submission: clients that log in",
    table.SMTPPORTOUT.name: "Delivery by MX",
    table.SMARTHOST_ADDRESS.name: "Smarthost",
    table.GMAIL_USER.name: "Gmail",
    table.O365_USER.name: "Microsoft 365",
    table.SES_USER.name: "Amazon SES",
    table.DKIM_KEY_PATH.name: "DKIM",
    table.QUEUE_DIR.name: "Queue and retries",
    table.MESSAGE_SIZE_LIMIT.name: "Limits, DNS and log",
    table.VERBOSE.name: "Settings of the Exim image",
}


# The rows of the README's table, in its order.
_ESSENTIAL = (
    table.MAILNAME.name,
    table.PORT.name,
    table.RELAY_NETWORKS.name,
    table.RELAY_DOMAINS.name,
    table.OTHER_HOSTNAMES.name,
    table.SMARTHOST_ADDRESS.name,
    table.SMARTHOST_USER.name,
    table.SMARTHOST_PASSWORD.name,
    table.DKIM_KEY_PATH.name,
    table.QUEUE_DIR.name,
)


def configuration_page() -> str:
    """Return docs/configuration.md: the table of all settings, then each at length, then the fixed limits."""
    return "\n".join([_HEAD + _table(table.SETTINGS), *_settings(), _TAIL])


def _settings() -> Iterator[str]:
    for setting in table.SETTINGS:
        if setting.name in SECTIONS:
            yield f"## {SECTIONS[setting.name]}\n"
        yield from _about(setting)


def _about(setting: Setting[object]) -> Iterator[str]:
    names, default = _names_and_default(setting)
    yield f"### {names}\n\n{setting.help}\n"
    yield f"- default: {default}\n- example: `{setting.name}={setting.example}`\n"
    if setting.name in DETAILS:
        yield f"{DETAILS[setting.name]}\n"


def essential_table() -> str:
    """Return the README's table."""
    by_name = {setting.name: setting for setting in table.SETTINGS}
    return _table([by_name[name] for name in _ESSENTIAL])


def _table(settings: Sequence[Setting[object]]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|", *map(_row, settings)]
    return "\n".join(rows) + "\n"


def _row(setting: Setting[object]) -> str:
    names, default = _names_and_default(setting)
    return f"| {names} | {default} | {setting.help} |"


def _names_and_default(setting: Setting[object]) -> tuple[str, str]:
    names, default = names_and_default(setting)
    return names, "not set" if default == "none" else default


if __name__ == "__main__":
    sys.stdout.write(essential_table() if sys.argv[1:] == ["table"] else configuration_page())
