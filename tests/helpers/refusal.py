"""What every refusal has to be: one line for the user."""

from collections.abc import Callable

import pytest

from anml.errors import AnmlError


def refusal(call: Callable[[], object]) -> str:
    """The message of the `AnmlError` that `call` raises: one line."""
    with pytest.raises(AnmlError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message
