"""The files for GitHub: valid by their schemas, without known weaknesses, and true to the Makefile and setup.cfg."""

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "workflows").glob("*.yml"))}
JOBS = [(f"{file}:{name}", job) for file, flow in WORKFLOWS.items() for name, job in flow["jobs"].items()]

each_job = pytest.mark.parametrize("job", [job for _, job in JOBS], ids=[name for name, _ in JOBS])


def scripts(job: dict[str, Any]) -> Iterator[str]:
    return (step["run"] for step in job.get("steps", ()) if "run" in step)


@pytest.mark.parametrize(
    ("schema", "files"), [("github-workflows", "workflows/*.yml"), ("dependabot", "dependabot.yml")]
)
def test_the_files_are_valid_by_their_schemas(schema: str, files: str) -> None:
    pytest.importorskip("check_jsonschema", reason="needs: pip install -e '.[release]'")
    paths = [str(path) for path in sorted(FOLDER.glob(files))]
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_weakness_is_known() -> None:
    # It finds actions that are not pinned, texts of strangers in scripts, permissions that are too wide, ...
    program = Path(sys.executable).with_name("zizmor")
    if not program.exists():
        pytest.skip("needs: pip install -e '.[release]'")
    command = [str(program), "--offline", "--quiet", "--no-progress", "--min-severity", "medium", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_job
def test_each_script_is_well_formed_and_its_make_targets_exist(job: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for script in scripts(job):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert set(re.findall(r"\bmake ([a-z-]+)", script)) <= targets
        for path in re.findall(r"(?:^|\s)(\.ci/\S+)", script):
            assert (ROOT / path).stat().st_mode & 0o111
        for path in re.findall(r"\bhelm (?:lint|package) (?:--strict )?(\S+)", script):
            assert (ROOT / path / "Chart.yaml").is_file()
        for module in re.findall(r"python3 -m (tools\.\w+)", script):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_the_versions_of_python_are_those_that_the_package_names() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = re.findall(r"Python :: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert WORKFLOWS["check.yml"]["jobs"]["python"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("flow", WORKFLOWS.values(), ids=list(WORKFLOWS))
def test_jobs_wait_for_jobs_that_exist(flow: dict[str, Any]) -> None:
    for job in flow["jobs"].values():
        assert set(job.get("needs", ())) <= flow["jobs"].keys()


def publishes(job: dict[str, Any]) -> bool:
    """Whether a job changes anything outside: a maintainer confirms it, or it may write to the repository's pages."""
    permissions = job.get("permissions", {})
    return "environment" in job or "write" in {permissions.get("contents"), permissions.get("packages")}


def before(name: str, jobs: dict[str, Any]) -> set[str]:
    """Return the jobs that must have succeeded before a job begins."""
    needed = set(jobs[name].get("needs", ()))
    return needed.union(*(before(one, jobs) for one in needed))


def making(jobs: dict[str, Any]) -> set[str]:
    """Return the jobs that make files of the release."""
    return {
        name
        for name, job in jobs.items()
        if any("upload-artifact" in step.get("uses", "") for step in job.get("steps", ()))
    }


def test_nothing_is_published_before_all_checks_have_passed_and_all_files_are_made() -> None:
    jobs = WORKFLOWS["release.yml"]["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"
    publishing = [name for name, job in jobs.items() if publishes(job)]
    assert len(publishing) >= 2
    assert {"python", "chart", "debian"} <= making(jobs)
    for name in publishing:
        assert before(name, jobs) >= {"check", *making(jobs)}


def test_the_page_of_a_release_comes_last() -> None:
    jobs = WORKFLOWS["release.yml"]["jobs"]
    assert before("page", jobs) == set(jobs) - {"page"}


def test_jobs_that_run_the_projects_scripts_cannot_sign_files() -> None:
    for name, job in WORKFLOWS["release.yml"]["jobs"].items():
        # The registry signs the image that it has built.
        if name != "registry" and list(scripts(job)):
            assert "id-token" not in job.get("permissions", {}), name


def test_the_image_leaves_no_file_that_the_page_of_the_release_cannot_unpack() -> None:
    (baking,) = (
        step
        for step in WORKFLOWS["release.yml"]["jobs"]["registry"]["steps"]
        if step.get("uses", "").startswith("docker/bake-action@")
    )
    assert baking["env"]["DOCKER_BUILD_RECORD_UPLOAD"] == "false"


def test_the_image_is_built_by_a_target_of_the_bake_file() -> None:
    (baking,) = (
        step["with"]
        for step in WORKFLOWS["release.yml"]["jobs"]["registry"]["steps"]
        if step.get("uses", "").startswith("docker/bake-action@")
    )
    named = re.findall(r'^target "(\w+)"', (ROOT / baking["files"]).read_text(), re.MULTILINE)
    assert baking["targets"] in named
    assert baking["set"].startswith(f"{baking['targets']}.output=")


@pytest.mark.parametrize(("tag", "named"), [("v1.2.0", "1.2.0 1.2 latest"), ("v1.1.1", "1.1.1 1.1")])
def test_a_patch_of_an_older_version_leaves_the_latest_image_alone(tag: str, named: str, tmp_path: Path) -> None:
    steps = WORKFLOWS["release.yml"]["jobs"]["registry"]["steps"]
    checkout = next(step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    # All tags, which the script compares.
    assert checkout["with"]["fetch-depth"] == 0
    script = next(step["run"] for step in steps if step.get("id") == "names")
    output = tmp_path / "output"
    environment = {
        "REGISTRY": "registry.test",
        "GITHUB_REPOSITORY": "Team/Relay",
        "GITHUB_REF_NAME": tag,
        "GITHUB_OUTPUT": str(output),
        "HOME": str(tmp_path),
        **{f"GIT_{who}_{what}": "relay" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    commit = "git init --quiet && git commit --quiet --allow-empty --message first"
    tags = "git tag v0.9.0 && git tag v1.1.0 && git tag v1.1.1 && git tag v1.2.0"
    command = ["bash", "-e", "-c", f"{commit} && {tags}\n{script}"]
    subprocess.run(command, cwd=tmp_path, env=environment | {"PATH": os.environ["PATH"]}, check=True)
    image = "registry.test/team/relay"
    assert f"images={','.join(f'{image}:{name}' for name in named.split())}" in output.read_text().splitlines()


def test_the_folders_whose_packages_are_renewed_exist() -> None:
    updates = yaml.safe_load((FOLDER / "dependabot.yml").read_text())["updates"]
    assert all((ROOT / update["directory"].lstrip("/")).is_dir() for update in updates)
