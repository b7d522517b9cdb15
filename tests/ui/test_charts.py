import re

import pytest

from siamese.ui.charts import LABEL_GAP, Series, line_chart

LINES = (Series("one <b>", ((2, 1.0), (20, 0.9))), Series("two", ((20, 0.905),), "accent"))


def places(html: str, kind: str) -> list[float]:
    return [float(one) for one in re.findall(rf'class="{kind}[^"]*" style="[^"]*top:([\d.]+)%', html)]


def test_points_stand_at_their_values():
    html = line_chart(LINES, (2, 20), (0.8, 0.9, 1.0), "x", "A chart")
    assert places(html, "dot") == pytest.approx([0, 50, 47.5])
    assert 'points="0.00,0.00 100.00,50.00"' in html
    assert html.count("<polyline") == 1  # a single point is a mark


def test_labels_that_would_overlap_move_apart_and_stay_within():
    low = (Series("a", ((20, 0.8),)), Series("b", ((20, 0.801),)), Series("c", ((20, 0.802),)))
    ends = places(line_chart(low, (2, 20), (0.8, 1.0), "x", "A chart"), "end")
    assert sorted(ends) == pytest.approx([100 - 200 * LABEL_GAP, 100 - 100 * LABEL_GAP, 100], abs=0.02)
    assert ends[0] > ends[1] > ends[2]  # in the order of their values


def test_labels_are_text():
    html = line_chart(LINES, (2, 20), (0.8, 1.0), "<i>x", "<script>")
    assert "one &lt;b&gt;" in html
    assert "<i>x" not in html
    assert "<script>" not in html
