"""What is measured of a representation, against counts by hand, and the job that measures it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.linalg import norm

from anml import probes
from anml.drawings.packed import Drawings
from anml.errors import AnmlError
from anml.meta_testing.nearest import knn_accuracy
from anml.meta_train import initial_model
from anml.profiles import Profile
from anml.running.jobs import Place, TrainJob, read_part
from anml.running.probe_jobs import ProbeJob, plan_probes
from anml.store.tables import TABLES, checked


def test_the_probed_drawings_are_all_unseen_ones_each_known_or_asked(few: Drawings) -> None:
    drawn = probes.probe_set(few)
    assert drawn.known.shape == (len(few.meta_test), 15, 28, 28)
    assert drawn.asked.shape == (len(few.meta_test), 5, 28, 28)
    both = np.concatenate((drawn.known, drawn.asked), axis=1)
    unseen = {image.tobytes() for image in few.meta_test.reshape(-1, 28, 28)}
    assert {image.tobytes() for image in both.reshape(-1, 28, 28)} == unseen
    for own in both:  # the drawings of one class, in whatever order
        assert any({i.tobytes() for i in own} == {i.tobytes() for i in c} for c in few.meta_test)


def test_the_same_drawings_are_probed_every_time_and_the_split_is_the_profiles(
    few: Drawings,
) -> None:
    one, two = probes.probe_set(few), probes.probe_set(few)
    np.testing.assert_array_equal(one.asked, two.asked)
    first = probes.probe_set(few, "first")
    writers = {image.tobytes() for image in few.meta_test[:, 15:].reshape(-1, 28, 28)}
    assert {image.tobytes() for image in first.asked.reshape(-1, 28, 28)} == writers
    assert {image.tobytes() for image in one.asked.reshape(-1, 28, 28)} != writers


def test_too_few_classes_are_refused(few: Drawings) -> None:
    names = ("images", "character_id", "alphabet", "character", "split")
    nine = replace(few, **{name: getattr(few, name)[: 964 + 9] for name in names})
    with pytest.raises(AnmlError, match="9 evaluation classes are too few"):
        probes.probe_set(nine)


def test_activity_counts_units_above_the_threshold() -> None:
    values = np.array([[0.0, 0.01, 0.5, 0.0], [0.0, 0.0, 0.02, 3.0]], dtype=np.float64)
    np.testing.assert_allclose(probes.share_active(values), [0.25, 0.5])
    assert probes.dead_units(values) == 0.5
    assert probes.dead_units(values[:, 2:][None]) == 0.0


def test_activations_are_the_layers_whatever_the_batch(tiny: Profile, few: Drawings) -> None:
    model, images = initial_model("anml", tiny, 0), few.meta_test[:30]
    found = probes.activations(model.latent, images)
    assert found.shape == (len(few.meta_test), 20, tiny.pln_channels * 9)
    one = torch.from_numpy(images[3, 7] / 255).float()[None, None]
    np.testing.assert_allclose(found[3, 7], model.latent(one).detach()[0], atol=1e-5)
    gated = probes.activations(model.gated, images)
    np.testing.assert_allclose(gated, found * probes.activations(model.nm, images), atol=1e-6)


def test_neighbours_know_the_training_drawings_and_are_asked_about_the_others() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(6, 15, 3)), rng.normal(size=(6, 5, 3))
    known += np.arange(6)[:, None, None]
    asked += np.arange(6)[:, None, None]
    found = probes.neighbours(known, asked)
    assert found.shape == (20,)
    labels = np.arange(6).repeat(15), np.arange(6).repeat(5)
    for k in (1, 5, 20):
        flat = known.reshape(-1, 3), labels[0], asked.reshape(-1, 3), labels[1]
        assert found[k - 1] == knn_accuracy(*flat, k)
    assert 1 / 6 < found[4] < 1
    swapped = probes.neighbours(known, asked[::-1])
    assert swapped[4] < found[4]


def test_the_map_keeps_classes_that_lie_apart_apart_and_is_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 15, 8)) + 40 * rng.normal(size=(4, 1, 8))
    places = probes.tsne_map(values)
    assert places.shape == (4, 15, 2)
    np.testing.assert_array_equal(places, probes.tsne_map(values))
    centres = places.mean(axis=1)
    distance = np.linalg.norm(places[:, :, None] - centres, axis=-1)
    assert (distance.argmin(axis=-1) == np.arange(4)[:, None]).all()


@pytest.fixture(scope="module")
def probed(
    tiny: Profile, few: Drawings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, ProbeJob, list[int]]:
    place, job, heard = Place(tiny, tmp_path_factory.mktemp("run")), ProbeJob(0), []
    for waited in plan_probes(tiny)[job]:
        waited.run(place, few, lambda steps: None)
    job.run(place, few, heard.append)
    return place, job, heard


def frames(place: Place, job: ProbeJob) -> dict[str, pd.DataFrame]:
    tables = read_part(job, place)["tables"]
    return {
        name: checked(name, pd.DataFrame(rows).assign(profile="smoke", data="omniglot"))
        for name, rows in tables.items()
    }


def again(
    place: Place, job: ProbeJob, drawings: Drawings
) -> tuple[dict[str, pd.DataFrame], list[int]]:
    """What a probe of another profile finds and reports; the file of the first stays as it was."""
    path, heard = job.result(place), []
    first = path.read_text()
    try:
        job.run(place, drawings, heard.append)
        return frames(place, job), heard
    finally:
        path.write_text(first)


def test_a_probe_waits_for_both_models_of_its_seed(tiny: Profile) -> None:
    plan = plan_probes(replace(tiny, model_seeds=2))
    assert plan == {ProbeJob(s): [TrainJob("anml", s), TrainJob("oml", s)] for s in (0, 1)}
    place = Place(tiny, Path("run"))
    assert len({job.result(place) for job in plan}) == len({job.name for job in plan}) == 2


def test_a_probe_of_anml_alone_waits_for_no_oml(probed, few: Drawings) -> None:
    """What it finds is what the probe of both finds of ANML."""
    both, job, _ = probed
    profile = replace(both.profile, probed=("anml",))
    assert plan_probes(profile) == {job: [TrainJob("anml", 0)]}
    whole = frames(both, job)
    alone, heard = again(replace(both, profile=profile), job, few)
    assert sum(heard) == job.steps(profile) == 4
    named = dict.fromkeys(("knn", "knn_distances", "tsne"), "representation")
    named["activity"] = "treatment"
    for name, frame in whole.items():
        oml = frame[named[name]].str.lower() == "oml" if name in named else False
        own = frame[~oml] if name in named else frame
        pd.testing.assert_frame_equal(alone[name], own.reset_index(drop=True))


def test_a_probe_of_another_meta_training_is_of_its_model_and_bears_its_name(
    probed, few: Drawings
) -> None:
    from anml.running.jobs import treatment_model

    both, job, _ = probed
    place = replace(both, profile=replace(both.profile, probed=("anml-redraw-kept",)))
    (training,) = plan_probes(place.profile)[job]
    training.run(place, few, lambda steps: None)
    found, _ = again(place, job, few)
    assert set(found["activity"]["treatment"]) == {"ANML (redraw kept)"}
    drawn = probes.probe_set(few)
    model = treatment_model(place, "anml-redraw-kept", 0)
    parts = (probes.activations(model.gated, part) for part in (drawn.known, drawn.asked))
    knn = found["knn"].set_index(["representation", "k"])["value"]
    np.testing.assert_allclose(knn["gated"].loc[range(1, 21)], probes.neighbours(*parts))


def test_a_probe_reports_every_step_and_fills_all_its_tables(probed) -> None:
    place, job, heard = probed
    probed_layers = probes.layers_of_anml(_Any(), _Any()) | probes.layers_of_oml(_Any())
    assert sum(heard) == job.steps(place.profile) == len(probed_layers)
    tables = frames(place, job)
    units = place.profile.pln_channels * 9
    assert {name: len(frame) for name, frame in tables.items()} == {
        "units": 4 * 3 * units,
        "activity": 4 * 2,
        "knn": 5 * 20,
        "knn_distances": 5 * 20 * 2,
        "tsne": 3 * 10 * 15,
    }
    for name, frame in tables.items():
        keys = [c for c in TABLES[name] if c not in ("value", "x", "y")]
        assert not frame.duplicated(keys).any()
        assert set(frame["model_seed"]) == {0}


class _Any:
    """Has every layer."""

    def __getattr__(self, name: str) -> None:
        return None


def test_the_rows_are_what_the_models_do(probed, few: Drawings) -> None:
    from anml.running.jobs import treatment_model

    place, job, _ = probed
    tables, drawn = frames(place, job), probes.probe_set(few)
    anml = treatment_model(place, "anml", 0)
    gated = probes.activations(anml.gated, drawn.asked)
    units = tables["units"]
    for drawing, expected in (("drawing 1", gated[1, 0]), ("mean", gated.mean((0, 1)))):
        rows = units[(units["drawing"] == drawing) & (units["layer"] == "gated")]
        np.testing.assert_allclose(rows.sort_values("unit")["value"], expected, atol=1e-5)
    shown = probes.activations(anml.gated, drawn.shown)
    np.testing.assert_allclose(shown, gated[:3, 0], atol=1e-5)
    activity = tables["activity"].set_index(["treatment", "layer", "metric"])["value"]
    assert activity["ANML", "gated", "share active"] == pytest.approx(
        probes.share_active(gated).mean()
    )
    oml = probes.activations(treatment_model(place, "oml", 0).representation, drawn.asked)
    assert activity["OML", "oml", "dead units"] == probes.dead_units(oml)
    knn = tables["knn"].set_index(["representation", "k"])["value"]
    gate_of_the_start = initial_model("anml", place.profile, 0).nm
    both = (probes.activations(gate_of_the_start, part) for part in (drawn.known, drawn.asked))
    np.testing.assert_allclose(knn["nm random"].loc[range(1, 21)], probes.neighbours(*both))
    assert not knn["nm random"].equals(knn["nm"])


def test_other_distances_are_of_the_same_activations(probed, few: Drawings) -> None:
    """Against a search row by row: the smallest angle, and the fewest units that differ."""
    from anml.running.jobs import treatment_model

    place, job, _ = probed
    anml, drawn = treatment_model(place, "anml", 0), probes.probe_set(few)
    known, asked = (
        probes.activations(anml.gated, part).reshape(-1, place.profile.pln_channels * 9)
        for part in (drawn.known, drawn.asked)
    )
    angles = [[1 - u @ v / (norm(u) * norm(v)) for v in known] for u in asked]
    differ = [[np.sum((u > 0.01) != (v > 0.01)) for v in known] for u in asked]
    found = frames(place, job)["knn_distances"]
    found = found[(found["representation"] == "gated") & (found["k"] == 1)]
    truth = np.arange(len(asked)) // drawn.asked.shape[1]
    for name, distances in (("cosine", angles), ("active units", differ)):
        nearest = np.argmin(distances, axis=1) // drawn.known.shape[1]
        value = found[found["distance"] == name]["value"].item()
        assert value == pytest.approx(np.mean(nearest == truth))
    assert found["value"].nunique() == 2


def test_rows_of_zeros_have_no_direction_and_stay() -> None:
    np.testing.assert_array_equal(
        probes.unit_length(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0.0, 0.0], [0.6, 0.8]]
    )


def test_tables_hold_their_columns_and_nothing_else(probed) -> None:
    tables = frames(*probed[:2])
    assert all(set(frame.columns) == set(TABLES[name]) for name, frame in tables.items())
