"""How much the embedded drawings are like Omniglot, in numbers.

Draws them anew, measures both sources alike, prints the table and writes it to
results/reference/glyphs_vs_omniglot.csv (columns: source, measure, value, fingerprint).

    python benchmarks/glyphs_vs_omniglot.py --data omniglot28.npz
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from anml.data import Drawings, load
from anml.drawings import glyphs
from anml.drawings.packed import from_arrays
from anml.errors import AnmlError
from anml.figures.plot_drawings import COMPARISON, comparison_table
from anml.meta_testing.nearest import drawings_accuracy
from anml.store.files import replacing

OUT = Path(__file__).resolve().parent.parent / COMPARISON


def measures(drawings: Drawings) -> dict[str, float]:
    """1-nearest-neighbour accuracy on the evaluation classes' pixels, and how much ink there is."""
    return {
        "1-NN accuracy, first 15 writers known": drawings_accuracy(drawings.meta_test, how="first"),
        "1-NN accuracy, 15 shuffled writers known": drawings_accuracy(drawings.meta_test),
        "mean ink (0 to 1)": float(drawings.images.mean() / 255),
        "share of inked pixels (above half)": float(np.mean(drawings.images > 127)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="omniglot", help="a packed Omniglot .npz")
    omniglot = load(parser.parse_args().data)
    if omniglot.source != "omniglot":
        raise AnmlError("--data is not Omniglot: give the path of a packed Omniglot .npz")
    start = time.process_time()  # whatever else the machine does
    embedded = from_arrays(glyphs.draw(progress=True), "glyphs", "the embedded drawings")
    seconds = time.process_time() - start
    rows = [
        (drawings.source, measure, value, drawings.fingerprint)
        for drawings in (omniglot, embedded)
        for measure, value in measures(drawings).items()
    ]
    rows.append(("glyphs", "seconds to draw (processor time)", seconds, embedded.fingerprint))
    frame = pd.DataFrame(rows, columns=["source", "measure", "value", "fingerprint"])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with replacing(OUT) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    print(comparison_table(frame).to_string())


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
