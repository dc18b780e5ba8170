"""Pages and README: their commands work, and their links, settings and events exist."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.certificates import self_signed
from harness.daemon import Daemon
from mta.config.table import SETTINGS
from tests.deploy.manifests import ROOT
from tests.deploy.pages import PAGES, Block, blocks, commands

RUNNABLE = [page for page in PAGES if any(not block.why_not_run for block in commands(page))]
TROUBLE = ROOT / "docs" / "troubleshooting.md"
OPERATING = ROOT / "docs" / "operating.md"
COMMAND = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:[\w./-]*/)?"
    r"(docker|helm|kubectl|make|mkdir|openssl|pip|podman|smtprelay|swaks|systemctl|twistd) ",
    re.MULTILINE,
)
# Names in capitals that are not settings of the relay.
OTHER_NAMES = {
    "CAP_NET_BIND_SERVICE",
    "NET_BIND_SERVICE",
    "SETUID",
    "SETGID",
    "CONTAINER_NAME",
    "RELAY_SEED",
    "RELAY_KILLS",
    "RELAY_TESTS",
    "ALLOWED_SENDER_DOMAINS",
    "NAME_FILE",
    "RUNTIME_DIRECTORY",
    "TLS_AES_256_GCM_SHA384",
    "CODE_OF_CONDUCT",
    "DEBUG_README",
    "OFFICE_PASSWORD",
    "NEWS_PASSWORD",
    "SSL_CERT_FILE",
    "EX_TEMPFAIL",
    # Of the build.
    "SMTPRELAY_COMPILE",
    # Of Compose.
    "SMTPRELAY_IMAGE",
}
# These pages also mention Exim's names, and have tests of their own.
EXIM_PAGES = {"migrating.md", "rules-migrating.md", "configuration.md", "container.md"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def name_of(block: Block) -> str:
    return f"{block.page.name}:{block.line}"


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A relay whose DNS never answers, so that mail stays in its queue."""
    with Daemon(tmp_path_factory.mktemp("relay"), DNS_SERVERS="127.0.0.1:9") as daemon:
        yield daemon


@pytest.fixture
def folder(relay, tmp_path: Path) -> Path:
    """A folder that looks like the source folder, with stand-ins for the programs that a reader has."""
    for name in ("deploy", "docs", "mta"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "spool").symlink_to(relay.queue_dir)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    programs = tmp_path / ".programs"
    programs.mkdir()
    for name in ("docker", "kubectl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.deploy.standin {name} "$@"\n')
        program.chmod(0o755)
    return tmp_path


@pytest.mark.endtoend
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_one_after_the_other(page, relay, folder):
    script = "\n".join(f": {name_of(block)}\n{block.text}" for block in commands(page) if not block.why_not_run)
    for program in ("swaks", "jq"):
        if re.search(rf"(^|\| ){program} ", script, re.MULTILINE) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if page == TROUBLE:
        (folder / "tls").mkdir()
        certificate, key = self_signed(["mail.example.org"]).write(folder / "tls")
        certificate.rename(folder / "tls" / "fullchain.pem")
        key.rename(folder / "tls" / "privkey.pem")
    script = script.replace(":2525", f":{relay.port}")
    path = f"{folder}/.programs:{Path(sys.executable).parent}:{relay.environment['PATH']}"
    done = subprocess.run(
        ["sh", "-eux", "-c", script],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**relay.environment, "PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@each_page
def test_every_command_is_in_a_block_of_commands(page):
    unmarked = [block for block in blocks(page) if block.language not in {"sh", "console"}]
    assert [name_of(block) for block in unmarked if COMMAND.search(block.text)] == []


@each_page
def test_every_block_of_commands_is_well_formed(page):
    for block in commands(page):
        done = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name_of(block)}: {done.stderr}"


@each_page
def test_links_within_the_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        found = page.parent / target if target else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that the headings of a page get."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in EXIM_PAGES], ids=lambda page: page.name)
def test_every_variable_that_a_page_names_is_a_setting(page):
    known = {setting.name for setting in SETTINGS} | {f"{setting.name}_FILE" for setting in SETTINGS if setting.secret}
    text = page.read_text()
    named = set(re.findall(r"(?<![\w.$])[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text))
    # An operator chooses the name of a variable with the password of a smarthost in a rule.
    chosen = set(re.findall(r'\bpassword_env = "(\w+)"', text))
    assert named - known - OTHER_NAMES - chosen == set()


def texts_of_the_source() -> list[str]:
    """Return all texts in the source, with a line end in place of each formatted value."""
    found = []
    for path in (ROOT / "mta").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\n" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_headings_of_troubleshooting_are_texts_of_the_relay():
    source = texts_of_the_source()
    headings = re.findall(r"^### `([^`]*)`$", TROUBLE.read_text(), re.MULTILINE)
    assert len(headings) > 30
    assert [heading for heading in headings if not is_quoted(heading, source)] == []


def is_quoted(heading: str, source: list[str]) -> bool:
    """Return whether a text of the source contains the heading, or several texts contain its longer pieces."""
    pieces = [piece.strip(" :;") for piece in heading.split("…")]
    whole = re.compile(".*\n.*".join(map(re.escape, pieces)))
    if any(whole.search(text) for text in source):
        return True
    return all(any(piece in text for text in source) for piece in pieces) and all(len(piece) > 15 for piece in pieces)


def test_the_events_of_troubleshooting_are_those_of_the_event_log():
    event_log = (ROOT / "mta" / "event_log" / "log.py").read_text()
    events = set(re.findall(r'(?:_emit(?:_fields|_limited|_error)?\(\s*|_render\(now, )"([a-z-]+)"', event_log))
    rows = re.findall(r"^\| (`.*?) \|", TROUBLE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert named == events


def test_the_fields_of_the_log_are_those_of_the_event_log():
    section = OPERATING.read_text().partition("## The fields of the log\n")[2].partition("\n## ")[0]
    rows = [re.findall(r"`([a-z_-]+)`", line) for line in section.splitlines() if line.startswith("| `")]
    told = {event: set(fields) for event, *fields in rows}
    assert len(told) == len(rows)
    assert told == event_fields()


#: The functions that take all fields of an event as one mapping. The second takes the time before the event.
ONE_MAPPING = {"self._emit_fields", "self._render"}


def event_fields() -> dict[str, set[str]]:
    """Return the events of the event log, each with all of its fields."""
    found: dict[str, set[str]] = {}
    emitting = {"self._emit", "self._emit_limited", "self._emit_error", "self._passes", *ONE_MAPPING}
    limited = {"self._emit_limited", "self._passes"}
    for method in ast.walk(ast.parse((ROOT / "mta" / "event_log" / "log.py").read_text())):
        if not isinstance(method, ast.FunctionDef):
            continue
        keys = {key.value for node in ast.walk(method) if isinstance(node, ast.Dict) for key in node.keys if key}
        keys |= set_alone(method)
        for call in ast.walk(method):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in emitting:
                event = call.args[1 if ast.unparse(call.func) == "self._render" else 0]
                if isinstance(event, ast.Constant):
                    found.setdefault(event.value, set()).update(keys, {word.arg for word in call.keywords if word.arg})
                    # A limited event also has a line that counts the others.
                    found[event.value].update({"more"} if ast.unparse(call.func) in limited else ())
    return found


def set_alone(method: ast.FunctionDef) -> set[str]:
    """Return the fields that a method which makes one event sets one by one."""
    calls = [ast.unparse(node.func) for node in ast.walk(method) if isinstance(node, ast.Call)]
    if sum(call in ONE_MAPPING for call in calls) != 1:
        return set()
    stored = [node for node in ast.walk(method) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)]
    return {node.slice.value for node in stored if isinstance(node.slice, ast.Constant)}
