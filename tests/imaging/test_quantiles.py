"""Medians and quantiles are NumPy's, to the last bit: thresholds hang on them."""

import numpy as np
import pytest

from siamese.imaging.quantiles import median, quantile


@pytest.mark.parametrize("size", [1, 2, 3, 40, 1001, 7680])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_they_are_numpy_s(size, kind):
    values = np.random.default_rng(size).normal(120, 40, size).clip(0, 255).astype(kind)
    assert median(values) == float(np.median(values))
    for share in (0.0, 0.01, 0.3, 0.5, 0.75, 0.9, 0.995, 1.0):
        assert quantile(values, share) == float(np.quantile(values, share))


def test_values_may_lie_in_rows_and_columns():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]  # 0, 2, 4, 6, 8, 10
    assert median(values) == 5
    assert quantile(values, 0.25) == 2.5
