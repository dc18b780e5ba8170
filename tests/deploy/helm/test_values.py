"""The values of the Helm chart: every setting has a place, and values that cannot work are refused with the remedy."""

import re
from typing import Any

import pytest
import yaml

from mta.config.table import SETTINGS
from tests.deploy.helm.chart import CHART, SETS, rendered, run, template
from tests.deploy.manifests import documents
from tools.chart_settings import DECIDED, plain_settings, schema_with, secret_settings, values_with
from tools.settings_page import SECTIONS

(VALUES,) = documents(CHART / "values.yaml")
LOGIN = ("--set=certificate.secret=tls", "--set=secrets.AUTH_USERS.secret=s")
# Settings whose defaults are the paths in the pod, or that the pod's user decides.
AS_BY_DEFAULT = {"RUN_AS", "QUEUE_DIR", "RULES_DIR"}


@pytest.mark.parametrize(("name", "made"), [("values.yaml", values_with), ("values.schema.json", schema_with)])
def test_the_files_have_the_settings_of_the_relays_table(name: str, made: Any) -> None:
    text = (CHART / name).read_text()
    assert text == made(text), "run: python -m tools.chart_settings"


def test_a_file_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks the marks of settings"):
        values_with("settings: {}\n")


def test_every_setting_has_its_place() -> None:
    plain, secret = ({setting.name for setting in group} for group in (plain_settings(), secret_settings()))
    assert plain | secret | set(DECIDED) == {setting.name for setting in SETTINGS}
    assert not plain & set(DECIDED)
    assert not secret & set(DECIDED)


@pytest.mark.parametrize("path", sorted(set(DECIDED.values())))
def test_a_value_that_decides_settings_exists(path: str) -> None:
    found = VALUES
    for name in path.split("."):
        found = found[name]


def test_the_sets_of_values_together_have_all_settings_that_other_values_decide() -> None:
    named = {variable for name in SETS for variable in rendered(name).data}
    assert named >= set(DECIDED) - AS_BY_DEFAULT


@pytest.mark.parametrize("title", SECTIONS.values())
def test_values_yaml_has_every_group_of_settings(title: str) -> None:
    assert f"  # {title}\n" in (CHART / "values.yaml").read_text()


def test_an_example_in_values_yaml_is_the_value_that_the_relay_gets() -> None:
    text = (CHART / "values.yaml").read_text()
    examples = re.findall(r"^  # ([A-Z][A-Z0-9_]*: [^{\n]+)$", text, re.MULTILINE)
    written = yaml.safe_load("\n".join(examples))
    assert written == {setting.name: setting.example for setting in plain_settings() if setting.name in written}
    assert len(written) > 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set=settings.SMARTHOST_PASSWORD=x"], "SMARTHOST_PASSWORD"),
        (["--set=settings.MAILNAM=x"], "MAILNAM"),
        (["--set=settings.PORT=25"], "PORT"),
        (["--set=settings.LOG_SUBJECT=no,settings.HIDE_CLIENTS=true"], "HIDE_CLIENTS"),
        (["--set=secrets.SMARTHOST_PASSWORD=correct-horse"], "SMARTHOST_PASSWORD"),
        (["--set=secrets.SMARTHOST_PASSWORD.key=x"], "secret"),
        (["--set=queue.url=postgresql://smtprelay:correct-horse@db/mail"], "url"),
        (["--set=queue.url=mysql://db/mail"], "url"),
        (["--set=image.tags=x"], "tags"),
        (["--set-string=replicas=2"], "replicas"),
        (["--set-string=rules.files.acl=x"], "acl"),
        (["--set=networkPolicy.clients[0].podSelectors.a=b"], "podSelectors"),
    ],
)
def test_the_schema_refuses_values_that_the_relay_does_not_know(options: list[str], words: str) -> None:
    done = template(options)
    assert done.returncode != 0
    assert words in done.stderr
    assert "schema" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set=submission.tls=true", LOGIN[1]], "submission needs certificate.secret"),
        (["--set=submission.starttls=true", LOGIN[0]], "submission needs secrets.AUTH_USERS"),
        (["--set=admin.enabled=true"], "admin.enabled needs secrets.ADMIN_PASSWORD"),
        (["--set=metrics.serviceMonitor.enabled=true"], "metrics.serviceMonitor.enabled needs metrics.enabled"),
        (["--set=autoscaling.enabled=true"], "autoscaling.enabled needs queue.url"),
        (["--set=rules.configMap=a", "--set-string=rules.files.a\\.toml=b"], "are both set"),
        (["--set=public.enabled=true"], "public.ports has submissions, a port that the relay does not open"),
        (["--set=terminationGracePeriodSeconds=25"], "must be at least 26"),
        (["--set=settings.SES_USER=a", "--set=secrets.SES_USER.secret=b"], "SES_USER is in both settings and secrets"),
    ],
)
def test_values_that_do_not_belong_together_are_refused_with_the_remedy(options: list[str], words: str) -> None:
    done = template(options)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ([], ["settings.MAILNAME is not set", "settings.RELAY_NETWORKS is not set"]),
        (["--set=settings.MAILNAME=a.example", "--set=settings.RELAY_DOMAINS=example.org"], []),
        (
            [
                "--set=settings.MAILNAME=a.example",
                *LOGIN,
                "--set=submission.tls=true",
                "--set=public.enabled=true",
                "--set=public.externalTrafficPolicy=Cluster",
            ],
            ["public.externalTrafficPolicy is Cluster"],
        ),
    ],
)
def test_the_notes_warn_of_values_that_seldom_work(options: list[str], warnings: list[str]) -> None:
    done = run("install", "smtprelay", str(CHART), "--dry-run=client", *options)
    assert done.returncode == 0, done.stderr
    found = [line.removeprefix("WARNING: ") for line in done.stdout.splitlines() if line.startswith("WARNING: ")]
    assert len(found) == len(warnings)
    assert all(line.startswith(words) for line, words in zip(found, warnings, strict=True))
