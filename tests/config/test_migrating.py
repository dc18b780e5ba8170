"""docs/migrating.md against the variables of the image we replace, as they were listed from its entry script."""

import re
from pathlib import Path

from mta.config.setting import FILE_SUFFIX
from mta.config.sources.macros import PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS
from mta.config.table import SETTINGS
from mta.config.unknown_variables import IN_OTHER_IMAGES

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()
SECRETS = ("GMAIL_USER", "GMAIL_PASSWORD", "SES_USER", "SES_PASSWORD", "SMARTHOST_USER", "SMARTHOST_PASSWORD")
VARIABLES = {
    "PORT",
    "BIND_IP",
    "BIND_IP6",
    "DISABLE_IPV6",
    "NET_DEV",
    "RELAY_NETWORKS",
    "RELAY_DOMAINS",
    "OTHER_HOSTNAMES",
    "MAILNAME",
    "KEY_PATH",
    "CERTIFICATE_PATH",
    "DKIM_KEY_PATH",
    "DKIM_SELECTOR",
    "SES_REGION",
    "SES_PORT",
    "SMARTHOST_ADDRESS",
    "SMARTHOST_PORT",
    "SMARTHOST_ALIASES",
    "SMTPPORTOUT",
    "USE_SPLIT_CONFIG",
    "VERBOSE",
    *SECRETS,
    *(name + FILE_SUFFIX for name in SECRETS),
}
VERDICTS = {"same", "better", "different"}


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_variable_of_the_image_has_its_row_once() -> None:
    names = [row[0].strip("`") for row in rows("The variables")]
    assert len(names) == len(set(names))
    assert set(names) == VARIABLES


def test_every_row_has_a_verdict_and_a_reason_where_it_differs() -> None:
    for name, verdict, reason in rows("The variables") + rows("Mounted files and volumes"):
        assert verdict in VERDICTS
        assert reason or verdict == "same", name


def test_every_variable_of_the_image_is_a_setting() -> None:
    ours = {setting.name for setting in SETTINGS} | {it.name + FILE_SUFFIX for it in SETTINGS if it.secret}
    assert ours >= VARIABLES


def test_the_macros_that_are_honoured_are_named() -> None:
    named = " ".join(row[0] for row in rows("The macros file"))
    for name in (PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS, "MESSAGE_SIZE_LIMIT", "DKIM_PRIVATE_KEY", "DKIM_DOMAIN"):
        assert name in named


def test_every_name_of_other_images_that_is_hinted_at_stands_on_the_page_with_its_setting() -> None:
    told = {
        name: row[1]
        for image in ("boky/postfix", "docker-mailserver")
        for row in rows(f"Coming from {image}")
        for name in re.findall(r"`(\w+)", row[0])
    }
    for name, setting in IN_OTHER_IMAGES.items():
        assert f"`{setting}" in told[name], name
