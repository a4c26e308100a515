"""A made-up `disagreements` table for tests: the right form and no scientific content."""

from __future__ import annotations

import numpy as np
import pandas as pd
import synthetic_table

from anml.questions import QUESTIONS, Question
from anml.results import Table
from anml.store.tables import TESTING, TRAINING

MODELS, TRAJECTORIES = 3, 3


def table(gaps: dict[str, float], questions: tuple[Question, ...] = QUESTIONS) -> Table:
    """A table in which each answer is off the first one by `gaps` (default: by nothing)."""
    rng = np.random.default_rng(0)
    rows = []
    for question in questions:
        for answer, setting in question.answers.items():
            for model in range(MODELS):
                for trajectory in range(TRAJECTORIES):
                    for n in (10, 50):
                        for metric, shift in ((TRAINING, 0.1), (TESTING, 0.0)):
                            value = 0.6 + shift + gaps.get(answer, 0.0) + rng.normal(0, 1e-3)
                            rows.append(
                                {
                                    "question": question.id,
                                    "answer": answer,
                                    "treatment": setting.treatment,
                                    "regime": "sequential",
                                    "optimizer": setting.optimizer,
                                    "learning_rate": 1e-3,
                                    "model_seed": model,
                                    "trajectory_seed": 1000 * model + trajectory,
                                    "n_classes": n,
                                    "metric": metric,
                                    "value": value,
                                }
                            )
    frame = pd.DataFrame(rows).assign(profile="quick", data="omniglot")
    return Table(frame, synthetic_table.provenance())
