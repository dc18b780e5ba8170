"""Writes the settings into the values of the Helm chart and their schema, generated from the relay's own table.

`python -m tools.chart_settings` rewrites values.yaml, between its marks, and values.schema.json.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mta.config import table
from mta.config.setting import Setting
from tools.settings_page import SECTIONS

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "smtprelay"

#: Settings that another value of the chart decides, because they are ports and paths in the pod.
DECIDED: Mapping[str, str] = {
    "PORT": "service",
    "RUN_AS": "podSecurityContext",
    "RULES_DIR": "rules",
    "MAIL_DIR": "maildirs",
    "ALIASES_FILE": "aliases",
    "CERTIFICATE_PATH": "certificate",
    "KEY_PATH": "certificate",
    "SUBMISSION_PORT": "submission.starttls",
    "SUBMISSION_TLS_PORT": "submission.tls",
    "SMARTHOST_CA_FILE": "smarthost.ca",
    "SMARTHOST_CERTIFICATE_PATH": "smarthost.certificate",
    "SMARTHOST_KEY_PATH": "smarthost.certificate",
    "DKIM_KEY_PATH": "dkim",
    "QUEUE_DIR": "queue.volume",
    "QUEUE_URL": "queue.url",
    "METRICS_LISTEN": "metrics.enabled",
    "ADMIN_LISTEN": "admin.enabled",
    "ADMIN_CERTIFICATE_PATH": "admin.certificate",
    "ADMIN_KEY_PATH": "admin.certificate",
    "MACROS_FILE": "macros",
}
# Secrets of the table that only name an account: they may be in clear, too.
_ACCOUNTS = ("_USER", "_CLIENT_ID")
# Values that values.yaml sets.
_SET = ("NET_DEV", "LOG_FORMAT")


def plain_settings() -> Iterator[Setting[Any]]:
    """Yield the settings of the chart's value `settings`, in the order of the documentation."""
    for setting in table.SETTINGS:
        if setting.name not in DECIDED and (not setting.secret or setting.name.endswith(_ACCOUNTS)):
            yield setting


def secret_settings() -> Iterator[Setting[Any]]:
    """Yield the settings of the chart's value `secrets`."""
    return (setting for setting in table.SETTINGS if setting.secret)


def values_with(text: str) -> str:
    """Return values.yaml with all settings between its marks. Raises ValueError if the marks are missing."""
    secrets = (f"# {each.name}: {{secret: smtprelay, key: {each.name.lower()}}}" for each in secret_settings())
    return _between(_between(text, "settings", _examples()), "secrets", secrets)


def _examples() -> Iterator[str]:
    """Yield a comment for each setting, below the title of its section."""
    plain = {setting.name for setting in plain_settings()}
    for setting in table.SETTINGS:
        if setting.name in SECTIONS:
            yield "#"
            yield f"# {SECTIONS[setting.name]}"
        if setting.name in DECIDED:
            yield f"# ({setting.name}: see {DECIDED[setting.name]})"
        elif setting.name not in plain:
            yield f"# ({setting.name}: see secrets)"
        elif setting.name not in _SET:
            yield f"# {setting.name}: {json.dumps(setting.example)}"


def _between(text: str, mark: str, lines: Iterator[str]) -> str:
    before, begin, rest = text.partition(f"  # <{mark}>\n")
    _, end, after = rest.partition(f"  # </{mark}>\n")
    if not begin or not end:
        raise ValueError(f"values.yaml lacks the marks of {mark}")
    return before + begin + "".join(f"  {line}\n" for line in lines) + end + after


def schema_with(text: str) -> str:
    """Return values.schema.json with all settings and secrets in it."""
    schema = json.loads(text)
    parts = schema["properties"]
    parts["settings"]["properties"] = {each.name: _property("value", each) for each in plain_settings()}
    parts["secrets"]["properties"] = {each.name: _property("secretKey", each) for each in secret_settings()}
    return json.dumps(schema, indent=2) + "\n"


def _property(definition: str, setting: Setting[Any]) -> Mapping[str, object]:
    return {"description": setting.help, "allOf": [{"$ref": f"#/definitions/{definition}"}]}


def main() -> None:
    """Rewrite both files."""
    for name, made in (("values.yaml", values_with), ("values.schema.json", schema_with)):
        path = CHART / name
        path.write_text(made(path.read_text()))


if __name__ == "__main__":
    main()
