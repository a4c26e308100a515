"""What a fresh machine installs: the pinned versions agree, and the commands are all there."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
# Only a CUDA build of torch needs these; torch names their versions itself.
ONLY_WITH_CUDA = ("cuda-", "nvidia-", "triton")


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    pairs = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): pinned for name, pinned in pairs}


def direct_requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["book"], *extras["test"]]
    return {canonicalize_name(Requirement(text).name): Requirement(text) for text in texts}


def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def conda_pip_lines() -> list[str]:
    return next(item["pip"] for item in environment()["dependencies"] if isinstance(item, dict))


def test_constraints_are_plain_pins_that_any_index_can_serve():
    pin = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*")  # no '+cpu', no URL, no option
    bad = [line for line in constraint_lines() if not pin.fullmatch(line)]
    assert bad == []
    assert len(pins()) == len(constraint_lines()), "a package is pinned twice"


@pytest.mark.parametrize("name", sorted(direct_requirements()))
def test_each_requirement_allows_the_version_that_is_pinned(name):
    requirement = direct_requirements()[name]
    assert requirement.specifier, f"{name} has no bound in pyproject.toml"
    assert pins()[name] in requirement.specifier


def test_conda_gets_the_same_versions():
    lines = conda_pip_lines()
    named = {line.split("==")[0]: line.split("==")[1] for line in lines if "==" in line}
    expected = {name: pins()[name] for name in direct_requirements()}
    assert {canonicalize_name(name): pinned for name, pinned in named.items()} == expected
    assert "--constraint constraints.txt" in lines
    assert "--editable .[book,test]" in lines


def test_conda_and_pyproject_ask_for_the_same_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.12"
    assert "python=3.11" in environment()["dependencies"]


def needed_by(name: str, extras: tuple[str, ...]) -> list[Requirement]:
    """What `name` with `extras` needs on this machine."""
    found = map(Requirement, requires(name) or [])
    return [
        need
        for need in found
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *extras))
    ]


def test_everything_that_is_installed_is_pinned_and_is_what_the_pin_says():
    unpinned, different, seen = set(), set(), set()
    queue = [("anml", ("book", "test"))]
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen or name.startswith(ONLY_WITH_CUDA):
            continue
        seen.add((name, extras))
        for need in needed_by(name, extras):
            child = canonicalize_name(need.name)
            if child.startswith(ONLY_WITH_CUDA):
                continue
            queue.append((child, tuple(sorted(need.extras))))
            try:
                installed = Version(version(child)).public
            except PackageNotFoundError:
                installed = "nothing"
            if child not in pins():
                unpinned.add(child)
            elif installed != Version(pins()[child]).public:
                different.add(f"{child}: {installed} installed, {pins()[child]} pinned")
    assert len(seen) > 100, "the walk over the dependencies ended early"
    assert unpinned == set()
    assert different == set()


def test_no_setting_names_an_index_host():
    names = ["Makefile", "constraints.txt", "environment.yml", "pyproject.toml", ".ci/run"]
    for name in names:
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|pypi\.|https?://(?!arxiv)", text), name


def test_ci_is_one_script_that_the_workflow_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "not executable"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert text.index("make test") < text.index("make book") < text.index("make test-site")

    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    kept = [step.get("with", {}).get("path") for step in steps]
    assert "build/screenshots" in kept
    assert "_build/html" in kept
    assert workflow["jobs"]["publish"]["needs"] == "build"


def test_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["preferred-citation"]["title"] == "Learning to Continually Learn"
