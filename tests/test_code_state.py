"""Which code a result was made by: what counts as a change and what does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from anml.questions import QUESTIONS, Setting
from anml.running.disagreements import DisagreementJob
from anml.running.evaluations import EvaluateJob, SearchJob
from anml.running.lengths import LengthJob
from anml.running.probe_jobs import ProbeJob
from anml.store import code_state as module
from anml.store.code_state import bare_source, code_state, imported, last, modules_state, reached


def source(tmp_path: Path, text: str) -> str:
    path = tmp_path / "one.py"
    path.write_text(text)
    return bare_source(path)


PLAIN = '"""Doc."""\n\nX = 1\n\n\ndef f(a):\n    """Doc."""\n    return a + X\n'


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (PLAIN.replace("Doc", "Other words"), True),
        (PLAIN.replace("X = 1", "X = 1  # why"), True),
        (PLAIN.replace("X = 1\n\n\n", "X = 1\n\n"), True),
        (PLAIN.replace('    """Doc."""\n', ""), True),
        (PLAIN.replace("X = 1", "X = 2"), False),
        (PLAIN.replace("a + X", "a - X"), False),
        (PLAIN.replace("X = 1", 'X = "text"'), False),
    ],
)
def test_words_and_layout_are_no_change_and_code_is(tmp_path, changed, same):
    assert (source(tmp_path, changed) == source(tmp_path, PLAIN)) == same


def test_a_function_of_nothing_but_a_docstring_is_still_code(tmp_path):
    assert "pass" in source(tmp_path, 'def f():\n    """Doc."""\n')


def test_what_is_reached_is_what_decides_the_numbers():
    training = reached("anml.meta_train")
    assert {
        "anml.adapt",
        "anml.gradients.inner_step",
        "anml.models",
        "anml.meta_training.outer_step",
    } <= training
    others = {"anml.figures.plot_style", "anml.cli", "anml.meta_test", "anml.pages.notebook"}
    assert not others & training
    testing = reached("anml.meta_test")
    assert {
        "anml.meta_testing.linear_learning_adam",
        "anml.meta_testing.network_learning",
        "anml.models",
    } <= testing
    assert "anml.adapt" not in testing


def test_a_module_that_moves_to_another_folder_is_no_change(tmp_path):
    before = "from anml.files import replacing\nfrom anml.models import ANML\n\nX = replacing\n"
    after = (
        "from anml.models import ANML\nfrom anml.store.files import replacing\n\nX = replacing\n"
    )
    assert source(tmp_path, before) == source(tmp_path, after)
    other = after.replace("import replacing", "import require_writable as replacing")
    assert source(tmp_path, other) != source(tmp_path, after)
    inside = "def f():\n    from anml{} import data\n"
    assert source(tmp_path, inside.format("")) == source(tmp_path, inside.format(".drawings"))


@pytest.mark.parametrize("job", [EvaluateJob, SearchJob, DisagreementJob, ProbeJob])
def test_what_a_job_does_itself_decides_its_numbers_too(job):
    assert {job.__module__, "anml.models"} <= reached(job.code)


def test_both_ways_of_importing_are_seen(tmp_path):
    path = tmp_path / "one.py"
    path.write_text(
        "from anml import data, __version__\nfrom anml.models import ANML\nimport json\n"
        "from anml.drawings import packed, pixels\nfrom anml.store.files import replacing\n"
    )
    assert imported(path) == {
        *("anml.data", "anml.models"),
        *("anml.drawings.packed", "anml.drawings.pixels", "anml.store.files"),
    }


@pytest.mark.parametrize("name", ["progress", "questions", "errors"])
def test_the_state_does_not_change_with_modules_that_only_say_something(name, monkeypatch):
    jobs = (LengthJob, DisagreementJob)
    assert any(last(other) == name for job in jobs for other in reached(job.code))
    before, real = [code_state(job.code) for job in jobs], bare_source
    monkeypatch.setattr(module, "bare_source", lambda path: real(path) + "!" * (path.stem == name))
    modules_state.cache_clear()
    try:
        assert [code_state(job.code) for job in jobs] == before
    finally:
        modules_state.cache_clear()


def test_of_the_questions_what_decides_rows_counts_and_their_prose_does_not(monkeypatch):
    job = DisagreementJob(Setting("ANML", optimizer="sgd"), 5)
    before, variant = job.rows, Setting("ANML (first order)")
    at = next(i for i, one in enumerate(QUESTIONS) if job.setting in one.settings())
    question = QUESTIONS[at]

    def rows_with(**changes):
        others = [replace(question, **changes), *QUESTIONS[at + 1 :], *QUESTIONS[:at]]
        monkeypatch.setattr("anml.running.disagreements.QUESTIONS", others)
        return job.rows

    assert rows_with(title="In other words?", paper="", code="", here="") == before
    assert rows_with(id="other") != before
    renamed = {f"{label}!": setting for label, setting in question.answers.items()}
    assert rows_with(answers=renamed) != before
    assert rows_with(answers=question.answers | {"of fewer models": variant}) != before
    assert job.setting in before


def test_the_state_changes_with_code_that_is_reached_and_with_torch(monkeypatch):
    before = {name: code_state(name) for name in ("anml.meta_train", "anml.meta_test")}
    assert before["anml.meta_train"] != before["anml.meta_test"]
    real = bare_source

    def touched(path: Path) -> str:
        return real(path) + ("\nchanged = 1" if path.stem == "inner_step" else "")

    monkeypatch.setattr(module, "bare_source", touched)
    modules_state.cache_clear()
    try:
        assert code_state("anml.meta_train") != before["anml.meta_train"]
        assert code_state("anml.meta_test") == before["anml.meta_test"]
        monkeypatch.setattr(module.torch, "__version__", "9.9")
        modules_state.cache_clear()
        assert code_state("anml.meta_test") != before["anml.meta_test"]
    finally:
        modules_state.cache_clear()
