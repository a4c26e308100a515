"""What `anml results show` lists of models: the finished ones, whichever folder has them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import recorded_models

from anml import cli
from anml.meta_train import Job, meta_train
from anml.recording.contents import models_beside
from anml.running.length_names import LENGTHS


def test_models_are_listed_by_meta_training_length_and_precision(
    job: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    recorded_models(job(seeds=(0, 2)), folder / "checkpoints")
    longer = job("oml", meta_iterations=9, folder=tmp_path / "longer")
    recorded_models(longer, folder / LENGTHS / "9" / "checkpoints", half=True)
    found = models_beside([tmp_path / "nothing", folder])
    kind = ["folder", "meta-training", "meta-iterations", "precision", "seeds"]
    assert found[kind].to_numpy().tolist() == [
        ["mine", "anml", 8, "float32", "0, 2"],
        ["mine", "oml", 9, "float16", "0"],
    ]
    assert cli.main(["results", "show", str(folder)]) == 0
    assert "float16" in capsys.readouterr().out


def test_of_a_run_what_is_under_way_is_left_out(
    job: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its working checkpoints lie beside its finished models."""
    one = job(folder=tmp_path / "run" / "checkpoints")
    (path,) = meta_train(one, progress=False)
    assert one.resume_path.is_file()
    found = models_beside([tmp_path / "run"])
    assert found[["seeds", "precision"]].to_numpy().tolist() == [["0", "float32"]]
    path.unlink()
    assert models_beside([tmp_path / "run"]).empty
    assert cli.main(["results", "show", str(tmp_path / "run")]) == 2
    assert "no tables or models in" in capsys.readouterr().err
