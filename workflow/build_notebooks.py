"""Run the notebooks of notebooks.toml whose inputs changed; or rerun one of them elsewhere.

For the book: every row, into book/notebooks/ and figures/. A page is kept as it stands when neither
it nor anything it is made from changed since it was last made here (a hash under build/stamps/).
Recorded: the same from recorded results alone, which makes the pages that are committed.
For a rerun: one row, at the reader's profile and data, into build/ or a folder of their choice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

from notebook_table import ALL, Row, read_rows, row_named
from preflight import NAMED_SOURCES, ROOT

from anml.errors import AnmlError
from anml.process import usable_cores
from anml.profiles import PROFILES
from anml.running.plan import plan

STAMPS = ROOT / "build" / "stamps"
AT_ONCE = min(usable_cores(), 8)
"""Notebooks that run side by side, a process each; each takes up to half a gigabyte."""


def files_under(path: Path) -> Iterator[Path]:
    """`path` itself, or every file in it in a fixed order, without what Python leaves behind."""
    if path.is_file():
        yield path
    for inner in sorted(path.rglob("*")):
        if inner.is_file() and "__pycache__" not in inner.parts:
            yield inner


def digest(paths: list[Path], *facts: object) -> str:
    """One sha256 over `facts`, and over the names and contents of every file in `paths`."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for path in paths:
        for file in files_under(path):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{file.relative_to(path.parent).as_posix()} {content}\n".encode())
    return total.hexdigest()


def inputs_state(row: Row, fingerprint: str) -> str:
    """What a row's page is made from, in one hash."""
    paths = [
        ROOT / "notebooks" / f"{row.source}.ipynb",
        ROOT / "workflow" / "execute.py",
        ROOT / "_toc.yml",  # titles
        ROOT / "anml",
        ROOT / "constraints.txt",
        *(ROOT / path for path in row.inputs),
    ]
    return digest(paths, row.parameters, fingerprint)


def stamp_text(made_from: str, output: Path) -> str:
    """What a page was made from (`inputs_state`) and what it is now."""
    return f"{made_from} {digest([output])}"


def stamp_of(row: Row) -> Path:
    """Where the hash of the row's last making here is kept."""
    return STAMPS / f"{row.output}.sha256"


def is_current(row: Row, output: Path, fingerprint: str) -> bool:
    """Whether `output` is there and is what the row's notebook and inputs would make again."""
    stamp = stamp_of(row)
    return (
        output.is_file()
        and stamp.is_file()
        and stamp.read_text() == stamp_text(inputs_state(row, fingerprint), output)
    )


def call(*command: str) -> None:
    """Run a command that explains its own problems; SystemExit with its status if it fails."""
    if status := subprocess.run(command, cwd=ROOT).returncode:
        raise SystemExit(status)


def execute(row: Row, output: Path, bar: bool = False) -> None:
    """Run the row's notebook into `output`; `bar`: with a progress bar, which wants to be alone.

    Raises AnmlError when an input is missing, SystemExit when the notebook failed and said why.
    """
    source = ROOT / "notebooks" / f"{row.source}.ipynb"
    for path in (source, *(ROOT / path for path in row.inputs)):
        if not path.exists():
            raise AnmlError(
                f"{row.output} needs {path.relative_to(ROOT)}, which is not there: "
                "`make results` computes your own; the project's own files come with a clone"
            )
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "workflow" / "execute.py"), str(source), str(output)]
    command += [] if bar else ["--no-bar"]
    for name, value in row.parameters.items():
        command += ["-p", name, str(value)]
    call(*command)


def simulate(profile: str, data: str, only: Iterable[str]) -> None:
    """Compute what is missing of the run at `profile` on `data`; SystemExit if it fails.

    `only`: parts of the names of the jobs that are needed; none for all of them.
    """
    anml = str(Path(sys.executable).with_name("anml"))
    chosen = [word for text in only for word in ("--only", text)]
    call(anml, "run", "--profile", profile, "--data", data, *chosen)


def side_by_side(pieces: Iterable[Callable[[], None]]) -> None:
    """Do pieces of work, `AT_ONCE` at a time; once one has failed, no other is begun."""
    stopped = Event()

    def do(piece: Callable[[], None]) -> None:
        if stopped.is_set():
            return
        try:
            piece()
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            list(pool.map(do, pieces))
        finally:  # Ctrl-C too
            stopped.set()


def build(rows: list[Row], fingerprint: str) -> None:
    """Bring book/notebooks/ up to date with `rows`, all of them filled in."""

    def page(label: str, row: Row) -> None:
        output = ROOT / "book" / "notebooks" / f"{row.output}.ipynb"
        if is_current(row, output, fingerprint):
            print(f"{label}: unchanged", flush=True)
            return
        print(f"{label}: running", flush=True)
        start = time.monotonic()
        made_from = inputs_state(row, fingerprint)  # edited meanwhile, they make another page
        execute(row, output)
        stamp = stamp_of(row)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(stamp_text(made_from, output))
        print(f"{label}: done in {time.monotonic() - start:.0f} s", flush=True)

    total = len(rows)
    labels = [f"[{number}/{total}] {row.output}" for number, row in enumerate(rows, start=1)]
    side_by_side(partial(page, *each) for each in zip(labels, rows, strict=True))


def rerun_folders(out: str, stand: str) -> tuple[Path, str]:
    """Where a rerun puts its notebook, and its figures (as the notebook is to be told)."""
    if not out:
        return ROOT / "build" / "notebooks", "build/figures"
    folder = (Path(stand) / Path(out).expanduser()).resolve()
    if folder in (ROOT / "notebooks", ROOT / "book" / "notebooks"):
        raise AnmlError(f"OUT={out} holds the project's own notebooks; name another folder")
    return folder, str(folder)


def row_values(profile: str, source: str, recorded: bool) -> dict[str, str]:
    """What the names in braces of the table stand for, except {figures}."""
    run = f"runs/{profile}-{source}"
    return {
        "profile": profile,
        "source": source,
        "results": f"results/{profile}" if recorded else f"{run}/results",
        # Pages of recorded results must not replace the figure of another recorded page.
        "own_figures": "" if recorded else f"{run}/figures",
    }


def runs_at(row: Row, profile: str) -> bool:
    """Whether the profile runs anything of what the row shows."""
    try:
        plan(PROFILES[profile], row.only)
    except AnmlError:
        return False
    return True


def rerun(options: argparse.Namespace, source: str) -> None:
    """Run one notebook, or all, at the reader's profile and data, after computing their tables."""
    given = options.rerun.rpartition("/")[2].removesuffix(".ipynb")
    names = [row.output for row in read_rows() if given == ALL and not row.rerun_as] or [given]
    folder, figures = rerun_folders(options.out, options.stand)
    values = row_values(options.profile, source, recorded=False)
    rows = {name: row_named(name, read_rows()) for name in names}
    for name in [name for name, row in rows.items() if not runs_at(row, options.profile)]:
        text = f"{name}: the profile {options.profile} runs nothing of what it shows"
        if given != ALL:
            others = ", ".join(p for p in PROFILES if runs_at(rows[name], p))
            raise AnmlError(f"{text}; choose one of {others}")
        print(f"{text}; left out", flush=True)
        del rows[name]
    if any(row.simulates for row in rows.values()):
        only = () if given == ALL else [text for row in rows.values() for text in row.only]
        simulate(options.profile, options.data, only)

    def page(name: str, row: Row) -> None:
        row = row.filled(**{**values, "own_figures": figures, "figures": figures})
        execute(row, folder / f"{name}.ipynb", bar=len(rows) == 1)
        print(f"{row.source} at {options.profile} on {source}: {folder / name}.ipynb", flush=True)

    side_by_side(partial(page, *each) for each in rows.items())
    print(f"figures: {ROOT / figures}")


def main(arguments: list[str] | None = None) -> int:
    """Build every page, or rerun one notebook; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--data", required=True, help="auto, glyphs, omniglot or a packed file")
    parser.add_argument("--recorded", action="store_true", help="results/ in place of runs/")
    parser.add_argument("--rerun", default="", metavar="NOTEBOOK")
    parser.add_argument("--out", default="", help="the folder of a rerun")
    parser.add_argument("--stand", default=os.getcwd(), help="the folder that --out starts from")
    options = parser.parse_args(arguments)

    from anml import data

    try:
        drawings = data.load(options.data)
        if options.data not in NAMED_SOURCES:
            # The notebooks are told the name; where the file lies on this machine stays out of
            # pages that may be published.
            os.environ["ANML_DATA"] = options.data
        if options.rerun:
            rerun(options, drawings.source)
        else:
            values = row_values(options.profile, drawings.source, options.recorded)
            rows = [row.filled(figures="figures", **values) for row in read_rows()]
            build(rows, drawings.fingerprint)
    except AnmlError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
