"""Reads the settings of an environment, as the tests of single settings need them."""

import pytest

from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings


def read(**environ: str) -> Settings:
    """Return the settings of a relay on a host without networks of its own."""
    return read_settings({"NET_DEV": "none0", **environ}, host_name=lambda: "relay.test")


def mistake(**environ: str) -> str:
    """Return the mistakes of settings that end the start."""
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    return str(caught.value)
