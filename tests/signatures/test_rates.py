"""The range of error rates over collections that training left out, by hand."""

from siamese.signatures.rates import BY_OTHERS, SKILLED, RateRange, rate_ranges


def left_out(eer: float, far: float, frr: float, forgeries: str = SKILLED, references: str = "1") -> dict:
    point = {"threshold": 0.5, "far": far, "frr": frr}
    measured = {"eer_skilled": eer, "operating_points": {"balanced": point}}
    return {"collection": "a", "writers": 3, "forgeries": forgeries, "by_references": {references: measured}}


def test_the_range_runs_from_the_lowest_to_the_highest():
    found = rate_ranges([left_out(0.2, 0.25, 0.1), left_out(0.15, 0.05, 0.3)], 1)
    assert found == {"balanced": RateRange((0.05, 0.25), (0.1, 0.3), (0.175, 0.175))}


def test_only_collections_with_skilled_forgeries_count():
    assert rate_ranges([left_out(0.2, 0.25, 0.1), left_out(0.1, 0.01, 0.5, BY_OTHERS)], 1) == {
        "balanced": RateRange((0.25, 0.25), (0.1, 0.1), (0.175, 0.175))
    }
    assert rate_ranges([], 1) == {}


def test_for_more_references_than_were_measured_the_next_smaller_number_counts():
    three = [left_out(0.2, 0.25, 0.1, references="3")]
    assert rate_ranges(three, 2) == {}
    assert rate_ranges(three, 5) == rate_ranges(three, 3) != {}
