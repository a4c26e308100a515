"""The one exception that is meant for the user's eyes, and what its messages guess."""

import difflib
from collections.abc import Iterable


class AnmlError(Exception):
    """A problem the user can mend.

    The message is one line: what was wrong, what is allowed, what to do next. The command line
    prints it as `error: ...` and exits with status 2; a notebook shows it without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Give IPython one line in place of a traceback."""
        return [f"error: {self}"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' with the one of `known` that `name` is nearest to; '' if none is near.

    Capital letters do not count.
    """
    folded = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    return f" (did you mean {folded[near[0]]}?)" if near else ""
