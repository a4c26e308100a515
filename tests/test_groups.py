"""A run in groups: every job in one, no circle, names that files can have."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.profiles import PROFILES, Profile, find_profile
from anml.running import groups as module
from anml.running.groups import find_group, groups
from anml.running.jobs import Place, TrainJob
from anml.running.pipeline import run_group
from anml.running.plan import plan


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_job_is_in_one_group_and_waits_only_for_groups_before_it(profile: Profile) -> None:
    found = groups(profile)
    jobs = [job for group in found.values() for job in group.jobs]
    assert len(jobs) == len(set(jobs)) == len(plan(profile))
    done: set[str] = set()
    while len(done) < len(found):
        ready = {name for name, group in found.items() if done.issuperset(group.waits)} - done
        assert ready, "groups wait for one another in a circle"
        done |= ready
    assert all(re.fullmatch(r"[a-z-]+\.[a-z0-9-]+", name) for name in found)
    kinds = {group.kind for group in found.values()}
    assert {"meta-train", "meta-test", "probe", "paper-versus-code"} <= kinds


def test_a_groups_state_follows_its_code_and_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = find_profile("smoke")
    before = {name: group.state for name, group in groups(smoke).items()}
    more = groups(replace(smoke, n_classes=(5, 10, 20, 50)))
    assert more["meta-test.anml-sequential"].state != before["meta-test.anml-sequential"]
    assert more["meta-train.anml-seed0"].state == before["meta-train.anml-seed0"]
    real = module.code_state
    other = {"anml.meta_train": "!"}
    monkeypatch.setattr(module, "code_state", lambda m, *rows: real(m, *rows) + other.get(m, ""))
    after = {name: group.state for name, group in groups(smoke).items()}
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {name for name in before if name.startswith("meta-train.")}


def test_an_unknown_group_is_one_line() -> None:
    message = refusal(lambda: find_group(find_profile("smoke"), "probe.seed7"))
    assert message.startswith("unknown group 'probe.seed7'")
    assert "probe.seed0" in message


def test_a_group_says_what_has_to_run_before_it(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path)
    group = find_group(tiny, "probe.seed0")
    message = refusal(lambda: run_group(place, noise_drawings, str(packed_noise), group))
    assert "probe.seed0 needs meta-train anml, seed 0" in message
    assert "run meta-train.anml-seed0, meta-train.oml-seed0 first" in message


def test_within_a_group_jobs_keep_their_order(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation reads its search, which may be the shorter of the two."""
    place = Place(tiny, tmp_path)
    TrainJob("oml", 0).run(place, noise_drawings, lambda n: None)
    asked = []
    monkeypatch.setattr(
        "anml.running.pipeline.run_jobs", lambda place, data, jobs, *rest: asked.append(jobs)
    )
    group = find_group(tiny, "meta-test.oml-sequential")
    run_group(place, noise_drawings, "unused", group)
    whole = plan(tiny)
    for job, waits in asked[0].items():
        assert waits == [other for other in whole[job] if other != TrainJob("oml", 0)]
    assert any(asked[0].values())


@pytest.mark.slow
def test_a_group_does_its_jobs_and_leaves_a_log(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path)
    group = find_group(tiny, "meta-train.oml-seed0")
    run_group(place, noise_drawings, str(packed_noise), group)
    assert TrainJob("oml", 0).result(place).is_file()
    (log,) = (tmp_path / "logs").iterdir()
    text = log.read_text()
    assert "done: meta-train oml, seed 0" in text
    assert text.splitlines()[-1].endswith("everything asked for is finished")
