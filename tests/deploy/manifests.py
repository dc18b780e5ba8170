"""YAML as the deploy tests read it, and the settings that a file of theirs gives to the relay."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from harness.certificates import authority
from mta.config.settings import Settings, read_settings
from mta.config.table import SETTINGS

ROOT = Path(__file__).parent.parent.parent
#: Where the relay finds files that a container is given.
MOUNTED = ("/run/secrets/", "/etc/smtprelay/")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML does not mind."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(key), loader.construct_object(value, deep=True)) for key, value in node.value]
    assert len(dict(pairs)) == len(pairs), f"a key is given twice{node.start_mark}"
    return dict(pairs)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return documents_in(path.read_text())


def documents_in(text: str) -> list[Any]:
    """Return the documents of a YAML text."""
    return list(yaml.load_all(text, _Loader))


def understood(environ: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings that the relay reads from these variables. Files of a container are made in `folder`."""
    for name, value in environ.items():
        assert isinstance(value, str), f"{name} is not a text for YAML: quote it"
    here = {name: _made(value, folder) if value.startswith(MOUNTED) else value for name, value in environ.items()}
    return read_settings(here, host_name=lambda: "container", networks=lambda _: ())


def _made(name: str, folder: Path) -> str:
    path = folder / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_content(path.name))
    return str(path)


def _content(name: str) -> str:
    """Return the content of a file: a user, a certificate, an example if it has the name of a setting, or any text."""
    if name == "users":
        return "app:{PLAIN}secret\n"
    if name == "ca.crt":
        return _authority()
    return {setting.name: setting.example for setting in SETTINGS}.get(name, f"content of {name}") + "\n"


@cache
def _authority() -> str:
    return authority().certificate_pem.decode()
