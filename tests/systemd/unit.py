"""The relay as a unit of a machine: set up, started, asked."""

import smtplib
from pathlib import Path

from harness.waiting import until
from tests.systemd.machine import Machine

UNIT = "smtprelay.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"


class Unit:
    """smtprelay.service in a machine, listening on port 25."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def configure(self, *drop_ins: str, **settings: str) -> None:
        """Give /etc/default/smtprelay these settings and the unit these drop-ins, and no others."""
        lines = (f'{name}="{text}"\n' for name, text in settings.items())
        self.machine.write("/etc/default/smtprelay", "".join(lines))
        self.machine.write(DROP_IN, "\n".join(drop_ins))
        self.machine.run("systemctl", "daemon-reload")

    def systemctl(self, verb: str) -> None:
        """Start, stop or restart; returns when it is done."""
        self.machine.run("systemctl", verb, UNIT)

    def show(self, name: str) -> str:
        """Return a property as systemd sees it."""
        return self.machine.run("systemctl", "show", "--value", f"--property={name}", UNIT).stdout.strip()

    def pid(self) -> int:
        """Return the relay's process id in the machine."""
        return int(self.show("MainPID"))

    def workers(self) -> list[str]:
        """Return the ids of the processes that the relay has started."""
        return self.machine.shell(f"cat /proc/{self.pid()}/task/*/children").split()

    def event_log(self) -> str:
        """Return the lines of the unit in the journal."""
        return self.machine.run("journalctl", "--quiet", "--no-pager", "--output=cat", f"--unit={UNIT}").stdout

    def command(self, *arguments: str) -> str:
        """Run the operator's command as the relay's user and return its output."""
        command = ("runuser", "-u", "smtprelay", "--", "/opt/smtprelay/bin/smtprelay", *arguments)
        return self.machine.run(*command).stdout

    def submit(self, to: str, words: str = "hello") -> None:
        """Send a mail as a client on the machine would."""
        with smtplib.SMTP("127.0.0.1", 25, "client.test", timeout=20) as client:
            client.sendmail("sender@sender.test", [to], f"Subject: {words}\r\n\r\n{words}\r\n")

    def emptied(self) -> None:
        """Wait until its queue is empty."""
        until(lambda: "Nothing is waiting." in self.command("queue", "list"), what="an empty queue")


def blocks(page: Path, heading: str, language: str) -> list[str]:
    """Return the code blocks of a language that stand below a heading of a Markdown page."""
    _, _, rest = page.read_text().partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    return [part.partition("\n```")[0] for part in section.split(f"```{language}\n")[1:]]
