"""The compose files: each parses, and names settings and ports that exist."""

import re
import shutil
import subprocess

import pytest

from mta.config.table import PORT, QUEUE_DIR, SETTINGS
from mta.delivery.limits import DeliveryLimits
from mta.routing.route import TlsRule, TokenCredentials
from tests.deploy.manifests import ROOT, documents, understood

FOLDER = ROOT / "deploy" / "compose"
FILES = sorted(FOLDER.glob("*.yaml"))
PAGES = {
    "server": "server.md",
    "tls": "server.md",
    "secondary": "secondary.md",
    "microsoft365": "microsoft365.md",
    "gmail": "gmail.md",
    "ses": "ses.md",
    "smarthost": "smarthost.md",
    "submission": "submission.md",
}
SUBMISSION = {"submission"}
# The part of the Compose Specification that these files use.
TOP = {"services", "volumes", "secrets"}
SERVICE = {
    "image": str,
    "restart": str,
    "environment": dict,
    "ports": list,
    "volumes": list,
    "secrets": list,
    "read_only": bool,
    "tmpfs": list,
    "cap_drop": list,
    "security_opt": list,
    "sysctls": dict,
    "stop_grace_period": str,
}

compose = shutil.which("docker-compose")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def service(path):
    return documents(path)[0]["services"]["smtp"]


def settings(name, folder):
    return understood(service(FOLDER / f"{name}.yaml")["environment"], folder)


def test_there_is_a_file_for_every_scenario():
    assert {path.stem for path in FILES} == {*PAGES, "dkim"}


@each_file
def test_the_file_has_only_keys_of_the_specification_with_values_of_their_kind(path):
    (whole,) = documents(path)
    assert set(whole) <= TOP
    assert set(whole["services"]) == {"smtp"}
    for key, value in whole["services"]["smtp"].items():
        assert isinstance(value, SERVICE[key]), key
        assert not isinstance(value, list) or all(isinstance(item, str) for item in value), key


@each_file
@pytest.mark.skipif(compose is None, reason="docker-compose is not installed")
def test_compose_itself_takes_the_file(path):
    done = subprocess.run([compose, "-f", path, "config", "-q"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@each_file
def test_every_variable_is_a_setting_and_the_relay_finds_no_mistake(path, tmp_path):
    environment = service(path)["environment"]
    known = {setting.name for setting in SETTINGS} | {f"{setting.name}_FILE" for setting in SETTINGS if setting.secret}
    assert set(environment) <= known
    if path.stem != "dkim":
        assert understood(environment, tmp_path).notices == ()


@each_file
def test_the_queue_is_on_a_volume_and_the_rest_is_read_only(path):
    found = service(path)
    assert f"queue:{QUEUE_DIR.default}" in found["volumes"]
    assert documents(path)[0]["volumes"] == {"queue": None}
    assert all(volume.endswith(":ro") for volume in found["volumes"] if not volume.startswith("queue:"))
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]


@each_file
def test_the_port_is_the_relays_and_may_be_opened_without_rights(path):
    found = service(path)
    names = ("SUBMISSION_PORT", "SUBMISSION_TLS_PORT") if path.stem in SUBMISSION else ("PORT",)
    inside = [found["environment"].get(name, PORT.default) for name in names]
    assert [port.rpartition(":")[2] for port in found["ports"]] == inside
    lowest = found["environment"].get("PORT", PORT.default)
    assert found["sysctls"] == {"net.ipv4.ip_unprivileged_port_start": int(lowest)}


@each_file
def test_only_the_secondary_mx_and_ports_with_a_login_are_open_to_the_world(path):
    for port in service(path)["ports"]:
        assert port.startswith("127.0.0.1:") is (path.stem not in {"secondary", *SUBMISSION})


@each_file
def test_every_secret_is_declared_mounted_and_read(path):
    (whole,) = documents(path)
    found = whole["services"]["smtp"]
    read = {
        value.removeprefix("/run/secrets/")
        for name, value in found["environment"].items()
        if name.endswith("_FILE") and name != "AUTH_USERS_FILE"
    }
    assert read == set(found.get("secrets", [])) == set(whole.get("secrets", {}))
    assert all(declared == {"file": f"./secrets/{name}"} for name, declared in whole.get("secrets", {}).items())


@each_file
def test_docker_waits_long_enough_for_running_deliveries(path):
    period = service(path)["stop_grace_period"]
    assert int(period.removesuffix("s")) >= 3 * DeliveryLimits().grace


@pytest.mark.parametrize("name", ["server", "tls", "secondary", "dkim", "submission"])
def test_mail_goes_to_the_mx_hosts(name, tmp_path):
    assert settings(name, tmp_path).smarthost is None


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("gmail", ("smtp.gmail.com", 587)),
        ("ses", ("email-smtp.eu-west-1.amazonaws.com", 587)),
        ("smarthost", ("smtp.provider.example", 587)),
    ],
)
def test_all_mail_goes_to_the_smarthost_with_a_login_and_a_verified_certificate(name, host, tmp_path):
    smarthost = settings(name, tmp_path).smarthost
    assert smarthost.hosts == (host,)
    assert smarthost.tls is TlsRule.VERIFY
    assert smarthost.credentials.user == f"content of {name}_user"


def test_microsoft_365_gets_a_token_in_place_of_a_password(tmp_path):
    found = settings("microsoft365", tmp_path)
    assert found.smarthost.hosts == (("smtp.office365.com", 587),)
    assert found.smarthost.tls is TlsRule.VERIFY
    assert found.smarthost.credentials == TokenCredentials("relay@example.org", "O365")
    assert found.grant.client_secret == "content of o365_client_secret"


def test_the_secondary_mx_takes_mail_for_its_domain_and_trusts_no_neighbour(tmp_path):
    found = settings("secondary", tmp_path)
    assert found.relay_domains.matches("example.org")
    assert not found.relay_domains.matches("other.example")
    assert service(FOLDER / "secondary.yaml")["environment"]["NET_DEV"] == "lo"


def test_starttls_has_its_files_in_a_folder_that_is_mounted(tmp_path):
    found = service(FOLDER / "tls.yaml")
    certificate = found["environment"]["CERTIFICATE_PATH"]
    assert certificate.rpartition("/")[0] == found["environment"]["KEY_PATH"].rpartition("/")[0]
    assert f"./tls:{certificate.rpartition('/')[0]}:ro" in found["volumes"]
    assert settings("tls", tmp_path).certificate_path is not None


def test_applications_must_log_in_inside_tls_on_the_ports_of_submission(tmp_path):
    found = settings("submission", tmp_path)
    assert (found.submission_port, found.submission_tls_port) == (587, 465)
    assert found.auth_user_count == 1
    assert not found.auth_in_clear
    volumes = service(FOLDER / "submission.yaml")["volumes"]
    for name, path in (("tls", found.certificate_path), ("users", found.auth_users_file)):
        assert f"./{name}:/{path.parent.relative_to(tmp_path)}:ro" in volumes


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_the_page_of_the_scenario_shows_the_file_as_it_is(name, page):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert f"docs/{page}" in text
    shown = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    assert text in shown or name == "tls"
    assert f"deploy/compose/{name}.yaml" in (ROOT / "docs" / page).read_text()
