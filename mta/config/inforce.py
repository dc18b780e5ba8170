"""Every setting as it counts, secrets masked: for the log, and for an operator who asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta.config.setting import MASK, Reading, Setting, Source
from mta.config.table import SETTINGS


@dataclass(frozen=True, slots=True)
class InForce:
    """The value of one setting as it is written, `****` for a secret, and where it came from."""

    name: str
    text: str
    source: Source

    def __str__(self) -> str:
        """Give `NAME = text`."""
        return f"{self.name} = {self.text}".rstrip()


def in_force(reading: Reading, found: Mapping[str, str]) -> tuple[InForce, ...]:
    """Return all settings in the order of the table. `found` has, by name, what stands in for an empty default."""
    return tuple(
        InForce(setting.name, _text(setting, reading) or found.get(setting.name, ""), reading.source(setting))
        for setting in SETTINGS
    )


def _text(setting: Setting[Any], reading: Reading) -> str:
    if setting.secret:
        return MASK if reading.is_set(setting) else ""
    return setting.form.show(reading.of(setting))
