"""What the tests of the pages and of the server share."""

import gc
import warnings

import pytest


@pytest.fixture(scope="module", autouse=True)
def leftovers_collected():
    """Gradio asks for event loops where none runs, and leaves them open: they are collected before the next module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
