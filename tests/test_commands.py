"""The commands that the pages show to rerun them: they name what is there, and they run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import synthetic_folder
from execute import parameters_of
from notebook_table import read_rows

from anml.data import load

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "book" / "commands").glob("*.sh"))
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def commands(file: Path) -> tuple[list[str], list[str]]:
    """The two commands of a file, word by word: make, and papermill."""
    make, papermill = file.read_text().replace("\\\n", " ").splitlines()
    return shlex.split(make), shlex.split(papermill)


def given(file: Path) -> tuple[str, ...]:
    """The parameters that papermill's command gives."""
    return tuple(name for flag, name in pairwise(commands(file)[1]) if flag == "-p")


def test_every_notebook_has_its_commands():
    assert [file.stem for file in FILES] == sorted(
        path.stem for path in (ROOT / "notebooks").glob("*.ipynb")
    )


@each
def test_the_commands_name_the_notebook_and_parameters_that_it_has(file):
    make, papermill = commands(file)
    assert make[:3] == ["make", "rerun", f"NOTEBOOK={file.stem}"]
    assert make[3:] in ([], ["PROFILE=smoke", "DATA=glyphs"])
    assert file.stem in {row.output for row in read_rows()}
    assert papermill[:2] == ["papermill", f"notebooks/{file.stem}.ipynb"]
    assert given(file)
    assert set(given(file)) <= set(parameters_of(ROOT / papermill[1]))


@each
def test_the_page_shows_its_commands_and_offers_what_they_make(file):
    cells = nbformat.read(ROOT / "notebooks" / f"{file.stem}.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert f"{{literalinclude}} ../commands/{file.name}" in text
    for part in ("What you will see", "How long a rerun takes"):
        assert f"**{part}.**" in text
    for part in ("What to make of it", "How to rerun it", "Downloads"):
        assert f"## {part}\n" in text
    assert f"../../notebooks/{file.stem}.ipynb" in text or "top of the page" in text
    assert ".csv>`" in text


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Made-up results of the profile and the drawings that the commands name."""
    folder = tmp_path_factory.mktemp("results")
    return synthetic_folder.write(folder, "smoke", "glyphs", load("glyphs").fingerprint)


# Each command names what there is, as the tests above see; commands that give the same parameters
# run alike, and the tests of papermill run every notebook.
UNLIKE = {given(file): file for file in reversed(FILES)}


@pytest.mark.slow
@pytest.mark.parametrize("file", UNLIKE.values(), ids=lambda file: file.stem)
def test_papermills_command_runs_as_it_is_shown(file, results, tmp_path):
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (tmp_path / "build").mkdir()
    script = file.read_text().partition("\n")[2].rstrip()
    parameters = parameters_of(ROOT / "notebooks" / f"{file.stem}.ipynb")
    if {"data", "results"} <= set(parameters):
        script += f" -p results {results}"
    if "meta_iterations" in parameters:  # what is shown takes a minute
        script += " -p meta_iterations 5 -p n_classes 5 -p trajectories 1"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build" / f"{file.stem}.ipynb").is_file()
