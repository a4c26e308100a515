"""Notebooks by hand: plain papermill from any folder, two at once, stopped, or asked wrongly."""

from __future__ import annotations

import contextlib
import hashlib
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import pytest
import synthetic_folder
import tiny_notebook
from execute import chosen
from IPython.core.interactiveshell import InteractiveShell
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from anml.results import read_table, write_table

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
pytestmark = pytest.mark.slow

TABLES = {"profile": "quick", "data": "omniglot", "results": "{results}"}
# What keeps a rerun short, and which data, where a notebook does not only read tables.
OWN = {
    "data_drawings": {"data": "glyphs"},
    "fig1_architecture": {"pln_channels": "8", "nm_channels": "4", "outputs": "10"},
    "fig2_procedure": {"profile": "smoke"},
    "fig5_activity": TABLES | {"drawings": "none"},
    "overview": {},
    "quickstart": {
        "data": "{drawings}",
        "meta_iterations": "5",
        "n_classes": "5",
        "trajectories": "1",
    },
    "speed": {},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with a table of every kind."""
    folder = tmp_path_factory.mktemp("results")
    return synthetic_folder.write(folder, TABLES["profile"], TABLES["data"])


def start(source: Path, cwd: Path, out: str = "out.ipynb", **parameters: str) -> subprocess.Popen:
    cwd.mkdir(parents=True, exist_ok=True)
    command = [PAPERMILL, str(source), out, "--no-progress-bar"]
    for name, value in parameters.items():
        command += ["-p", name, value]
    return subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True, cwd=cwd)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """The exit status, and the last line that says something."""
    output, _ = process.communicate(timeout=300)
    lines = output.replace("\r", "\n").strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def source_tree() -> dict[str, str]:
    """What the notebooks could write into by mistake, as hashes."""
    files = [
        path
        for name in ("figures", "results")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    ]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_here(source: Path, parameters: dict[str, str]) -> str:
    """Run a notebook's cells with these parameters in this process; what they printed.

    A kernel for each would spend most of its time on the imports that are made here already.
    """
    notebook = load_notebook_node(str(source))
    injected = parameterize_notebook(notebook, chosen(source, list(parameters.items())))
    names: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), mpl.rc_context():
            for cell in injected.cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, f"{source.name} {cell.id}", "exec"), names)
    finally:
        InteractiveShell.clear_instance()  # `glue` makes one
    return printed.getvalue()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_each_notebook_runs_from_elsewhere_and_writes_only_where_it_is_told(
    source, results, packed_noise, tmp_path, monkeypatch
):
    before = source_tree()
    places = {"results": results, "drawings": packed_noise}
    parameters = OWN.get(source.stem, TABLES)
    filled = {name: value.format(**places) for name, value in parameters.items()}
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run_here(source, filled | {"figures": str(tmp_path / "figures")})
    assert list(here.iterdir()) == []
    written = [path.suffix for path in (tmp_path / "figures").iterdir()]
    assert ".csv" in written
    assert source_tree() == before


@pytest.mark.parametrize(
    ("name", "tables", "said"),
    [
        ("baseline_rates", ("training_rates",), "Nothing was tried for this run."),
        ("figS8_plasticity", ("meta_test", "learning_rates"), "The Oracles were not run"),
    ],
)
def test_a_page_reads_no_more_than_its_own_rerun_computes(name, tables, said, results, tmp_path):
    """Of a profile of which more is recorded."""
    for one in tables:
        table = read_table(results / f"{one}.parquet")
        frame = table.frame
        own = frame[frame["regime"] == "sequential"] if "regime" in frame else frame
        write_table(tmp_path / f"{one}.parquet", own, table.provenance)
    source = ROOT / "notebooks" / f"{name}.ipynb"
    parameters = TABLES | {"results": str(tmp_path)}
    assert said in run_here(source, parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"profil": "smoke"},
            "the notebook has no parameter 'profil'; it has: profile, data, results, optimizer, "
            "seed, figures",
        ),
        (
            {"results": "no/such/folder"},
            "no meta_test table of profile 'quick' and data 'omniglot': nothing in "
            "no/such/folder; make it with `make results PROFILE=quick DATA=omniglot`",
        ),
    ],
)
def test_what_is_wrong_ends_in_one_clear_line(parameters, message, tmp_path):
    source = ROOT / "notebooks" / "fig3_continual_learning.ipynb"
    figures = tmp_path / "figures"
    code, last = finish(start(source, tmp_path, figures=str(figures), **parameters))
    assert code != 0
    assert last == f"error: {message}"
    assert not figures.exists()


def test_two_at_once_do_not_disturb_each_other(results, tmp_path):
    figures = tmp_path / "figures"
    names = ("fig3_continual_learning", "paper_versus_code")
    filled = TABLES | {"results": str(results), "figures": str(figures)}
    running = [
        start(ROOT / "notebooks" / f"{name}.ipynb", tmp_path / name, **filled) for name in names
    ]
    assert [finish(process)[0] for process in running] == [0, 0]
    suffixes = (".csv", ".png", ".svg")
    expected = {f"{name}_quick_omniglot{suffix}" for name in names for suffix in suffixes}
    assert {path.name for path in figures.iterdir()} == expected


def test_an_interrupted_rerun_leaves_the_old_figure(tmp_path):
    figures, sign = tmp_path / "figures", tmp_path / "half"
    cell = f"""
import pandas as pd, time, pathlib
from matplotlib.figure import Figure
from anml.figures.plot_style import save_figure

values = pd.DataFrame({{"x": [n]}})
slow = values.to_csv
def to_csv(*arguments, **options):
    slow(*arguments, **options)
    if n > 2:
        pathlib.Path({str(sign)!r}).touch()
        time.sleep(300)
values.to_csv = to_csv
save_figure(Figure(), {str(figures)!r}, "x", values)
"""
    source = tiny_notebook.write(tmp_path / "x.ipynb", cell)
    assert finish(start(source, tmp_path))[0] == 0
    before = {path.name: path.read_bytes() for path in figures.iterdir()}
    assert set(before) == {"x.svg", "x.png", "x.csv"}
    process = start(source, tmp_path, n="3")
    for _ in range(1200):
        if sign.exists():
            break
        time.sleep(0.1)
    assert len(list(figures.iterdir())) > len(before), "it was stopped too early to tell"
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] != 0
    for _ in range(100):
        if len(list(figures.iterdir())) == len(before):
            break
        time.sleep(0.1)
    assert {path.name: path.read_bytes() for path in figures.iterdir()} == before
