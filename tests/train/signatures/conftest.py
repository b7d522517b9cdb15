"""What the tests of training on signatures share."""

import pytest

from siamese.signatures.dataset import synthetic_signatures


@pytest.fixture(scope="session")
def signatures():
    """Five writers with five genuine signatures and three forgeries each."""
    return synthetic_signatures(5, 5, 3, seed=1)
