"""Stands in for docker and kubectl when the pages' commands are run: a container's command runs here.

It takes the commands that the pages use and refuses all others; the files that they need must be there.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tests.deploy.manifests import documents

#: Set by the test: this of the container's environment gives way to the running relay's own.
OWN = ("PORT", "QUEUE_DIR", "QUEUE_URL", "QUEUE_PASSWORD_FILE", "MAIL_DIR", "NET_DEV", "RELAY_NETWORKS")


def refuse(words: str) -> NoReturn:
    """End with a line that names the fault."""
    raise SystemExit(f"stand-in: {words}")


def run(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become the command that would run in the container."""
    kept = {name: value for name, value in environ.items() if name not in OWN}
    os.execvpe(command[0], command, {**os.environ, **kept})


def compose(arguments: Sequence[str]) -> None:
    """Play `docker compose` in a folder with a compose file."""
    (whole,) = documents(Path("compose.yaml"))
    service = whole["services"]["smtp"]
    mounts = {f"/run/secrets/{name}": one["file"] for name, one in whole.get("secrets", {}).items()}
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        if source.startswith("./"):
            mounts[target] = source
    missing = [source for source in mounts.values() if not os.access(source, os.R_OK)]
    match arguments:
        case ["up", "-d", *_] | ["restart", "smtp"] if missing:
            refuse(f"there is no {missing}")
        case ["up", "-d"] | ["up", "-d", "--scale", "smtp=5"] | ["restart", "smtp"] | ["logs", "smtp"]:
            pass
        case ["exec", "smtp", *command]:
            run(command, {name: _outside(value, mounts) for name, value in service["environment"].items()})
        case _:
            refuse(f"docker compose {arguments}?")


def kubectl(arguments: Sequence[str]) -> None:
    """Play `kubectl` with the manifest applied."""
    match arguments:
        case ["apply", "-f", path]:
            assert documents(Path(path))
        case ["rollout", "status" | "restart", "statefulset/smtprelay"] | ["logs", "statefulset/smtprelay"]:
            pass
        case ["create", "secret", "generic", "smtprelay", *files]:
            for name in files:
                assert Path(name.removeprefix("--from-file=").rpartition("=")[2]).is_file()
        case ["create", "secret", "tls", "smtprelay-tls", *files]:
            for name in files:
                assert Path(name.partition("=")[2]).is_file()
        case ["exec", "statefulset/smtprelay", "--", *command]:
            run(command, {})
        case _:
            refuse(f"kubectl {arguments}?")


def _outside(value: str, mounts: Mapping[str, str]) -> str:
    for target, source in mounts.items():
        if value.startswith(target):
            return source + value.removeprefix(target)
    return value


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["docker", "compose", *rest]:
            compose(rest)
        case ["docker", "exec", "smtprelay", *rest]:
            run(rest, {})
        case ["kubectl", *rest]:
            kubectl(rest)
        case _:
            refuse(f"{sys.argv[1:]}?")
