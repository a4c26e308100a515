"""What has to be done again when code changed: the job itself and all that read it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.errors import AnmlError
from anml.profiles import Profile
from anml.running import disk
from anml.running import staleness as module
from anml.running.evaluations import EvaluateJob, search_jobs
from anml.running.jobs import Place, TrainJob, write_part
from anml.running.lengths import LengthJob
from anml.running.pipeline import STALE_LOCK, do, gather
from anml.running.plan import plan
from anml.running.points import Point
from anml.running.rate_search import RateJob
from anml.running.run_log import RunLog
from anml.running.staleness import made_by, set_aside, stale_beginnings, stale_jobs
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.code_state import code_state
from anml.store.lock import locked
from anml.treatments import TREATMENTS

POINT = Point("OML-OLFT", 2)


@pytest.fixture
def finished(tiny: Profile, noise_drawings: Drawings, tmp_path: Path):
    """A run of one meta-training, its search and its evaluation, all finished."""
    place = Place(tiny, tmp_path)
    (search,), train, test = search_jobs(tiny, POINT), TrainJob("oml", 0), EvaluateJob(POINT, 0)
    jobs = {train: [], search: [train], test: [train, search]}
    for job in jobs:
        job.run(place, noise_drawings, lambda n: None)
    return place, jobs, (train, search, test)


def change(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As if the code of `modules` had changed since."""
    real = module.code_state
    monkeypatch.setattr(
        module, "code_state", lambda name, *rows: real(name, *rows) + "!" * (name in modules)
    )


def test_nothing_is_stale_while_no_code_changed(finished) -> None:
    place, jobs, (train, search, test) = finished
    assert stale_jobs(place, jobs, jobs) == []
    assert stale_beginnings(place, jobs) == []
    states = {made_by(job.result(place)) for job in (search, test)}
    assert len(states) == 1
    assert made_by(train.result(place)) not in states


def test_a_changed_row_of_the_treatments_takes_its_own_results_alone(finished, monkeypatch) -> None:
    place, jobs, (_, search, test) = finished
    other = dict(TREATMENTS)
    other["ANML"] = replace(other["ANML"], plastic=("",))
    monkeypatch.setattr("anml.treatments.TREATMENTS", other)
    assert stale_jobs(place, jobs, jobs) == []
    other["OML-OLFT"] = replace(other["OML-OLFT"], plastic=("",))
    assert stale_jobs(place, jobs, jobs) == [search, test]


def test_changed_meta_testing_leaves_the_models(finished, monkeypatch) -> None:
    place, jobs, (_, search, test) = finished
    change(monkeypatch, EvaluateJob.code)
    assert stale_jobs(place, jobs, jobs) == [search, test]
    assert stale_beginnings(place, jobs) == []


def test_changed_meta_training_takes_all_that_used_the_model_with_it(finished, monkeypatch) -> None:
    place, jobs, everything = finished
    change(monkeypatch, "anml.meta_train")
    assert stale_jobs(place, jobs, jobs) == list(everything)
    assert stale_beginnings(place, jobs) == [everything[0].working(place)]


def test_what_read_a_stale_model_goes_too_when_only_the_model_is_asked_for(
    finished, monkeypatch
) -> None:
    """Else its parts would be taken for current once the model is made again."""
    place, jobs, (train, search, test) = finished
    change(monkeypatch, "anml.meta_train")
    assert stale_jobs(place, {train: []}, jobs) == [train, search, test]
    assert stale_jobs(place, {test: []}, jobs) == []


def test_a_result_that_does_not_say_its_code_is_stale_and_a_damaged_one_is_told(finished) -> None:
    place, jobs, (_, _, test) = finished
    path = test.result(place)
    part = json.loads(path.read_text())
    del part["code"]
    path.write_text(json.dumps(part))
    assert stale_jobs(place, jobs, jobs) == [test]
    path.write_text("{")
    assert "damaged" in refusal(lambda: stale_jobs(place, jobs, jobs))


def test_what_is_stale_is_set_aside_and_done_again(
    finished, monkeypatch, capsys, packed_noise: Path
) -> None:
    place, jobs, (train, search, test) = finished
    before = test.result(place).read_text()
    change(monkeypatch, EvaluateJob.code)
    done = []
    monkeypatch.setattr("anml.running.pipeline.run_jobs", lambda *a: done.append(a))
    do(place, str(packed_noise), jobs, 1, RunLog(place.folder / "logs"))
    error = capsys.readouterr().err
    assert "other code than this made 2 files" in error
    assert "--keep" in error
    (stale,) = (place.folder / "stale").iterdir()
    aside = stale / test.result(place).relative_to(place.folder)
    assert aside.read_text() == before
    assert not test.result(place).exists()
    assert not search.result(place).exists()
    assert train.result(place).is_file()
    assert len(done) == 1


def test_what_is_stale_stays_where_the_disk_has_no_room_to_make_it_again(
    finished, monkeypatch, packed_noise: Path
) -> None:
    place, jobs, everything = finished
    change(monkeypatch, "anml.meta_train")
    monkeypatch.setattr(disk, "free_bytes", lambda folder: disk.SPARE_BYTES)
    monkeypatch.setattr("anml.running.pipeline.run_jobs", lambda *a: None)
    args = (str(packed_noise), jobs, 1, RunLog(place.folder / "logs"))
    assert "GB free and the run needs" in refusal(lambda: do(place, *args))
    assert all(job.result(place).is_file() for job in everything)
    do(replace(place, keep=True), *args)  # which writes nothing


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rates", "length"])
def test_what_a_measuring_job_meta_trained_with_other_code_is_done_again_too(
    kind: str, tiny: Profile, noise_drawings: Drawings, tmp_path: Path, packed_noise: Path
) -> None:
    """Else its old model would be taken for one of this code as soon as its part is set aside."""
    place = Place(replace(tiny, rate_search_iterations=3), tmp_path)
    rates = {"oml_inner_rate": 0.03, "oml_outer_rate": 1e-3}
    job = {
        "rates": RateJob("oml", tuple(rates.items()), ("OML",), (2,)),
        "length": LengthJob(0, 4, 0),
    }[kind]
    job.run(place, noise_drawings, lambda n: None)
    models = sorted(tmp_path.rglob("*.safetensors"))
    assert len(models) == 2
    for path in models:
        tensors, header = load_checkpoint(path)
        save_checkpoint(path, tensors, header | {"code": "other"})
    job.run(replace(place, keep=True), noise_drawings, lambda n: None)
    assert {made_by(path) for path in models} == {"other"}
    parts = sorted(tmp_path.rglob("parts/*.json"))  # a length has pieces of its own
    for path in parts:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "other"}))
    do(place, str(packed_noise), {job: []}, 1, RunLog(tmp_path / "logs"))
    assert {made_by(path) for path in models} == {code_state("anml.meta_train", job.rows[0])}
    (stale,) = (tmp_path / "stale").iterdir()
    assert len(list(stale.rglob("*.safetensors"))) == 2
    assert len(list(stale.rglob("parts/*.json"))) == len(parts)
    assert "other" not in {made_by(path) for path in parts}


def test_keep_takes_results_as_they_are(finished, monkeypatch, packed_noise: Path) -> None:
    place, jobs, _ = finished
    change(monkeypatch, "anml.meta_train", EvaluateJob.code)
    monkeypatch.setattr("anml.running.pipeline.run_jobs", lambda *a: None)
    kept = Place(place.profile, place.folder, keep=True)
    do(kept, str(packed_noise), jobs, 1, RunLog(place.folder / "logs"))
    assert all(job.result(place).is_file() for job in jobs)


def test_tables_leave_out_what_is_stale(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch
) -> None:
    place = Place(tiny, tmp_path)
    job = EvaluateJob(POINT, 0)
    write_part(job, place, {"odd": [{"x": 1}]}, 1.0)
    assert gather(place, noise_drawings)[1] == len(plan(tiny)) - 1
    change(monkeypatch, EvaluateJob.code)
    assert "nothing that is finished" in refusal(lambda: gather(place, noise_drawings))
    kept = Place(tiny, tmp_path, keep=True)
    assert gather(kept, noise_drawings)[1] == len(plan(tiny)) - 1


def test_two_groups_of_a_run_do_not_set_aside_at_once(
    finished, monkeypatch, packed_noise: Path
) -> None:
    place, jobs, (*_, test) = finished
    change(monkeypatch, EvaluateJob.code)
    refused = []

    def watched(place: Place, paths: list[Path]) -> Path:
        with pytest.raises(AnmlError) as error, locked(place.folder / STALE_LOCK, "stale"):
            pass
        refused.append(error)
        return set_aside(place, paths)

    monkeypatch.setattr("anml.running.pipeline.set_aside", watched)
    monkeypatch.setattr("anml.running.pipeline.run_jobs", lambda *a: None)
    do(place, str(packed_noise), jobs, 1, RunLog(place.folder / "logs"))
    assert len(refused) == 1
    assert not test.result(place).exists()


def test_setting_aside_again_keeps_what_was_set_aside_before(tiny: Profile, tmp_path: Path) -> None:
    place = Place(tiny, tmp_path)
    for text in ("old", "new"):
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / "x.json").write_text(text)
        set_aside(place, [tmp_path / "parts" / "x.json"])
    kept = sorted((tmp_path / "stale").iterdir())
    assert [(one / "parts" / "x.json").read_text() for one in kept] == ["old", "new"]
