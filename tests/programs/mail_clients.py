"""Programs that log in at a mail server and submit a message: swaks, msmtp, smtplib, nodemailer and gsasl.

Each function waits for the end of its program, and returns whether it succeeded, and its output.
"""

import json
import os
import smtplib
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from harness import gsasl as libgsasl
from harness import npm
from harness.processes import find_program
from harness.waiting import PATIENCE

SENDER, TO = "sender@sender.test", "someone@example.test"
MESSAGE = f"From: {SENDER}\r\nTo: {TO}\r\nSubject: submitted\r\nMessage-ID: <1@sender.test>\r\n\r\nHello\r\n"
NODEMAILER = "nodemailer@6.9.16"
_DEBIANS_MODULES = Path("/usr/share/nodejs")


@dataclass(frozen=True)
class Server:
    """A port of 127.0.0.1, the start of TLS there, and the file of the authority that signed its certificate."""

    port: int
    authority: Path
    #: "starttls", "implicit", or "none".
    tls: str = "starttls"


@dataclass(frozen=True)
class Account:
    """A user's login by one mechanism; the password is a token for XOAUTH2 and OAUTHBEARER."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "PLAIN"


class Done(NamedTuple):
    """The end of a client."""

    accepted: bool
    output: str


def lacks(*programs: str) -> str | None:
    """Return which program is not installed, or None if all of them are."""
    missing = [name for name in programs if find_program(name) is None]
    return f"{', '.join(missing)} not installed" if missing else None


def swaks_lacks() -> str | None:
    """Return why swaks cannot speak TLS here, or None if it can."""
    if lacks("swaks"):
        return lacks("swaks")
    module = subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False)
    return "swaks lacks Net::SSLeay: install libnet-ssleay-perl" if module.returncode else None


def swaks(server: Server, account: Account, *more: str, message: str = MESSAGE) -> Done:
    """Submit with swaks, which knows PLAIN, LOGIN and CRAM-MD5; `more` are further options."""
    begin = {"starttls": ["-tls"], "implicit": ["-tlsc"], "none": []}[server.tls]
    trust = ["--tls-verify", "--tls-ca-path", str(server.authority)] if begin else []
    login = ["--auth", account.mechanism, "--auth-user", account.user, "--auth-password", account.password]
    address = ["--server", "127.0.0.1", "--port", str(server.port), "--helo", "client.test"]
    with tempfile.NamedTemporaryFile("w", newline="") as file:
        file.write(message)
        file.flush()
        envelope = ["--from", SENDER, "--to", TO, "--data", f"@{file.name}"]
        return _run(["swaks", *address, *begin, *trust, *login, *envelope, *more])


def msmtp(server: Server, account: Account, *, message: str = MESSAGE, certificate: Sequence[Path] = ()) -> Done:
    """Submit with msmtp, which knows every mechanism without channel binding; `certificate` is its own, and its key."""
    tls = {"starttls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off", "none": "tls off"}[server.tls]
    lines = [
        "account default",
        f"host localhost\nport {server.port}\ndomain client.test\nfrom {SENDER}",
        f"{tls}\ntls_trust_file {server.authority}",
        f'auth {account.mechanism.lower()}\nuser {account.user}\npasswordeval "cat"',
    ]
    if certificate:
        lines.append(f"tls_cert_file {certificate[0]}\ntls_key_file {certificate[1]}")
    with tempfile.TemporaryDirectory() as folder:
        configuration, password = Path(folder, "msmtprc"), Path(folder, "password")
        password.write_text(account.password + "\n")
        configuration.write_text("\n".join(lines).replace('"cat"', f'"cat {password}"') + "\n")
        configuration.chmod(0o600)
        return _run(["msmtp", "-C", str(configuration), TO], text=message.replace("\r\n", "\n"))


def gsasl(server: Server, account: Account, priority: str = "NORMAL") -> Done:
    """Log in with GNU SASL; `priority` chooses versions and ciphers of TLS, in the language of GnuTLS."""
    words = [f"--connect=localhost:{server.port}", "--smtp", "--client", f"--mechanism={account.mechanism}"]
    words += [f"--authentication-id={account.user}", f"--password={account.password}"]
    words += ["--no-starttls"] if server.tls == "none" else ["--starttls", f"--x509-ca-file={server.authority}"]
    words.append(f"--priority={priority}")
    if not account.mechanism.endswith("-PLUS"):
        # With channel binding at hand it refuses the mechanism without.
        words.append("--no-cb")
    return _run(["gsasl", "--verbose", *words])


def python(server: Server, account: Account, *, message: str = MESSAGE) -> Done:
    """Submit with Python's smtplib, which knows PLAIN, LOGIN and CRAM-MD5."""
    trust = ssl.create_default_context(cafile=str(server.authority))
    try:
        if server.tls == "implicit":
            client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", server.port, timeout=PATIENCE, context=trust)
        else:
            client = smtplib.SMTP("localhost", server.port, timeout=PATIENCE)
        with client:
            if server.tls == "starttls":
                client.starttls(context=trust)
            client.ehlo()
            client.user, client.password = account.user, account.password  # type: ignore[attr-defined]
            method = getattr(client, f"auth_{account.mechanism.lower().replace('-', '_')}")
            client.auth(account.mechanism, method)
            client.sendmail(SENDER, TO, message.encode())
    except smtplib.SMTPException as error:
        return Done(accepted=False, output=str(error))
    return Done(accepted=True, output="")


def nodemailer(server: Server, account: Account, *, message: str = MESSAGE) -> Done:
    """Submit with nodemailer, which knows PLAIN, LOGIN, CRAM-MD5 and XOAUTH2."""
    job = {
        "host": "localhost",
        "port": server.port,
        "secure": server.tls == "implicit",
        "requireTLS": server.tls == "starttls",
        "ignoreTLS": server.tls == "none",
        "authMethod": account.mechanism,
        "auth": _nodemailers_login(account),
        "tls": {"ca": server.authority.read_text()},
        "name": "client.test",
    }
    mail = {"envelope": {"from": SENDER, "to": TO}, "raw": message}
    script = Path(__file__).with_name("nodemailer.mjs")
    words = json.dumps({"server": job, "mail": mail, "modules": str(_modules())})
    return _run(["node", str(script)], text=words)


def _nodemailers_login(account: Account) -> dict[str, str]:
    if account.mechanism == "XOAUTH2":
        return {"type": "OAuth2", "user": account.user, "accessToken": account.password}
    return {"user": account.user, "pass": account.password}


def _modules() -> Path:
    debians = (_DEBIANS_MODULES / "nodemailer").is_dir()
    return _DEBIANS_MODULES if debians else npm.folder_of((NODEMAILER,)) / "node_modules"


@cache
def nodemailer_lacks() -> str | None:
    """Return why nodemailer cannot be used here, or None; the first call in a clone may have npm download it."""
    if lacks("node") or (_DEBIANS_MODULES / "nodemailer").is_dir():
        return lacks("node")
    return npm.downloaded((NODEMAILER,))


def _run(command: Sequence[str], text: str = "", **environment: str) -> Done:
    done = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=PATIENCE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **environment},
    )
    return Done(done.returncode == 0, done.stdout)


#: The programs that submit a message, and what each lacks here.
SUBMITTERS: dict[str, tuple[Callable[..., Done], Callable[[], str | None]]] = {
    "swaks": (swaks, swaks_lacks),
    "msmtp": (msmtp, lambda: lacks("msmtp")),
    "smtplib": (python, lambda: None),
    "nodemailer": (nodemailer, nodemailer_lacks),
}


def gsasl_lacks() -> str | None:
    """Return why GNU SASL cannot be used here, or None."""
    return lacks("gsasl") or libgsasl.why_not()
