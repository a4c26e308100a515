"""`anml meta-test`: the rate that was found, what accuracies are of, which models are there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_searches
from command_line import outcome, values
from refusal import refusal

from anml.commands.cli_meta_test import model_file, searched_rate
from anml.profiles import find_profile
from anml.results import Table, read_table, write_table
from anml.running.jobs import Place
from anml.running.points import Point

RECORDED = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture
def searches() -> Table:
    """Of N = 10 and 600, the best rate 0.001 but for OML at 600, in sequence, where it's 0.0001."""
    table = synthetic_searches.table()
    frame = table.frame.copy()
    one = (frame["treatment"] == "OML") & (frame["regime"] == "sequential")
    one &= (frame["n_classes"] == 600) & (frame["learning_rate"] == 1e-4)
    frame.loc[one, "value"] = 0.99
    return replace(table, frame=frame)


@pytest.mark.parametrize("folder", ["", "results"])
@pytest.mark.parametrize(
    ("point", "rate", "how"),
    [
        (Point("OML", 600), 1e-4, "found for N = 600"),
        (Point("OML", 78), 1e-4, "found for N = 600"),  # nearer by ratio
        (Point("OML", 77), 1e-3, "found for N = 10"),
        (Point("OML", 600, regime="oracle"), 1e-3, "found for N = 600"),
        (Point("OML", 600, regime="oracle 20 epochs"), 1e-3, "found for N = 600"),
        (Point("OML", 600, optimizer="sgd"), 1e-2, "not searched for this treatment"),
        (Point("ANML (redraw kept)", 600), 1e-3, "not searched for this treatment"),
    ],
    ids=str,
)
def test_the_rate_is_the_one_that_the_nearest_search_found(
    searches: Table, tmp_path: Path, folder: str, point: Point, rate: float, how: str
) -> None:
    """Whatever N the profile itself would search, in a run's folder and among recorded results."""
    write_table(tmp_path / folder / "learning_rates.parquet", searches.frame, searches.provenance)
    found = searched_rate(Place(find_profile("smoke"), tmp_path), point, 0)
    assert found[0] == rate
    assert found[1].startswith(how)


@pytest.mark.parametrize("name", ["quick", "laptop"])
def test_it_is_the_rate_of_the_recorded_results(name: str) -> None:
    place = Place(find_profile(name), RECORDED / name)
    frame = read_table(place.folder / "meta_test.parquet").frame
    asked = ["treatment", "n_classes", "optimizer", "regime"]
    frame = frame[frame["n_classes"].isin([50, 100, 600])].drop_duplicates(asked)
    for row in frame.itertuples():
        point = Point(row.treatment, int(row.n_classes), row.optimizer, row.regime)
        assert searched_rate(place, point, 0)[0] == row.learning_rate, point
    assert frame["learning_rate"].nunique() > 2


def test_in_the_folder_of_a_length_it_is_that_of_its_model() -> None:
    run = RECORDED / "laptop_redraw_kept"
    frame = read_table(run / "lengths.parquet").frame
    frame = frame[frame["iterations"].eq(10_000) & frame["model_seed"].eq(0)]
    place = Place(find_profile("laptop"), run / "lengths" / "10000")
    kinds = frame.drop_duplicates(["n_classes", "regime"])
    assert len(kinds) >= 4
    for row in kinds.itertuples():
        point = Point(row.treatment, int(row.n_classes), row.optimizer, row.regime)
        found = searched_rate(place, point, 0)
        how = f"found for N = {row.n_classes} (profile laptop, Omniglot)"
        assert found == (row.learning_rate, how)
    nobodys = searched_rate(place, Point("ANML (redraw kept)", 600), 999)
    assert nobodys[1].startswith("not searched")


def test_accuracies_are_printed_with_what_they_are_of(
    packed_noise: Path, searches: Table, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ["--out", run, *values()]
    assert outcome(capsys, "meta-train", "oml", "--data", packed_noise, *options)[0] == 0
    model = run / "checkpoints" / "oml-seed0.safetensors"
    asked = ("meta-test", "OML", *options, "--n-classes", 3, "--trajectories", 1)
    status, out, err = outcome(capsys, *asked, "--data", packed_noise)
    first, second, third = out.splitlines()
    assert status == 0
    assert first.startswith("data: Omniglot (fingerprint ")
    assert first.endswith(f"; model: {model}; N = 3; optimiser: adam")
    assert second == f"rate 0.001, not searched for this treatment (sequential, adam) in {run}"
    assert third.startswith("OML, sequential, 3 classes, trajectory 0: ")
    assert "NOTICE" not in err
    write_table(run / "results" / "learning_rates.parquet", searches.frame, searches.provenance)
    out = outcome(capsys, *asked[:-4], "--n-classes", 90, "--data", packed_noise)[1]
    assert out.splitlines()[1] == "rate 0.0001, found for N = 600 (profile quick, Omniglot)"
    own = outcome(capsys, *asked, "--data", packed_noise, "--learning-rate", 0.02)[1]
    assert own.splitlines()[1] == "rate 0.02, as given"
    fresh = outcome(capsys, "meta-test", "Scratch", *asked[2:], "--data", packed_noise)[1]
    assert "; model: fresh, seed 0; " in fresh


def test_a_model_of_other_drawings_is_said_to_be(
    packed_noise: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--out", tmp_path / "run", *values()]
    assert outcome(capsys, "meta-train", "oml", "--data", packed_noise, *options)[0] == 0
    with np.load(packed_noise) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["images"][0, 0, 0, 0] ^= 255
    np.savez(tmp_path / "other.npz", **arrays)
    asked = ("meta-test", "OML", *options, "--n-classes", 2, "--trajectories", 1)
    status, out, err = outcome(capsys, *asked, "--data", tmp_path / "other.npz")
    assert status == 0
    (notice,) = (line for line in err.splitlines() if line.startswith("NOTICE"))
    assert "oml-seed0.safetensors was meta-trained on other drawings" in notice
    assert notice.endswith("choose others with --data")
    assert "NOTICE" not in out


def test_without_the_model_those_that_are_there_are_named(tmp_path: Path) -> None:
    place = Place(find_profile("smoke"), tmp_path)

    def put(name: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    none = refusal(lambda: model_file(place, "anml", 0))
    assert "anml-seed0.safetensors: run the meta-training that makes it first" in none
    put("checkpoints/anml-redraw-kept-seed0.safetensors")  # another meta-training
    put("checkpoints/anml-seeds0.resume.safetensors")  # not finished
    assert refusal(lambda: model_file(place, "anml", 0)) == none
    put("checkpoints/anml-seed3.safetensors")
    put("checkpoints/anml-seed1.safetensors")
    assert "there are seeds 1, 3: add --model-seed 1" in refusal(
        lambda: model_file(place, "anml", 0)
    )
    assert model_file(place, "anml", 3) == tmp_path / "checkpoints" / "anml-seed3.safetensors"
    assert model_file(place, "scratch", 0) is None
    put("lengths/500/checkpoints/oml-seed0.safetensors")
    length = tmp_path / "lengths" / "500"
    assert refusal(lambda: model_file(place, "oml", 0)).endswith(
        f"there is seed 0 after 500 iterations: add --out {length}"
    )
    assert refusal(lambda: model_file(place, "oml", 1)).endswith(
        f"add --out {length} --model-seed 0"
    )


def test_the_folder_and_seed_that_are_named_are_those_to_take(
    capsys: pytest.CaptureFixture[str], packed_noise: Path
) -> None:
    """Of the recorded results, with the command as it's typed."""
    asked = ("meta-test", "ANML (redraw kept)", "--profile", "laptop", "--data", packed_noise)
    status, _, err = outcome(capsys, *asked, "--out", RECORDED / "laptop_redraw_kept")
    assert (status, err.count("\n")) == (2, 1)
    _, _, added = err.strip().rpartition(": add ")
    extra = ("--n-classes", 2, "--trajectories", 1)
    status, out, err = outcome(capsys, *asked, *added.split(), *extra)
    assert status == 0
    assert "found for N = 100" in out
    assert "NOTICE" in err
