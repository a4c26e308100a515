"""Draw the workflow's rules and what each waits for, as Snakemake sees them, for the book.

    python workflow/draw_graph.py

Writes book/art/workflow.svg from `snakemake --rulegraph` at the profile paper, which has them all.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from anml.store.files import replacing

ROOT = Path(__file__).resolve().parents[1]
DRAWING = ROOT / "book" / "art" / "workflow.svg"
Edges = set[tuple[str, str]]

SAYS = {
    "meta_train": ("meta-train", "one model each"),
    "meta_test": ("meta-test", "one treatment and regime each"),
    "rates": ("search rates", "of the baselines"),
    "probe": ("probe", "one seed each"),
    # Below meta-test, so that no other's arrow goes through that.
    "paper_versus_code": ("paper against code", "one answer each"),
    "lengths": ("lengths", "of meta-training"),
    "head": ("head", "learned in other ways"),
    "tables": ("tables", "with provenance"),
    "pages": ("pages", "notebooks, by papermill"),
    "site": ("site", "jupyter-book"),
}
BOX = (204, 50)
GAP = (16, 40)
MARGIN = 6


def rule_edges() -> Edges:
    """Pairs (rule, rule that waits for it) of the workflow, as Snakemake prints them."""
    command = [str(Path(sys.executable).with_name("snakemake")), "site", "--rulegraph"]
    command += ["--snakefile", "workflow/Snakefile", "--cores", "1"]
    command += ["--config", "profile=paper", "data=glyphs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return read_edges(done.stdout)


def read_edges(text: str) -> Edges:
    """Pairs of labels of a graph in the DOT language, without loops and detours.

    A rule whose groups wait for one another has a loop; what is reached by another way is a detour.
    """
    labels = dict(re.findall(r'(\d+)\[label = "(\w+)"', text))
    edges = {(labels[a], labels[b]) for a, b in re.findall(r"(\d+) -> (\d+)", text)}
    edges = {(a, b) for a, b in edges if a != b}
    return {(a, b) for a, b in edges if not _reaches(a, b, edges - {(a, b)})}


def _reaches(start: str, end: str, edges: Edges) -> bool:
    return any(b == end or _reaches(b, end, edges) for a, b in edges if a == start)


def layers(edges: Edges) -> list[list[str]]:
    """Rules by how many follow them at most, the last one below; a layer in the order of `SAYS`."""
    names = {name for edge in edges for name in edge}
    above: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in above:
            after = [b for a, b in edges if a == name]
            above[name] = 1 + max(map(height, after), default=-1)
        return above[name]

    rows: list[list[str]] = [[] for _ in range(1 + max(map(height, names)))]
    for name in sorted(names, key=list(SAYS).index):
        rows[-1 - above[name]].append(name)
    return rows


def drawing(edges: Edges) -> str:
    """The graph as SVG that takes the page's colours."""
    rows = layers(edges)
    (wide, high), (between, below) = BOX, GAP
    full = max(len(row) for row in rows) * (wide + between) - between
    places = {}
    for depth, row in enumerate(rows):
        left = (full - len(row) * (wide + between) + between) / 2
        for number, name in enumerate(row):
            places[name] = (
                MARGIN + left + number * (wide + between),
                MARGIN + depth * (high + below),
            )
    size = (full + 2 * MARGIN, len(rows) * (high + below) - below + 2 * MARGIN)
    parts = [*_lines(edges, places), *_boxes(places)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="16" fill="none" '
        'stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _lines(edges: Edges, places: dict[str, tuple[float, float]]) -> Iterable[str]:
    wide, high = BOX
    for a, b in sorted(edges):
        (x0, y0), (x1, y1) = places[a], places[b]
        start, end = (x0 + wide / 2, y0 + high), (x1 + wide / 2, y1)
        # A line that passes a layer goes aside first, so that it runs between the boxes.
        turn = start[1] + GAP[1] - 4
        yield (
            f'  <path d="M{start[0]:g} {start[1]:g} C{start[0]:g} {turn:g} '
            f'{end[0]:g} {start[1]:g} {end[0]:g} {turn:g} V{end[1] - 4:g}"/>'
        )
        yield f'  <path d="M{end[0] - 5:g} {end[1] - 10:g} L{end[0]:g} {end[1] - 2:g} l5 -8"/>'


def _boxes(places: dict[str, tuple[float, float]]) -> Iterable[str]:
    wide, high = BOX
    text = 'text-anchor="middle" fill="currentColor" stroke="none"'
    for name, (x, y) in places.items():
        title, note = SAYS[name]
        yield (
            f'  <rect class="d-soft" x="{x:g}" y="{y:g}" width="{wide}" height="{high}" rx="10"/>'
        )
        middle = f'x="{x + wide / 2:g}"'
        yield f'  <text {middle} y="{y + 21:g}" font-weight="bold" {text}>{title}</text>'
        yield f'  <text {middle} y="{y + 40:g}" font-size="12" {text}>{note}</text>'


def main() -> None:
    """Draw the graph anew."""
    with replacing(DRAWING) as temporary:
        temporary.write_text(drawing(rule_edges()))


if __name__ == "__main__":
    main()
