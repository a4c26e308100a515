"""The computing subcommands: what they print, and one line with status 2 for every bad value."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import outcome, values

from anml import cli
from anml.errors import AnmlError
from anml.profiles import PROFILES, Profile
from anml.running import pipeline
from anml.store.checkpoint import load_checkpoint, working_name
from anml.store.lock import locked


@pytest.fixture
def options(packed_noise: Path, tmp_path: Path) -> list[str]:
    return ["--data", str(packed_noise), "--out", str(tmp_path / "run"), *values()]


def test_profiles_are_listed_with_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "profiles")
    assert status == 0
    for profile in PROFILES.values():
        assert f"{profile.name}: {profile.summary}" in out
        assert f"    meta_iterations = {profile.meta_iterations}\n" in out
    assert "n_classes = 10,50,75,100,150,200,300,400,500,600" in out


def test_a_meta_training_that_another_process_is_at_is_refused(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with locked(folder / "locks" / "meta-train.oml-seed1", "its seed"):
        status, _, error = outcome(capsys, "meta-train", "oml", *options, "--seeds", "0-1")
        assert (status, error.count("\n")) == (2, 1)
        assert "meta-train.oml-seed1" in error
        assert "is in use by another run" in error
        assert outcome(capsys, "meta-train", "oml", *options, "--seeds", "0")[0] == 0
    log = next((folder / "logs").iterdir()).read_text()
    assert log.splitlines()[-1].endswith("finished")
    with locked(folder / pipeline.LOCK, "a whole run"):
        assert outcome(capsys, "meta-train", "oml", *options, "--seeds", "1")[0] == 2


def test_fewer_seeds_go_on_with_their_part(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of what was begun together, in whichever order; nobody may be at the others meanwhile."""
    folder = tmp_path / "run" / "checkpoints"
    asked = ("meta-train", "oml", *options)
    assert outcome(capsys, *asked, "--seeds", "1,0")[0] == 0
    for seed in (0, 1):
        (folder / f"oml-seed{seed}.safetensors").unlink()
    shared = folder / working_name("oml", (0, 1))
    assert shared.is_file()
    status, _, error = outcome(capsys, *asked, "--seeds", "0")
    assert (status, error.count("\n")) == (2, 1)
    assert "--resume" in error
    with locked(tmp_path / "run" / "locks" / "meta-train.oml-seed1", "its seed"):
        assert "meta-train.oml-seed1" in outcome(capsys, *asked, "--seeds", "0", "--resume")[2]
    assert shared.is_file()
    assert outcome(capsys, *asked, "--seeds", "0", "--resume")[0] == 0
    left = {working_name("oml", (seed,)) for seed in (0, 1)} | {"oml-seed0.safetensors"}
    assert {path.name for path in folder.iterdir()} == left


def test_meta_train_then_meta_test(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = outcome(capsys, "meta-train", "oml", *options, "--seeds", "0-1")
    assert status == 0
    paths = [tmp_path / "run" / "checkpoints" / f"oml-seed{s}.safetensors" for s in (0, 1)]
    assert out.splitlines() == [str(path) for path in paths]
    assert all(load_checkpoint(path)[1]["iteration"] == 8 for path in paths)
    for treatment in ("OML", "OML-OLFT", "Scratch"):
        status, out, _ = outcome(
            *(capsys, "meta-test", treatment, *options, "--n-classes", 3),
            *("--model-seed", 1, "--trajectories", 2, "--optimizer", "sgd"),
        )
        assert status == 0
        lines = out.splitlines()[2:]  # behind what they are of
        assert len(lines) == 2
        start = f"{treatment}, sequential, 3 classes, trajectory 1000: meta-test training"
        assert lines[0].startswith(start)
        assert "trajectory 1001" in lines[1]
        assert lines[1].endswith("%")


def test_run_hands_everything_on(
    options: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch,
    tmp_path: Path,
    tiny: Profile,
) -> None:
    asked = []

    def run(*arguments: object, **named: object) -> tuple[Path, int]:
        asked.append((arguments, named))
        return tmp_path / "tables", 7

    monkeypatch.setattr(pipeline, "run", run)
    chosen = ("--only", "ANML,", "--only", "probe")
    status, out, err = outcome(capsys, "run", *options, "--workers", 3, *chosen)
    assert (status, out) == (0, f"{tmp_path / 'tables'}\n")
    assert "data: omniglot" in err
    assert "7 jobs are missing" in err
    (profile, drawings, data, folder), named = asked[0]
    assert profile == tiny
    assert drawings.source == "omniglot"
    assert (data, folder) == (options[1], tmp_path / "run")
    assert named == {"device": "cpu", "workers": 3, "only": ["ANML,", "probe"], "keep": False}


def test_tables_are_gathered_from_what_is_finished(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = outcome(capsys, "run", *options, "--gather")
    assert (status, err.count("error:")) == (2, 1)
    assert "--gather" in err
    assert not (tmp_path / "run").exists()
    assert outcome(capsys, "meta-train", "oml", *options)[0] == 0
    status, out, err = outcome(capsys, "run", *options, "--gather")
    assert (status, out) == (0, f"{tmp_path / 'run' / 'results'}\n")
    assert "jobs are missing" in err
    assert {path.name for path in (tmp_path / "run" / "results").iterdir()} == {
        "meta_train_log.parquet",
        "stages.parquet",
    }


def test_a_run_of_no_job_is_one_line(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = outcome(capsys, "run", *options, "--only", "nonsense")
    assert status == 2
    assert "no job's name holds 'nonsense'" in err
    assert not (tmp_path / "run").exists()


def test_meta_test_under_a_regime(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("meta-test", "Scratch", *options, "--n-classes", 2, "--trajectories", 1)
    status, out, err = outcome(capsys, *arguments, "--regime", "oracle 20 epochs")
    assert status == 0
    assert "\nScratch, oracle 20 epochs, 2 classes, trajectory 0: " in out
    assert "600/600" in err


def test_a_run_that_is_interrupted_says_how_to_go_on(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path
) -> None:
    def run(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    status, _, err = outcome(capsys, "run", *options)
    assert status == 130
    last = err.splitlines()[-1]
    assert str(tmp_path / "run") in last
    assert last.endswith("run the same command to go on")


def test_without_out_the_folder_is_the_profiles(
    packed_noise: Path, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    monkeypatch.setattr(pipeline, "run", lambda *a, **_: folders.append(a[3]) or (a[3], 0))
    for extra in ([], ["--set", "meta_iterations=7"]):
        assert outcome(capsys, "run", "--data", packed_noise, *extra)[0] == 0
    assert folders[0] == Path("runs/smoke-omniglot")
    assert str(folders[1]).startswith("runs/smoke-omniglot-")


BAD = [
    (["meta-train", "anml", "--tf32"], "--device cuda"),
    (["meta-train", "anml", "--seeds", "0,5-3"], "write 0, or 0,1,2, or 0-9"),
    (["run", "--profile", "huge"], "smoke, quick, laptop, paper"),
    (["run", "--set", "meta_iterations"], "NAME=VALUE"),
    (["run", "--set", "meta_iterations=0"], "1 to"),
    (["run", "--set", "nonsense=1"], "choose one of"),
    (["run", "--set", "=1"], "choose one of"),
    (["run", "--data", "/nowhere.npz"], "no drawings"),
    (["run", "--device", "abacus"], "choose one of cpu"),
    (["run", "--device", "cuda:99"], "choose one of cpu"),
    (["run", "--set", "n_classes=[10, 50]"], "in brackets: write 10,50"),
    (["run", "--set", "meta_iteration=5"], "(did you mean meta_iterations?): choose one of"),
    (["run", "--workers", "0"], "1 to 1,024"),
    (["run", "--workers", "-2"], "1 to 1,024"),
    (["run", "--group", "probe.seed0", "--only", "probe"], "leave out --group or --only"),
    (["run", "--group", "probe.seed0", "--gather"], "leave out --group or --gather"),
    (["run", "--gather", "--only", "x", "--workers", "1"], "heed --only and --workers: leave out"),
    (["meta-train", "anml", "--keep"], "add --resume or leave it out"),
    (["meta-train", "nonsense"], "anml, oml, pretrain"),
    (["meta-train", "ANML"], "(did you mean anml?)"),
    (["meta-train", "scratch"], "never meta-trained: choose one of anml, oml, pretrain, anml-"),
    (["meta-train", "anml", "--seeds", "9" * 20], "0 to 999,999,999"),
    (["meta-train", "anml", "--seeds", "3,0-999999999"], "1,000 at a time"),
    (["meta-train", "anml", "--seeds", "a"], "0-9"),
    (["meta-train", "anml", "--seeds", ""], "0-9"),
    (["meta-train", "anml", "--seeds", "3-1"], "0-9"),
    (["meta-train", "anml", "--seeds", "0,0"], "0-9"),
    (["meta-train", "anml", "--seeds", "0-1-2"], "0-9"),
    (["meta-train", "anml", "--seeds=-1"], "0-9"),
    (["meta-train", "anml", "--threads", "0"], "1 to 1,024"),
    (["meta-train", "anml", "--threads", "9" * 20], "1 to 1,024"),
    (["meta-test", "anml"], "(did you mean ANML?): choose one of ANML, OML, OML-OLFT, Pretrain &"),
    (["meta-test", "ANML", "--optimizer", "rmsprop"], "adam, sgd"),
    (["meta-test", "ANML", "--regime", "backwards"], "sequential, oracle, oracle 20 epochs"),
    (["meta-test", "ANML", "--n-classes", "0"], "1 to 659"),
    (["meta-test", "ANML", "--n-classes", "660"], "1 to 659"),
    (["meta-test", "ANML", "--learning-rate", "0"], "1e-09 to 10"),
    (["meta-test", "ANML", "--learning-rate", "nan"], "1e-09 to 10"),
    (["meta-test", "ANML", "--learning-rate", "inf"], "1e-09 to 10"),
    (["meta-test", "ANML", "--model-seed", "-1"], "0 to 999,999,999"),
    (["meta-test", "ANML", "--model-seed", "9" * 20], "0 to 999,999,999"),
    (["meta-test", "ANML", "--trajectories", "0"], "1 to 1,000"),
]


@pytest.mark.parametrize(("arguments", "allowed"), BAD, ids=lambda v: " ".join(v)[:50])
def test_a_bad_value_is_one_line_and_status_2(
    arguments: list[str],
    allowed: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """And nothing is loaded, computed or written before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("anml.drawings.glyphs.draw", lambda **_: pytest.fail("drawings were made"))
    status, out, err = outcome(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert allowed in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_missing_is_one_line(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = outcome(capsys, "meta-test", "ANML", *options)
    assert status == 2
    assert "no checkpoint" in err
    assert err.count("\n") == 1


def contents(folder: Path) -> dict[Path, bytes]:
    """What lies there but the files of locks, which say who took them last."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {p: p.read_bytes() for p in files if p.parent.name != "locks" and p.name != "run.lock"}


def test_other_settings_in_the_same_folder_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert outcome(capsys, "meta-train", "pretrain", *options)[0] == 0
    before = contents(tmp_path)
    for command in (["meta-train", "pretrain"], ["meta-train", "anml"], ["run"]):
        status, _, err = outcome(capsys, *command, *options, "--set", "remember=5")
        assert status == 2
        assert "other settings" in err
        assert "--out" in err
    assert contents(tmp_path) == before


def test_an_unfinished_run_is_not_thrown_away(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run" / "checkpoints" / "anml-seeds0.resume.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"hours of work")
    status, _, err = outcome(capsys, "meta-train", "anml", *options)
    assert status == 2
    assert "--resume" in err
    assert path.read_bytes() == b"hours of work"


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(packed_noise: Path, tmp_path: Path) -> None:
    """A real process, a real SIGINT: one line, status 130, and the state of that iteration."""
    arguments = ["meta-train", "anml", "--data", packed_noise, "--out", tmp_path, "--threads", 1]
    code = "import sys; from anml.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments), *values(meta_iterations=1_000_000)],
        stderr=subprocess.PIPE,
        text=True,
    )
    begun = ""
    while "loss" not in begun:  # the bar shows it after the first iterations
        character = process.stderr.read(1)
        assert character, begun
        begun += character
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    path = tmp_path / "checkpoints" / "anml-seeds0.resume.safetensors"
    tensors, header = load_checkpoint(path)
    done = header["iteration"]
    assert last == (
        f"interrupted: stopped at iteration {done} of 1000000, saved in {path}: "
        "run the same command with --resume to go on"
    )
    assert tensors["log"].shape == (done, 1, 3)
    assert torch.isfinite(tensors["log"]).all()


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0,1,2", (0, 1, 2)), ("0-3,7", (0, 1, 2, 3, 7))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert cli.cli_run._seeds(text) == seeds


def test_seeds_of_no_kind() -> None:
    with pytest.raises(AnmlError, match="--seeds x"):
        cli.cli_run._seeds("x")


def test_meta_training_goes_on_from_recorded_models(
    packed_noise: Path, options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where there is no working checkpoint; where there is one, that decides."""
    recorded, folder = tmp_path / "run" / "checkpoints", tmp_path / "longer" / "checkpoints"
    assert outcome(capsys, "meta-train", "oml", *options)[0] == 0
    same = ["--data", packed_noise, "--from", recorded]
    short = ("--out", tmp_path / "short", *values())
    status, _, error = outcome(capsys, "meta-train", "oml", *same, *short)
    assert (status, "shorter" in error) == (2, True)
    same += ["--out", tmp_path / "longer"]
    command = ("meta-train", "oml", *same, *values(meta_iterations=12))
    assert outcome(capsys, *command)[0] == 0
    path = folder / "oml-seed0.safetensors"
    tensors, header = load_checkpoint(path)
    assert (header["iteration"], header["restarts"][0]["iteration"]) == (12, 8)
    path.unlink()
    assert outcome(capsys, *command)[0] == 2
    assert outcome(capsys, *command, "--resume")[0] == 0
    again, _ = load_checkpoint(path)
    bodies = (name for name in tensors if name != "log")
    assert all(torch.equal(tensors[name], again[name]) for name in bodies)
