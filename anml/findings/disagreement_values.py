"""What the table `disagreements` says of each question: values, differences, and a sentence."""

from __future__ import annotations

import math

import pandas as pd

from anml.errors import AnmlError
from anml.findings.curves import shown
from anml.findings.rates_found import ARROWS, edge_of
from anml.questions import QUESTIONS, Question, Setting
from anml.results import Provenance, Table
from anml.running.rate_choice import SGD_RATES
from anml.stats import LEVEL, replicates, student_interval, summary
from anml.store.tables import TESTING, TRAINING

REPLICATE = ["n_classes", "model_seed", "trajectory_seed"]


def find_question(name: str) -> Question:
    """Return the question with the id `name`; AnmlError lists the known ones."""
    for question in QUESTIONS:
        if question.id == name:
            return question
    known = ", ".join(question.id for question in QUESTIONS)
    raise AnmlError(f"unknown question {name!r}: choose one of {known}")


def background(question: Question) -> list[str]:
    """Return in words what the paper says, what the code does, and what is done here."""
    lines = [f"The paper: {question.paper}", f"The code: {question.code}"]
    return [*lines, f"Here: {question.here}"] if question.here else lines


def answer_values(table: Table, question: Question, seed: int = 0) -> pd.DataFrame:
    """Return the values of a question's answers, one row a point, answers in their order.

    Columns: `answer`, `metric`, `n_classes`, `mean`, `low`, `high` (fractions in [0, 1]; two-level
    bootstrap interval, seeded with `seed`), `models`, `trajectories`. No rows where not run.
    """
    rows = question_rows(table, question)
    if rows.empty:
        columns = ["answer", "metric", "n_classes", "mean", "low", "high", "models", "trajectories"]
        return pd.DataFrame(columns=columns)
    values = summary(rows, ["answer", "metric", "n_classes"], seed=seed)
    places = {answer: place for place, answer in enumerate(question.answers)}
    order = values.assign(place=values["answer"].map(places))
    return order.sort_values(["place", "metric", "n_classes"], ignore_index=True).drop(
        columns="place"
    )


def differences(table: Table, question: Question) -> pd.DataFrame:
    """Return each further answer's testing accuracy minus the first answer's, one row a point.

    Differences are taken trajectory by trajectory, since all answers meet the same ones. Columns:
    `answer`, `n_classes`, `mean`, `low`, `high` (fractions; Student interval), `models`,
    `trajectories`.
    """
    rows = question_rows(table, question)
    rows = rows[rows["metric"] == TESTING]
    first, *others = question.answers
    base = rows[rows["answer"] == first]
    pairs = [
        rows[rows["answer"] == other].merge(base, on=REPLICATE, suffixes=("", "_first"))
        for other in others
    ]
    result = []
    for other, pair in zip(others, pairs, strict=True):
        for n, group in pair.groupby("n_classes"):
            gap = student_interval(group["value"] - group["value_first"], group["model_seed"])
            result.append(
                {
                    "answer": other,
                    "n_classes": int(n),
                    "mean": gap.mean,
                    "low": gap.low,
                    "high": gap.high,
                    "models": gap.models,
                    "trajectories": gap.trajectories,
                }
            )
    return pd.DataFrame(result)


def answer_table(table: Table, question: Question, seed: int = 0) -> pd.DataFrame:
    """Return the numbers for reading, in per cent: a row an answer and N.

    With the learning rate of meta-test, and an arrow where no smaller or larger one was tried.
    """
    values = answer_values(table, question, seed)
    points = question_rows(table, question).groupby(["answer", "n_classes"])
    tried = points[["optimizer", "learning_rate"]]
    rates = {point: _rates(rows, table.provenance) for point, rows in tried}
    metrics = {"training": TRAINING, "testing": TESTING}
    rows = []
    for (answer, n), group in values.groupby(["answer", "n_classes"], sort=False):
        by_metric = group.set_index("metric")
        text = {
            f"{word}, %": shown(*by_metric.loc[metric, ["mean", "low", "high"]])
            for word, metric in metrics.items()
        }
        counts = replicates(*(int(group[name].iloc[0]) for name in ("models", "trajectories")))
        own = {"rate": rates[answer, n], "replicates": counts}
        rows.append({"N": n, "answer": answer} | text | own)
    columns = ["N", "answer", "training, %", "testing, %", "rate", "replicates"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values("N", kind="stable", ignore_index=True)


def _rates(rows: pd.DataFrame, provenance: Provenance) -> str:
    """The learning rates of `rows`, each with an arrow where it is the end of its grid."""
    grids = {"sgd": SGD_RATES, "adam": provenance.profile_values.get("learning_rates", ())}
    words = []
    for optimizer, rate in dict.fromkeys(rows.itertuples(index=False, name=None)):
        words.append(f"{rate:g}{ARROWS[edge_of(rate, grids[optimizer])]}")
    return ", ".join(words)


def sense(table: Table, question: Question) -> list[str]:
    """Return what to make of a question: a sentence an answer at the longest N that it was run at,
    and at each other N where it differs.

    A difference is called one only where its whole interval lies on one side of zero.
    """
    gaps = differences(table, question)
    rows = question_rows(table, question)
    run = set(rows["answer"])
    first, *others = question.answers
    lines = []
    for answer in others:
        own = gaps[gaps["answer"] == answer] if len(gaps) else gaps
        if own.empty:
            reason = f"nothing to compare with, {first} was not" if answer in run else "not"
            lines.append(f"{answer}: {reason} run at this scale.")
            continue
        for _, gap in own.sort_values("n_classes", ascending=False).iterrows():
            if gap["n_classes"] < own["n_classes"].max() and not _differs(gap):
                continue
            counts = replicates(int(gap["models"]), int(gap["trajectories"]))
            points = _points(*gap[["mean", "low", "high"]])
            lines.append(
                f"{answer} against {first}, after {gap['n_classes']} classes: {points} of "
                f"testing accuracy ({LEVEL:.0%} Student interval, {counts}): {_verdict(gap)}"
                f"{_at_an_end(rows, (first, answer), gap['n_classes'], table.provenance)}."
            )
    if len(gaps) and gaps["models"].max() == 1:
        lines.append("One model each: how models differ is not in these intervals.")
    return lines


def _points(mean: float, low: float, high: float) -> str:
    """A difference and its interval (fractions) in percentage points."""
    text = f"{100 * mean:+.1f} points"
    if math.isnan(low):
        return text
    return f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _verdict(gap: pd.Series) -> str:
    if math.isnan(gap["low"]):
        return "too few replicates to tell a difference from chance"
    if gap["low"] > 0:
        return "better"
    if gap["high"] < 0:
        return "worse"
    return "no difference that these replicates could tell from chance"


def _at_an_end(
    rows: pd.DataFrame, answers: tuple[str, str], n_classes: int, provenance: Provenance
) -> str:
    """Which of two answers, compared where they differ, has a rate at the end of its grid."""
    own = rows[rows["n_classes"] == n_classes]
    ends = {}
    for answer in answers:
        rates = own.loc[own["answer"] == answer, ["optimizer", "learning_rate"]]
        words = _rates(rates, provenance)
        for end in (end for end, arrow in ARROWS.items() if end and arrow in words):
            ends[answer] = end
    if not ends:
        return ""
    words = " and ".join(f"{answer} has the {end}" for answer, end in ends.items())
    if len(ends) == len(answers) and len(set(ends.values())) == 1:
        words = f"both have the {ends[answers[0]]}"
    return f"; {words} rate that was tried there, and may do better beyond it"


def _differs(gap: pd.Series) -> bool:
    """Whether a whole interval lies on one side of zero."""
    return gap["low"] > 0 or gap["high"] < 0


def gaps_closed(table: Table) -> list[str]:
    """Return how much of the gap between OML and ANML further answers to 'linear' close.

    A sentence an answer, at the longest N at which it, OML and ANML were run and ANML leads; over
    the models and trajectories that all three have.
    """
    question = find_question("linear")
    rows = question_rows(table, question)
    values = rows[rows["metric"] == TESTING].pivot(
        index=REPLICATE, columns="answer", values="value"
    )
    lines = []
    for answer in (name for name in question.answers if name not in ("OML", "ANML")):
        if not {answer, "OML", "ANML"} <= set(values):
            continue
        means = values[[answer, "OML", "ANML"]].dropna().groupby("n_classes").mean()
        means = means[means["ANML"] > means["OML"]]
        if means.empty:
            continue
        last = means.iloc[-1]
        gap = last["ANML"] - last["OML"]
        lines.append(
            f"{answer} closes {(last[answer] - last['OML']) / gap:.0%} of the gap between OML and "
            f"ANML, {100 * gap:.1f} points after {means.index[-1]} classes."
        )
    return lines


def leads(table: Table) -> list[str]:
    """Return by how much ANML leads OML with the choices made here and with the released code's.

    At the longest N that all four were run at, over the models and trajectories that all four have;
    nothing where one of them is missing.
    """
    names = {"ANML": "released-anml", "OML": "released-oml"}
    questions = {name: find_question(question) for name, question in names.items()}
    found = [question_rows(table, question).assign(of=name) for name, question in questions.items()]
    rows = pd.concat(found, ignore_index=True)
    rows = rows[rows["metric"] == TESTING]
    values = rows.pivot(index=REPLICATE, columns=["answer", "of"], values="value").dropna()
    answers = list(questions["ANML"].answers)
    if values.empty or not {(answer, name) for answer in answers for name in names} <= set(values):
        return []
    last = values.index.get_level_values("n_classes").max()
    values = values.xs(last, level="n_classes")
    models = values.index.get_level_values("model_seed")
    here, code = (
        student_interval(values[answer, "ANML"] - values[answer, "OML"], models)
        for answer in answers
    )
    counts = replicates(here.models, here.trajectories)
    own, released = (_points(gap.mean, gap.low, gap.high) for gap in (here, code))
    return [
        f"ANML against OML after {last} classes ({counts}): {own} with the choices made here, "
        f"{released} with the released code's."
    ]


def was_run(table: Table, question: Question) -> bool:
    """Return whether the table holds at least two answers of a question."""
    return question_rows(table, question)["answer"].nunique() > 1


def question_rows(table: Table, question: Question) -> pd.DataFrame:
    """Return the observations of a question, of the answers that it has.

    A table may be older than a question. What it measured of an answer's setting then stands under
    another question, and is taken from there: of the models that the question's own rows have.
    """
    frame = table.frame
    known = frame["answer"].isin(list(question.answers))
    own = frame[(frame["question"] == question.id) & known]
    parts = [own]
    for answer, setting in question.answers.items():
        if not own.empty and answer not in set(own["answer"]):
            rows = _of_setting(frame, setting)
            own_models = rows["model_seed"].isin(own["model_seed"])
            parts.append(rows[own_models].assign(question=question.id, answer=answer))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else own


def _of_setting(frame: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The observations of a setting under the question that has most of them: where answers are
    compared with a variant, the table holds only the models that the variant has.
    """
    found = [
        frame[(frame["question"] == question.id) & (frame["answer"] == answer)]
        for question in QUESTIONS
        for answer, other in question.answers.items()
        if other == setting
    ]
    return max(found, key=len)
