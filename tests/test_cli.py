"""The frame of the command line, and `anml data`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anml import __version__, cli
from anml.commands import cli_data
from anml.drawings import data_fetch, packed
from anml.errors import AnmlError


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANML_DATA", raising=False)
    monkeypatch.setenv("ANML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(packed.SPLITS, "background", 2)
    monkeypatch.setitem(packed.SPLITS, "evaluation", 1)


@pytest.fixture
def drawings() -> packed.Drawings:
    arrays = {
        "images": np.zeros((3, 20, 28, 28), np.uint8),
        "character_id": np.arange(1, 4, dtype=np.int32),
        "alphabet": np.repeat(["Greek"], 3),
        "character": np.repeat(["character01"], 3),
        "split": np.array(["background", "background", "evaluation"]),
    }
    arrays["images"][..., 3] = 255
    return packed.from_arrays(arrays, "omniglot", "test")


def run_with(monkeypatch: pytest.MonkeyPatch, func: object) -> int:
    """Run a command line whose only command does `func`."""

    def add_parser(subparsers: cli.Subparsers) -> None:
        subparsers.add_parser("try").set_defaults(func=func)

    monkeypatch.setattr(cli, "GROUPS", (add_parser,))
    return cli.main(["try"])


def fail(error: BaseException) -> object:
    def func(_: argparse.Namespace) -> None:
        raise error

    return func


def test_the_exit_status_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, lambda _: None) == 0
    assert run_with(monkeypatch, lambda _: 7) == 7


def test_an_anml_error_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, fail(AnmlError("no such profile"))) == 2
    assert capsys.readouterr() == ("", "error: no such profile\n")


def test_ctrl_c_is_one_line_and_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_gpu_without_memory_is_one_line_and_other_faults_of_torch_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    short = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    assert run_with(monkeypatch, fail(short)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the GPU has too little free memory")
    with pytest.raises(RuntimeError, match="shapes"):
        run_with(monkeypatch, fail(RuntimeError("shapes do not fit")))


def test_a_reader_that_has_gone_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        code = "import sys; from anml.cli import main; sys.exit(main(['profiles']))"
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=gone, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")
    with pytest.raises(BrokenPipeError):
        run_with(monkeypatch, fail(BrokenPipeError()))


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, fail(ZeroDivisionError()))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"anml {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["data"], ["data", "pack"], ["dance"]])
def test_an_incomplete_or_unknown_command_is_status_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    assert "usage: anml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        (["meta-train", "anml", "--threads", "two"], "--threads: invalid int value: 'two'"),
        (["meta-test", "ANML", "--learning-rate", "-1e-3"], "--learning-rate: expected one"),
    ],
)
def test_an_option_without_a_value_that_it_can_have_is_one_line(
    argv: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: argument {wrong}")
    assert err.endswith(f": see `anml {argv[0]} --help`\n")


def test_the_package_run_as_a_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anml", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"anml {__version__}\n"


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser and all below it."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [parser] + [p for g in groups for sub in g.choices.values() for p in commands(sub)]


def test_every_command_and_every_option_explains_itself() -> None:
    for parser in commands(cli.build_parser()):
        assert parser.description, parser.prog
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, (parser.prog, action.dest)
        assert parser.format_help()


def test_every_command_that_stands_alone_has_something_to_do() -> None:
    for parser in commands(cli.build_parser()):
        groups = any(isinstance(a, argparse._SubParsersAction) for a in parser._actions)
        assert groups != callable(parser.get_default("func")), parser.prog


def test_help_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, anml.cli\n"
        "try: anml.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"drawings" in done.stdout


def test_data_option_is_auto_unless_given() -> None:
    parser = argparse.ArgumentParser()
    cli_data.add_data_option(parser)
    assert parser.parse_args([]).data == "auto"
    assert parser.parse_args(["--data", "glyphs"]).data == "glyphs"


def test_data_info(
    drawings: packed.Drawings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.npz"
    packed.write_packed(path, drawings)
    assert cli.main(["data", "info", str(path)]) == 0
    out = capsys.readouterr().out
    for part in ("Omniglot", str(path), drawings.fingerprint, "3 classes", "2 classes"):
        assert part in out


def test_data_info_of_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "info", str(tmp_path / "none.npz")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no drawings")
    assert err.count("\n") == 1


def test_data_fetch(
    drawings: packed.Drawings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[Path | None, bool]] = []

    def fetch(dest: Path | None, *, force: bool) -> tuple[packed.Drawings, Path]:
        asked.append((dest, force))
        return drawings, dest or tmp_path / "cache" / "omniglot28.npz"

    monkeypatch.setattr(data_fetch, "fetch", fetch)
    assert cli.main(["data", "fetch"]) == 0
    assert "ANML_DATA" not in capsys.readouterr().out
    own = tmp_path / "own.npz"
    assert cli.main(["data", "fetch", "--to", str(own), "--force"]) == 0
    assert f"ANML_DATA={own}" in capsys.readouterr().out
    assert asked == [(None, False), (own, True)]


def test_data_pack(
    drawings: packed.Drawings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[Path, Path]] = []

    def pack(src: Path, dest: Path) -> packed.Drawings:
        asked.append((src, dest))
        return drawings

    monkeypatch.setattr(data_fetch, "pack", pack)
    assert cli.main(["data", "pack", "folder", "file.npz"]) == 0
    assert asked == [(Path("folder"), Path("file.npz"))]
    assert drawings.fingerprint in capsys.readouterr().out
