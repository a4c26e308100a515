"""The make targets: what they say, what they refuse, and when they install."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from notebook_table import read_rows, row_named

ROOT = Path(__file__).resolve().parents[1]
# Steps of other targets, not for the user.
INTERNAL = {"python", "check", "check-notebook"}


def make(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run make as a user in `cwd` would, with nothing inherited from a make around the tests."""
    ours = {"PROFILE", "DATA", "NOTEBOOK", "OUT", "STAND", "VENV", "PYTHON", "ANML_DATA"}
    clean = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("MAKE")}
    clean.pop("MFLAGS", None)
    return subprocess.run(
        ["make", *words],
        cwd=cwd,
        env={**clean, "PWD": str(cwd), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """The lines that tell the user something; make adds one of its own about the target."""
    return [line for line in done.stderr.splitlines() if not line.startswith("make")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A fresh clone, as far as make reads it: no environment, nothing built."""
    tree = tmp_path / "a clone"
    tree.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tree)
    for name in ("workflow", "anml"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


PRETENDER = """#!/bin/sh
# Stands in for python: makes an "environment" that holds this script, and logs what pip is asked.
case "$*" in
  *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip"*) echo "$*" >> "$PIP_LOG"; exit "${{PIP_STATUS:-0}}" ;;
  *"import pip"*) exit 0 ;;
  *) exec "{python}" "$@" ;;
esac
"""


@pytest.fixture
def pretender(tmp_path: Path) -> dict[str, str]:
    """Variables for make that stand an offline stub in for python and pip."""
    script = tmp_path / "python-stub"
    script.write_text(PRETENDER.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"PYTHON": str(script), "PIP_LOG": str(tmp_path / "pip.log")}


def installs(pretender: dict[str, str]) -> int:
    log = Path(pretender["PIP_LOG"])
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_help_is_the_default_and_lists_every_target_and_variable():
    shown = make().stdout
    assert shown == make("help").stdout
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()) - INTERNAL
    listed = set(re.findall(r"^  ([a-z-]+)  +\S", shown, re.M))
    assert listed == targets
    variables = set(re.findall(r"^([A-Z]+) \?=", text, re.M))
    assert variables == set(re.findall(r"^  ([A-Z]+)=", shown, re.M))
    named = shown.split("Notebooks:\n")[1].split()
    rerun = {row_named(row.output, read_rows()).source for row in read_rows()}
    assert {row.source for row in read_rows() if row.output in named} == rerun


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("book", ["preflight.py", "snakemake", "--resources", " site ", "--forcerun pages"]),
        ("site", ["jupyter-book"]),
        ("results", ["preflight.py", "snakemake", "--resources", " results "]),
        ("rerun", ["preflight.py", "build_notebooks.py", "--rerun"]),
        ("test", ["ruff check", "ruff format", "not slow", "-m slow", "--nbval", "-q tests/site"]),
    ],
)
def test_targets_take_their_steps_in_order(target, steps):
    planned = make("-n", target)
    assert planned.returncode == 0, planned.stderr
    places = [planned.stdout.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("target", ["book", "results"])
def test_the_workflow_is_bounded_by_the_machines_memory(target):
    planned = make("-n", target, f"VENV={Path(sys.executable).parents[1]}").stdout
    given, asked = re.search(r'--resources (.*?) mem_mb="\$\((.*?)\)" --', planned).groups()
    found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True).stdout
    assert int(found) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000
    # On a command line they stand in place of the profile's own.
    config = ROOT / "workflow" / "profiles" / "default" / "config.yaml"
    assert given.split() == yaml.safe_load(config.read_text())["resources"]


def test_unknown_profile_is_one_line_before_anything_is_installed(tree):
    done = make("book", "PROFILE=qick", cwd=tree)
    assert done.returncode != 0
    (line,) = errors(done)
    assert line.startswith("error: unknown PROFILE 'qick' (did you mean quick?)")
    for name in ("smoke", "quick", "laptop", "paper"):
        assert name in line
    assert not (tree / ".venv").exists()


@pytest.mark.parametrize("target", ["book", "results", "rerun"])
def test_missing_data_file_is_one_line_before_anything_is_installed(tree, target):
    done = make(target, "NOTEBOOK=quickstart", cwd=tree, DATA="no/such file.npz")
    assert done.returncode != 0
    (line,) = errors(done)
    assert line.startswith(f"error: no data file at {tree}/no/such file.npz")
    assert not (tree / ".venv").exists()


def test_data_file_named_by_the_environment_is_checked_too(tree):
    (line,) = errors(make("book", cwd=tree, ANML_DATA="gone.npz"))
    assert line.startswith("error: the environment variable ANML_DATA names no file: gone.npz")


def test_unknown_notebook_is_one_line_with_the_names(tree):
    (line,) = errors(make("rerun", "NOTEBOOK=fig33", cwd=tree))
    assert line.startswith("error: unknown NOTEBOOK 'fig33'")
    assert "fig3_continual_learning" in line


def test_missing_python_is_one_line(tree):
    (line,) = errors(make("setup", "PYTHON=", cwd=tree))
    assert line.startswith("error: Python 3.11 is needed")
    assert not (tree / ".venv").exists()


def test_setup_installs_once_and_again_only_when_the_versions_change(tree, pretender):
    assert make("setup", cwd=tree, **pretender).returncode == 0
    assert make("setup", cwd=tree, **pretender).returncode == 0
    assert installs(pretender) == 1
    text = Path(pretender["PIP_LOG"]).read_text()
    assert "install -c constraints.txt -e .[book,test]" in text

    stamp = next((tree / ".venv").glob(".anml-installed-*"))
    later = stamp.stat().st_mtime + 10
    os.utime(tree / "constraints.txt", (later, later))
    make("setup", cwd=tree, **pretender)
    assert installs(pretender) == 2


def test_half_finished_installation_is_repeated(tree, pretender):
    failed = make("setup", cwd=tree, PIP_STATUS="1", **pretender)
    assert failed.returncode != 0
    assert errors(failed)[-1].startswith("error: the installation did not finish")
    assert make("setup", cwd=tree, **pretender).returncode == 0
    assert installs(pretender) == 2


def test_copied_tree_makes_its_own_environment(tree, pretender):
    make("setup", cwd=tree, **pretender)
    (tree / ".venv" / "old").touch()
    copy = shutil.copytree(tree, tree.parent / "copy")
    assert make("setup", cwd=copy, **pretender).returncode == 0
    assert installs(pretender) == 2
    assert not (copy / ".venv" / "old").exists()
    assert (tree / ".venv" / "old").exists()
