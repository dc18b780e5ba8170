"""The environment that a worker inherits."""

import os

from mta.config.table import SETTINGS
from mta.workers.parent import environment

SYSTEMD = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}


def test_a_worker_has_the_environment_of_its_parent_without_the_managers_variables() -> None:
    given = environment({"PATH": "/bin", "SSL_CERT_FILE": "/ca.pem", **SYSTEMD}, [])
    assert given.keys() == {"PATH", "SSL_CERT_FILE", "PYTHONPATH"}
    assert given["SSL_CERT_FILE"] == "/ca.pem"


def test_no_secret_goes_to_a_worker_by_its_environment() -> None:
    secrets = {setting.name: "secret" for setting in SETTINGS if setting.secret}
    assert "secret" not in environment({"PATH": "/bin", **secrets}, []).values()
    assert "secret" not in environment({"PATH": "/bin", "OFFICE_PASSWORD": "secret"}, [], ("OFFICE_PASSWORD",)).values()


def test_a_worker_imports_from_the_parents_paths_in_any_directory() -> None:
    given = environment({"PYTHONPATH": "elsewhere"}, ["", "/opt/lib"])
    assert given["PYTHONPATH"].split(os.pathsep) == [os.getcwd(), "/opt/lib"]  # noqa: PTH109
