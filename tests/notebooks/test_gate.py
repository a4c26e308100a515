"""The gate in front of the committed notebooks: what is broken or stripped does not pass it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import execute
import nbformat
import pytest
import tiny_notebook

from anml.errors import AnmlError

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = sorted((ROOT / "book" / "notebooks").glob("*.ipynb"))
SANITISE = Path(__file__).with_name("sanitise.cfg")


def unexecuted(path: Path) -> list[str]:
    """Return the cells without an execution count: nbval passes them without comparing."""
    cells = nbformat.read(path, as_version=4).cells
    return [
        cell.id
        for cell in cells
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None
    ]


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env"]
    options = ["--nbval-sanitize-with", str(SANITISE), "-p", "no:cacheprovider", "--rootdir"]
    return subprocess.run(
        [*command, *options, str(path.parent), str(path)],
        capture_output=True,
        text=True,
        cwd=path.parent,
    )


@pytest.fixture
def executed(tmp_path):
    source = tiny_notebook.write(tmp_path / "x.ipynb", "print('mean', 40 + n)")
    out = tmp_path / "out" / "x.ipynb"
    execute.run(source, out, [])
    return out


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.slow
def test_an_honest_copy_passes_and_a_changed_number_does_not(executed):
    assert unexecuted(executed) == []
    assert nbval(executed).returncode == 0
    result = nbval(edited(executed, '"mean 42\\n"', '"mean 43\\n"'))
    assert result.returncode == 1
    assert "mean 43" in result.stdout


@pytest.mark.slow
def test_a_cell_that_raises_fails_the_comparison_and_the_execution(executed, tmp_path):
    edited(executed, "print('mean', 40 + n)", "print('mean', 1 / 0)")
    assert nbval(executed).returncode == 1
    with pytest.raises(AnmlError, match="ZeroDivisionError"):
        execute.run(executed, tmp_path / "out" / "y.ipynb", [])
    assert not (tmp_path / "out" / "y.ipynb").exists()


@pytest.mark.slow
def test_a_stripped_copy_is_seen_although_nbval_passes_it(executed):
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, executed)
    assert nbval(executed).returncode == 0
    assert len(unexecuted(executed)) == 2


def strip(cell: nbformat.NotebookNode) -> None:
    """Make a cell one that was never executed."""
    cell.update(outputs=[], execution_count=None)


def fail(cell: nbformat.NotebookNode) -> None:
    """Make a cell one that raised."""
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["no"])
    cell.outputs.append(error)


# What is done to every code cell, whether another page cites a value of the notebook, and what the
# build says then; None: the book is built.
BUILDS = {
    "honest": (lambda cell: None, True, None),
    "stripped": (strip, False, "was not executed"),
    "failed": (fail, False, "failed"),
    "value gone": (lambda cell: cell.update(outputs=[]), True, "mean"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BUILDS)
def test_the_book_is_not_built_from_a_broken_notebook(tmp_path, case):
    breaking, cited, said = BUILDS[case]
    cell = "from myst_nb import glue\nglue('mean', 40.0 + n, display=False)"
    source = tiny_notebook.write(tmp_path / "source.ipynb", cell)
    book = tmp_path / "book"
    execute.run(source, book / "page.ipynb", [])
    notebook = nbformat.read(book / "page.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Page", id="title"))
    for each in notebook.cells:
        if each.cell_type == "code":
            breaking(each)
    nbformat.write(notebook, book / "page.ipynb")
    citation = "{glue:text}`page.ipynb::mean:.1f`" if cited else "Nothing."
    (book / "index.md").write_text(f"# Index\n\n{citation}\n")
    (book / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: page\n")
    (book / "_config.yml").write_text(
        'title: T\nexecute:\n  execute_notebooks: "off"\n'
        f"sphinx:\n  local_extensions:\n    executed: {ROOT / 'book' / '_ext'}\n"
    )
    # The jupyter-book of this very environment, however the tests were started.
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "-W", "-n"]
    result = subprocess.run(command, cwd=book, capture_output=True, text=True)
    output = result.stdout + result.stderr
    assert (result.returncode != 0) is (said is not None), output
    if said is None:
        assert "42.0" in (book / "_build" / "html" / "index.html").read_text()
    else:
        assert said in output


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_committed_copies_are_executed_and_clean(path):
    assert unexecuted(path) == []
    notebook = nbformat.read(path, as_version=4)
    assert "papermill" not in notebook.metadata
    kinds = [output.output_type for cell in notebook.cells for output in cell.get("outputs", [])]
    assert kinds
    assert "error" not in kinds


def test_every_source_has_a_committed_copy():
    sources = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert sources
    assert sources <= {path.stem for path in EXECUTED}, "run `make book`"
