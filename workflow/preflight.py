"""Check what the user asked for, before anything is installed or computed.

Needs the standard library only: `make` runs it with any Python it finds, without site-packages.
On success it prints DATA as the rest of the workflow wants it (names as they are, files as absolute
paths); on a problem it prints one line and exits with status 2.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from anml.errors import AnmlError  # noqa: E402

NAMED_SOURCES = ("auto", "glyphs", "omniglot")


def check_python(version: tuple[int, int]) -> None:
    """Raise `AnmlError` unless `version` (major, minor) is the one everything is pinned for."""
    if tuple(version) != (3, 11):
        found = ".".join(str(part) for part in version)
        raise AnmlError(
            f"Python 3.11 is needed, this is {found} ({sys.executable}); install 3.11, or name it: "
            "make ... PYTHON=/path/to/python3.11"
        )


def check_name(kind: str, name: str, allowed: list[str]) -> None:
    """Raise `AnmlError` with the allowed names unless `name` is one of them."""
    if name in allowed:
        return
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise AnmlError(f"unknown {kind} '{name}'{hint}; choose one of: {', '.join(allowed)}")


def resolve(path: str, stand: str) -> Path:
    """The absolute path of the existing file that a user who stands in `stand` calls `path`."""
    # The shell's idea of the working folder is stale when a program started make elsewhere, so
    # the project's own folder is the second place to look.
    places = [Path(stand) / Path(path).expanduser(), ROOT / path]
    for place in places:
        if place.is_file():
            return place.resolve()
    raise AnmlError(
        f"no data file at {places[0]}; DATA is one of {', '.join(NAMED_SOURCES)} or the path of a "
        "packed .npz file (`anml data pack` writes one)"
    )


def resolve_data(data: str, stand: str, configured: str | None) -> str:
    """DATA with files made absolute; `configured` is the value of ANML_DATA, checked where used.

    'omniglot' stays a name where it means the same file from the project's folder: what is found is
    then held to be Omniglot.
    """
    if data == "glyphs":
        return data
    if data not in NAMED_SOURCES:
        return str(resolve(data, stand))
    if configured:
        try:
            found = resolve(configured, stand)
        except AnmlError:
            raise AnmlError(
                f"the environment variable ANML_DATA names no file: {configured}; set it to a "
                "packed .npz file, or unset it"
            ) from None
        same = (ROOT / Path(configured).expanduser()).resolve() == found
        return data if data == "omniglot" and same else str(found)
    return data


def profile_names() -> list[str]:
    """The names of the profiles, in their order."""
    from anml.profiles import PROFILES

    return list(PROFILES)


def notebook_names() -> list[str]:
    """The names that `make rerun NOTEBOOK=` takes."""
    from notebook_table import ALL, read_rows

    return [ALL, *(row.output for row in read_rows())]


def main(arguments: list[str] | None = None) -> int:
    """Check the options that are given; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile")
    parser.add_argument("--data")
    parser.add_argument("--notebook")
    parser.add_argument("--stand", default=os.getcwd(), help="the folder that DATA starts from")
    options = parser.parse_args(arguments)
    try:
        check_python(sys.version_info[:2])
        if options.profile is not None:
            check_name("PROFILE", options.profile, profile_names())
        if options.notebook is not None:
            name = options.notebook.rpartition("/")[2].removesuffix(".ipynb")
            check_name("NOTEBOOK", name, notebook_names())
        if options.data is not None:
            print(resolve_data(options.data, options.stand, os.environ.get("ANML_DATA")))
    except AnmlError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
