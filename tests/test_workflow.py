"""The table of notebooks, and the script that runs the ones whose inputs changed."""

import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import build_notebooks
import nbformat
import preflight
import pytest
import synthetic_results
from notebook_table import Row, read_rows, row_named
from refusal import refusal

from anml.errors import AnmlError
from anml.figures.plot_drawings import COMPARISON
from anml.findings.ledger import ledger
from anml.pages.scoreboard import FIGURES
from anml.profiles import PROFILES
from anml.running.evaluations import EvaluateJob, keeps_classes
from anml.running.plan import plan

ROOT = Path(__file__).resolve().parents[1]
ROWS = read_rows()
PLACES = {
    "profile": "smoke",
    "source": "glyphs",
    "results": "runs/smoke-glyphs/results",
    "figures": "figures",
    "own_figures": "runs/smoke-glyphs/figures",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.output)
def test_each_row_names_a_notebook_that_takes_its_parameters(row):
    notebook = nbformat.read(ROOT / "notebooks" / f"{row.source}.ipynb", as_version=4)
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    offered = {line.split("=")[0].split(":")[0].strip() for line in tagged[0].source.splitlines()}
    assert {*row.parameters, *row_named(row.output, ROWS).parameters} <= offered


def test_each_page_from_a_notebook_is_in_the_book():
    named = re.findall(r"file: *(\S+)", (ROOT / "_toc.yml").read_text())
    assert {f"book/notebooks/{row.output}" for row in ROWS} - set(named) == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.output)
def test_rows_fill_in_and_hold_no_path_of_one_machine(row):
    filled = [row.filled(**PLACES), row_named(row.output, ROWS).filled(**PLACES)]
    for value in (value for one in filled for value in one.parameters.values()):
        assert "{" not in str(value)
        assert not str(value).startswith(("/", "~"))


def test_a_rerun_of_recorded_results_is_at_the_readers_own_scale():
    assert row_named("fig3_continual_learning", ROWS).output == "fig3_your_run"
    assert row_named("quickstart", ROWS).output == "quickstart"
    own = row_named("fig4_oracles", ROWS)
    assert own.simulates
    assert own.filled(**PLACES).parameters["results"] == PLACES["results"]
    assert own.filled(**PLACES).inputs == (PLACES["results"], "results")
    assert row_named("fig4_oracles_quick", ROWS) == own


def test_each_recorded_profile_of_a_row_has_a_page():
    pages = {row.recorded: row for row in ROWS if row.source == "fig4_oracles"}
    assert list(pages) == ["laptop", "quick", "paper"]
    assert [row.in_part for row in pages.values()] == [False, False, True]
    assert pages["laptop"].output == "fig4_oracles"
    assert pages["quick"].output == "fig4_oracles_quick"
    filled = [row.filled(**PLACES).parameters for row in pages.values()]
    assert [one["figures"] for one in filled] == ["figures", "", ""]
    assert [one["results"] for one in filled] == [f"results/{profile}" for profile in pages]


FIGURES_OF = {"fig3_your_run": "fig3"} | {
    row: row.partition("_")[0]
    for row in ("fig4_oracles", "figS7_epochs", "figS8_plasticity", "figS9_order")
}


@pytest.mark.parametrize(("output", "figure"), FIGURES_OF.items())
def test_a_rerun_computes_all_that_the_ledger_asks_of_its_figure(output, figure):
    """Each number, claim and direction is judged as by a table of everything."""
    jobs = plan(PROFILES["smoke"], row_named(output, ROWS).only)
    points = {job.point for job in jobs if isinstance(job, EvaluateJob)}
    tables = synthetic_results.everything()
    frame, made = tables["meta_test"].frame, {(p.treatment, p.regime) for p in points}
    held = [pair in made for pair in zip(frame["treatment"], frame["regime"], strict=True)]
    own = tables | {"meta_test": replace(tables["meta_test"], frame=frame[held])}
    by_class = {p.treatment for p in points if keeps_classes(PROFILES["smoke"], p)}
    classes = tables["class_accuracy"].frame
    classes = classes[classes["treatment"].isin(by_class)]
    own["class_accuracy"] = replace(tables["class_accuracy"], frame=classes)
    wanted = FIGURES[figure]
    assert ledger(own, only=wanted) == ledger(tables, only=wanted)


def test_a_page_is_made_again_when_the_measurements_that_it_reads_change():
    (row,) = (row for row in ROWS if row.output == "data_drawings")
    assert COMPARISON.as_posix() in row.inputs


def test_preflight_speaks_before_anything_is_installed():
    command = [sys.executable, "-I", "-S", str(ROOT / "workflow" / "preflight.py")]
    done = subprocess.run([*command, "--profile", "smoke", "--data", "glyphs"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"glyphs\n"), done.stderr.decode()


def test_python_other_than_the_pinned_one_is_refused():
    preflight.check_python((3, 11))
    with pytest.raises(AnmlError, match=r"Python 3\.11 is needed, this is 3\.12"):
        preflight.check_python((3, 12))


def test_data_paths_start_where_the_user_stands(tmp_path):
    packed = tmp_path / "my data" / "omniglot.npz"
    packed.parent.mkdir()
    packed.touch()
    assert preflight.resolve_data("my data/omniglot.npz", str(tmp_path), None) == str(packed)
    assert preflight.resolve_data("auto", str(tmp_path), "my data/omniglot.npz") == str(packed)
    assert preflight.resolve_data("auto", str(tmp_path), None) == "auto"
    # By its name, the file is asked to be Omniglot; from another folder a relative path is not it.
    assert preflight.resolve_data("omniglot", str(tmp_path), str(packed)) == "omniglot"
    relative = preflight.resolve_data("omniglot", str(tmp_path), "my data/omniglot.npz")
    assert relative == str(packed)
    # The embedded drawings need no file, so a stale setting does not stand in their way.
    assert preflight.resolve_data("glyphs", str(tmp_path), "gone.npz") == "glyphs"
    with pytest.raises(AnmlError, match="no data file at"):
        preflight.resolve_data("my data", str(tmp_path), None)


COPYING = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2]); print('ran', *sys.argv[3:])"


MEETING = """
import sys, time
from pathlib import Path
own, other = Path(sys.argv[2]), Path(sys.argv[2]).with_stem(sys.argv[-1])
own.touch()
end = time.monotonic() + 60
while not other.exists() and time.monotonic() < end:
    time.sleep(0.01)
sys.exit(not other.exists())
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of one notebook, whose execution is a copy."""
    for folder in ("notebooks", "workflow", "anml", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notebooks" / "fig.ipynb").write_text("{}")
    (tmp_path / "workflow" / "execute.py").write_text(COPYING)
    (tmp_path / "anml" / "models.py").write_text("")
    (tmp_path / "results" / "table.parquet").write_text("1")
    (tmp_path / "constraints.txt").write_text("")
    monkeypatch.setattr(build_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(build_notebooks, "STAMPS", tmp_path / "build" / "stamps")
    return tmp_path


ROW = Row("page", "fig", {"profile": "smoke"}, inputs=("results",))


def runs(capfd, row: Row = ROW, fingerprint: str = "0") -> bool:
    """Build the row's page; whether its notebook was run."""
    build_notebooks.build([row], fingerprint)
    return "ran" in capfd.readouterr().out


def test_page_is_made_once_while_nothing_changes(project, capfd):
    assert runs(capfd)
    assert (project / "book" / "notebooks" / "page.ipynb").is_file()
    assert not runs(capfd)


@pytest.mark.parametrize(
    "changed",
    [
        "notebooks/fig.ipynb",
        "workflow/execute.py",
        "anml/models.py",
        "results/table.parquet",
        "results/new.parquet",
        "results/quick/table.parquet",
        "constraints.txt",
        "book/notebooks/page.ipynb",
    ],
)
def test_page_is_made_again_when_an_input_or_the_page_changed(project, capfd, changed):
    runs(capfd)
    (project / changed).parent.mkdir(exist_ok=True)
    with (project / changed).open("a") as file:
        file.write("\n")
    assert runs(capfd)
    assert not runs(capfd)


def test_page_is_made_again_when_an_input_changed_while_it_was_made(project, capfd):
    edits = COPYING + "; open('anml/models.py', 'w').write('edited')"
    (project / "workflow" / "execute.py").write_text(edits)
    assert runs(capfd)
    assert runs(capfd)
    assert not runs(capfd)


def test_page_is_made_again_when_an_input_moved(project, capfd):
    runs(capfd)
    (project / "results" / "quick").mkdir()
    (project / "results" / "table.parquet").rename(project / "results/quick/table.parquet")
    assert runs(capfd)


def test_page_is_made_again_for_other_data_or_parameters(project, capfd):
    runs(capfd)
    assert runs(capfd, fingerprint="1")
    assert runs(capfd, row=Row("page", "fig", {"profile": "quick"}, inputs=("results",)))


def test_failing_notebook_stops_and_is_not_taken_for_made(project, capfd):
    (project / "workflow" / "execute.py").write_text("raise SystemExit(3)")
    with pytest.raises(SystemExit) as stopped:
        runs(capfd)
    assert stopped.value.code == 3
    (project / "workflow" / "execute.py").write_text(COPYING)
    assert runs(capfd)


def test_once_a_notebook_failed_no_other_is_begun(project, capfd, monkeypatch):
    monkeypatch.setattr(build_notebooks, "AT_ONCE", 1)
    (project / "workflow" / "execute.py").write_text("print('ran'); raise SystemExit(3)")
    rows = [Row(f"page{number}", "fig", {}) for number in range(3)]
    with pytest.raises(SystemExit):
        build_notebooks.build(rows, "0")
    assert capfd.readouterr().out.count("ran") == 1


def test_notebooks_run_side_by_side(project, capfd, monkeypatch):
    """Each waits until the other has begun."""
    monkeypatch.setattr(build_notebooks, "AT_ONCE", 2)
    (project / "workflow" / "execute.py").write_text(MEETING)
    rows = [Row(name, "fig", {"other": other}) for name, other in (("a", "b"), ("b", "a"))]
    build_notebooks.build(rows, "0")
    assert capfd.readouterr().out.count("done in") == 2


def test_missing_results_are_one_line(project):
    row = Row("page", "fig", {}, inputs=("runs/smoke-glyphs/results",))
    with pytest.raises(AnmlError, match="page needs runs/smoke-glyphs/results"):
        build_notebooks.build([row], "0")


def test_a_rerun_leaves_out_what_a_profile_does_not_run(monkeypatch, tmp_path, capsys):
    """Laptop searches no rates: all of it still reruns, and asking for that page says what does."""
    ran = []
    monkeypatch.setattr(build_notebooks, "simulate", lambda *a: None)
    monkeypatch.setattr(build_notebooks, "execute", lambda row, output, bar: ran.append(row.source))

    def rerun(name: str) -> None:
        options = Namespace(
            rerun=name, profile="laptop", data="omniglot", out=str(tmp_path), stand=str(tmp_path)
        )
        build_notebooks.rerun(options, "omniglot")

    rerun("all")
    assert "baseline_rates: the profile laptop runs nothing" in capsys.readouterr().out
    assert "baseline_rates" not in ran
    assert {"fig3_continual_learning", "learning_curves", "speed"} <= set(ran)
    assert "choose one of smoke, quick, paper" in refusal(lambda: rerun("baseline_rates"))


def test_rerun_stays_out_of_the_projects_notebooks(project):
    inside = build_notebooks.rerun_folders("", "/")[0]
    assert inside == project / "build" / "notebooks"
    assert build_notebooks.rerun_folders("mine", str(project))[0] == project / "mine"
    with pytest.raises(AnmlError, match="project's own notebooks"):
        build_notebooks.rerun_folders("book/notebooks", str(project))
