"""Run a notebook through papermill and write a clean executed copy.

    python workflow/execute.py notebooks/x.ipynb OUT.ipynb -p profile smoke -p data glyphs

The kernel works in the source notebook's own folder, as it does in Jupyter. The copy holds nothing
that differs from one run to the next (times, versions, warnings, random identifiers), so running
again with the same inputs gives the same bytes. OUT is replaced only by a complete copy: after a
failing cell or Ctrl-C the old one still stands.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from anml.errors import AnmlError
from anml.store.files import replacing

# A loaded machine starts a kernel slowly; papermill's own minute is then too short.
KERNEL_START_S = 300
INJECTED_ID = "injected-parameters"
CONTENTS = Path(__file__).resolve().parent.parent / "_toc.yml"
PAGE_LINK = re.compile(r"\]\((\w+)\.ipynb(?=[)#])")
FIGURE_LINK = re.compile(r"\{download\}`[^`]*<\.\./\.\./figures/[^`]*`[,;]\s*")


def parameters_of(source: Path) -> dict[str, str]:
    """Return the parameters of a notebook's cell tagged `parameters`: names and default texts."""
    try:
        found = papermill.inspect_notebook(str(source))
    except FileNotFoundError as problem:
        raise AnmlError(f"there is no notebook {source}; see the folder notebooks/") from problem
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as problem:
        raise AnmlError(f"{source} is not a notebook: it is damaged or another format") from problem
    return {name: entry["default"] for name, entry in found.items()}


def typed(text: str, default: str) -> Any:
    """Return a value from the command line with the type that the parameter's default has.

    What does not fit stays text: the notebook's own check then says what is allowed.
    """
    try:
        kind = type(ast.literal_eval(default))
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if kind is float and type(value) is int:
        return float(value)
    return text if kind is str else value


def chosen(source: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the values to inject, refusing names that the notebook does not have."""
    defaults = parameters_of(source)
    unknown = [name for name, _ in pairs if name not in defaults]
    if unknown:
        allowed = ", ".join(defaults) or "none"
        raise AnmlError(
            f"{source.name} has no parameter {', '.join(map(repr, unknown))}; it has: {allowed}"
        )
    return {name: typed(text, defaults[name]) for name, text in pairs}


def execute(source: Path, parameters: dict[str, Any], bar: bool = True) -> NotebookNode:
    """Return the executed notebook; nothing is written but a progress `bar`.

    Raises:
        AnmlError: a cell failed (the cell's own line where it raised an `AnmlError`), or the kernel
            died.
    """
    # The kernel's own folder: the reader's IPython start-up files must not change a figure, and
    # kernels that run side by side must share neither a history file nor a range of ports.
    with tempfile.TemporaryDirectory() as folder, _environment(IPYTHONDIR=folder):
        manager = {"connection_file": f"{folder}/kernel.json"}
        if os.name == "posix":
            manager["transport"] = "ipc"
        try:
            return papermill.execute_notebook(
                *(str(source), None),
                parameters=parameters,
                cwd=str(source.resolve().parent),
                progress_bar=bar,
                start_timeout=KERNEL_START_S,
                config=Config({"KernelManager": manager}),
            )
        except PapermillExecutionError as problem:
            if problem.ename == AnmlError.__name__:
                raise AnmlError(problem.evalue) from problem
            first = " ".join(str(problem.evalue).split())
            raise AnmlError(
                f"{source.name} failed in cell {problem.cell_index + 1}: {problem.ename}: {first}"
            ) from problem
        except (DeadKernelError, CellTimeoutError) as problem:
            raise AnmlError(
                f"{source.name}: its kernel died, perhaps for want of memory; close other programs "
                "or choose a smaller profile"
            ) from problem
        except RuntimeError as problem:
            # nbclient: the kernel did not start or did not answer.
            raise AnmlError(f"{source.name}: {' '.join(str(problem).split())}") from problem


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs without stderr, and stdout that came in pieces, as timing has it, in one."""
    result: list[NotebookNode] = []
    for output in outputs:
        printed = output.output_type == "stream"
        if printed and output.name == "stderr":
            continue
        if printed and result and result[-1].output_type == "stream":
            result[-1].text += output.text
        else:
            result.append(output)
    return result


@cache
def pages() -> dict[str, str | None]:
    """The book's pages by name, with the title that its table of contents gives to some."""

    def entries(part: dict) -> Iterator[dict]:
        for entry in [*part.get("parts", []), *part.get("chapters", []), *part.get("sections", [])]:
            yield entry
            yield from entries(entry)

    contents = yaml.safe_load(CONTENTS.read_text(encoding="utf-8"))
    return {Path(e["file"]).name: e.get("title") for e in entries(contents) if "file" in e}


def among_siblings(text: str, ending: str) -> str:
    """`text` with its links to pages turned to those pages' copies with the same `ending` (that of
    another profile), where the book has them and the text doesn't link to both."""

    def turned(link: re.Match) -> str:
        sibling = link[1] + ending
        there = sibling in pages() and f"]({sibling}.ipynb" not in text
        return f"]({sibling}.ipynb" if there else link[0]

    return PAGE_LINK.sub(turned, text)


def clean(notebook: NotebookNode, source: str, out: str) -> NotebookNode:
    """Remove in place what differs from run to run; `source` and `out` are the two names' stems.

    A copy under another name (another profile's results, the reader's own run) gets figure labels
    of its own: names that begin with the source's begin with the copy's instead, since a label may
    occur once in a book. It bears the title that the table of contents has for it, if any, and
    links to other pages' copies for the same profile. And it loses its links to the figure's files,
    which are not this copy's.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    count = 0
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.id = INJECTED_ID
            cell.metadata.tags = [*tags, "remove-cell"]
        elif not tags:
            cell.metadata.pop("tags", None)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        label, old = figure.get("name", ""), source.replace("_", "-")
        if label.startswith(old):
            figure.name = out.replace("_", "-") + label.removeprefix(old)
        if cell.cell_type != "code":
            if out != source:
                cell.source = FIGURE_LINK.sub("", cell.source)
                if out.startswith(source):
                    cell.source = among_siblings(cell.source, out.removeprefix(source))
                if title := pages().get(out):
                    cell.source = re.sub(r"\A# .*", f"# {title}", cell.source)
            continue
        cell.outputs = joined(cell.outputs)
        if cell.source.strip():
            count += 1
            cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    return notebook


def run(source: Path, out: Path, pairs: list[tuple[str, str]], bar: bool = True) -> None:
    """Execute `source` with the parameters in `pairs`, clean it, and replace `out` by it."""
    if out.exists() and source.exists() and out.samefile(source):
        raise AnmlError(f"{out} is the source itself; give another name for the executed copy")
    notebook = clean(execute(source, chosen(source, pairs), bar), source.stem, out.stem)
    nbformat.validate(notebook)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            nbformat.write(notebook, temporary)
    except OSError as problem:
        raise AnmlError(
            f"cannot write {out}: {problem.strerror or problem}; choose a writable folder"
        ) from problem


def main(arguments: list[str] | None = None) -> int:
    """Return 0, or 2 after a problem that one line explains, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path, help="the source, without outputs")
    parser.add_argument("out", type=Path, help="the executed copy to write")
    parser.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a value for one of the notebook's parameters",
    )
    parser.add_argument("--no-bar", action="store_true", help="without a progress bar")
    options = parser.parse_args(arguments)
    pairs = [tuple(pair) for pair in options.parameter]
    try:
        run(options.notebook, options.out, pairs, bar=not options.no_bar)
    except AnmlError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
