"""Answers that a table has under another question, since it is older than the question."""

import pytest
import synthetic_disagreements

from anml.findings.disagreement_values import (
    answer_values,
    differences,
    find_question,
    was_run,
)
from anml.results import Table


def test_an_answer_that_an_older_table_has_under_another_question_is_taken_from_there():
    """Of the same setting, and of the models that the question's own answer has."""
    whole = synthetic_disagreements.table({"kept (code)": 0.1})
    question = find_question("redraw")
    own, base = whole.frame["question"] == question.id, "in the copy (paper)"
    older = whole.frame[~(own & (whole.frame["answer"] == base))]
    asked = older["question"] == question.id
    found = Table(older[~asked | (older["model_seed"] == 0)], whole.provenance)
    assert was_run(found, question)
    values = answer_values(found, question)
    assert set(values["answer"]) == set(question.answers)
    assert set(values["models"]) == {1}
    gaps = differences(found, question)
    assert gaps["mean"].tolist() == pytest.approx([0.1, 0.1], abs=0.02)
    nothing = Table(older[~asked], whole.provenance)
    assert not was_run(nothing, question)


def test_what_is_taken_from_another_question_is_of_as_many_models_as_there_are():
    """Questions with a variant have one model of what others have of all."""
    whole = synthetic_disagreements.table({})
    question, frame = find_question("class-order"), whole.frame
    base = (frame["question"] == question.id) & (frame["answer"] == "in random order (here)")
    few = (frame["question"] == "order-anml") & (frame["model_seed"] > 0)
    values = answer_values(Table(frame[~base & ~few], whole.provenance), question)
    assert set(values["answer"]) == set(question.answers)
    assert set(values["models"]) == {frame["model_seed"].nunique()} != {1}
