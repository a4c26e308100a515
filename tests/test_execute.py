"""The runner of notebooks: clean copies, the same bytes each time, never half of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import execute
import nbformat
import pytest
import tiny_notebook

from anml.errors import AnmlError

SCRIPT = Path(execute.__file__)
pytestmark = pytest.mark.slow


def start(source: Path, out: Path, *arguments: str, cwd: Path | None = None) -> subprocess.Popen:
    command = [sys.executable, str(SCRIPT), str(source), str(out), *arguments]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=cwd)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


def last_line(errors: str) -> str:
    return errors.replace("\r", "\n").strip().splitlines()[-1]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "executed" / "copy.ipynb"


def test_copies_are_clean_and_the_same_whoever_runs_beside(tmp_path, out):
    source = tiny_notebook.write(
        *(tmp_path / "x.ipynb", "import sys, os, time; time.sleep(1); print(n, rate, name)"),
        'print("a warning", file=sys.stderr)',
        "print(os.path.basename(os.getcwd())); n",
    )
    others = [out.with_name(f"copy{place}.ipynb") for place in range(2)]
    arguments = ("-p", "n", "3", "-p", "rate", "1", "-p", "name", "7")
    running = [start(source, path, *arguments, cwd=Path("/")) for path in others]
    for process in running:
        assert finish(process)[0] == 0
    one, two = others
    assert one.read_bytes() == two.read_bytes()
    # The number that is given as text to a text parameter stays text; a whole rate is a float.
    assert tiny_notebook.outputs(one) == f"3 1.0 7\n{tmp_path.name}\n"
    notebook = nbformat.read(one, as_version=4)
    assert "papermill" not in notebook.metadata
    assert "version" not in notebook.metadata.language_info
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4, 5]
    injected = notebook.cells[1]
    assert injected.id == execute.INJECTED_ID
    assert {"injected-parameters", "remove-cell"} <= set(injected.metadata.tags)
    assert str(tmp_path) not in one.read_text()
    assert {path.name for path in out.parent.iterdir()} == {one.name, two.name}


def test_a_failing_notebook_leaves_the_old_copy_and_says_why(tmp_path, out):
    out.parent.mkdir()
    out.write_text("old")
    source = tiny_notebook.write(
        *(tmp_path / "x.ipynb", "from anml.errors import AnmlError"),
        'raise AnmlError("parameter n=2 is too small; give 3 or more")',
    )
    code, errors = finish(start(source, out))
    assert code == 2
    assert last_line(errors) == "error: parameter n=2 is too small; give 3 or more"
    tiny_notebook.write(source, "1 / 0")
    code, errors = finish(start(source, out))
    assert code == 2
    assert last_line(errors).startswith("error: x.ipynb failed in cell 2: ZeroDivisionError")
    assert out.read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_kernel_that_dies_is_one_line(tmp_path, out):
    source = tiny_notebook.write(tmp_path / "x.ipynb", "import os; os._exit(1)")
    code, errors = finish(start(source, out))
    assert code == 2
    assert "kernel died" in last_line(errors)
    assert not out.exists()


def test_ctrl_c_writes_nothing_and_leaves_no_kernel(tmp_path, out):
    out.parent.mkdir()
    out.write_text("old")
    sign = tmp_path / "kernel.pid"
    source = tiny_notebook.write(
        tmp_path / "x.ipynb",
        f"import os, pathlib, time; pathlib.Path({str(sign)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(300)",
    )
    process = start(source, out)
    for _ in range(600):
        if sign.exists() and sign.read_text():
            break
        time.sleep(0.1)
    kernel = int(sign.read_text())
    process.send_signal(signal.SIGINT)
    code, errors = finish(process)
    assert code == 130, errors
    assert last_line(errors) == "interrupted: nothing was written"
    assert out.read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    for _ in range(100):
        try:
            os.kill(kernel, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the kernel is still running")


def test_unknown_parameters_are_refused_with_the_known_ones(tmp_path, out):
    source = tiny_notebook.write(tmp_path / "x.ipynb")
    with pytest.raises(AnmlError, match="no parameter 'colour'; it has: n, rate, name"):
        execute.run(source, out, [("colour", "red")])


@pytest.mark.parametrize("content", [None, "", "{}", "no json"])
def test_what_is_no_notebook_is_refused(tmp_path, out, content):
    source = tmp_path / "x.ipynb"
    if content is not None:
        source.write_text(content)
    with pytest.raises(AnmlError, match=r"x\.ipynb"):
        execute.run(source, out, [])


def test_the_source_is_never_overwritten(tmp_path):
    source = tiny_notebook.write(tmp_path / "x.ipynb")
    before = source.read_bytes()
    with pytest.raises(AnmlError, match="is the source itself"):
        execute.run(source, source, [])
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [
        ("3", "2", 3),
        ("3", "0.5", 3.0),
        ("3", '"a"', "3"),
        ("x", "2", "x"),
        ("1.5", "2", 1.5),
        ("", '"a"', ""),
        ("False", "True", False),
    ],
)
def test_values_get_the_type_of_the_default(text, default, value):
    result = execute.typed(text, default)
    assert result == value
    assert type(result) is type(value)


def test_a_copy_under_another_name_gets_its_own_figure_label():
    cell = nbformat.v4.new_code_cell("1", metadata={"mystnb": {"figure": {"name": "fig-x-left"}}})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    execute.clean(notebook, "fig_x", "my_run")
    assert cell.metadata.mystnb.figure.name == "my-run-left"


def test_a_copy_under_another_name_offers_no_files_of_the_first():
    text = "{download}`as SVG <../../figures/x.svg>`,\n{download}`this <../../notebooks/x.ipynb>`."
    for name, kept in (("x", text), ("x_quick", "{download}`this <../../notebooks/x.ipynb>`.")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        assert execute.clean(notebook, "x", name).cells[0].source == kept


def test_a_copy_bears_the_title_that_the_contents_give_it():
    text = "# Figure 3: learning classes one after another\n\n# no title"
    for name, first in (
        ("fig3_your_run", "# Figure 3, your own run"),
        ("fig3_continual_learning_paper", "# Figure 3, at paper in part"),
        ("elsewhere", text.splitlines()[0]),
    ):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        copy = execute.clean(notebook, "fig3_continual_learning", name).cells[0].source
        assert copy.splitlines() == [first, "", "# no title"]


def test_a_copy_links_to_the_copies_for_its_own_profile():
    text = "[a](claims_ledger.ipynb#x), [](lengths.ipynb) and [c](../method.md)."
    both = "[a](claims_ledger.ipynb), [at full width](claims_ledger_paper.ipynb)."
    for name, ledger in (
        ("fig4_oracles", "claims_ledger"),
        ("fig4_oracles_paper", "claims_ledger_paper"),  # of lengths there is no such copy
        ("fig4_oracles_nowhere", "claims_ledger"),
        ("elsewhere", "claims_ledger"),
    ):
        cells = [nbformat.v4.new_markdown_cell(each) for each in (text, both)]
        notebook = execute.clean(nbformat.v4.new_notebook(cells=cells), "fig4_oracles", name)
        one, two = (cell.source for cell in notebook.cells)
        assert one == text.replace("claims_ledger", ledger)
        assert two == both


@pytest.mark.parametrize("source", sorted((SCRIPT.parents[1] / "notebooks").glob("*.ipynb")))
def test_sources_hold_no_outputs(source):
    for cell in nbformat.read(source, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_what_is_printed_in_pieces_is_one_piece_and_stderr_is_left_out():
    def stream(name: str, text: str) -> nbformat.NotebookNode:
        return nbformat.v4.new_output("stream", name=name, text=text)

    picture = nbformat.v4.new_output("display_data", data={"text/plain": "x"})
    outputs = [stream("stdout", "a"), stream("stderr", "!"), stream("stdout", "b"), picture]
    found = execute.joined([*outputs, stream("stdout", "c")])
    assert [output.get("text") for output in found] == ["ab", None, "c"]
    assert found[1] is picture
