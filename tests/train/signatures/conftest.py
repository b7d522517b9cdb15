"""What the tests of training on signatures share."""

import pytest

from siamese.signatures.dataset import synthetic_signatures


@pytest.fixture(scope="session")
def signatures():
    """Five writers with four genuine signatures and two forgeries each."""
    return synthetic_signatures(5, 4, 2, seed=1)
