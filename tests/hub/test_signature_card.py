"""The card of a checkpoint for signatures says what people must know before they use it."""

import yaml

from siamese.hub.card import model_card

ROW = {
    "eer_skilled": 0.1234,
    "eer_skilled_per_writer": 0.1,
    "eer_random": 0.03,
    "auc_skilled": 0.95,
    "intervals": {"eer_skilled": [0.08, 0.17]},
}
CONFIG = {
    "preprocessing": {"kind": "signature"},
    "storage": "shared",
    "training": {
        "steps": 500,
        "images": 32_000,
        "signatures": {"data": "set.zip", "training": {"a": [], "b": []}, "validation": {"c": []}, "test": {"d": []}},
    },
    "figures": {
        "signatures": {
            "writers_scored": 12,
            "forgeries": "skilled forgeries",
            "by_references": {"1": ROW, "5": ROW | {"eer_random": None}},
            "operating_points": {"strict": {"threshold": 0.9, "far": 0.01, "far_random": None, "frr": 0.4}},
            "leak_probe": {"ink_darkness": 0.51},
            "leak_probe_scored": {"ink_darkness": 0.47},
        }
    },
}


def card_text(*given: object, **named: object) -> str:
    return str(model_card(*given, **named))


def test_figures_data_terms_and_limits_are_on_the_card():
    card = card_text("user/signatures", CONFIG, ["figures/signatures_det.png"])
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "other"
    metrics = header["model-index"][0]["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [0.1234, 0.1234]
    assert "| 12 writers | skilled forgeries | 1 | 12.34 % | 8.0 to 17.0 % | 10.00 % | 3.00 % | 0.950 |" in card
    assert "| 12 writers | skilled forgeries | 5 | 12.34 % | 8.0 to 17.0 % | 10.00 % |  | 0.950 |" in card
    assert "| strict | 0.900 | 1.00 % |  | 40.00 % |" in card
    assert "of the whole set tell genuine from forged (AUC; 0.5 is chance): ink darkness 0.51" in card
    assert "of the writers scored tell genuine from forged (AUC; 0.5 is chance): ink darkness 0.47" in card
    assert "2 trained, 1 chose recipe and thresholds, 1 were kept for the test" in card
    assert "research\nand demonstration only" in card
    assert "does not prove that a signature is genuine" in card
    assert 'verifier.verify(["a.png"], "b.png")' in card
    assert "all but the 9216 x 4096 layer" in card
    assert "![Detection error tradeoff" in card
    assert "signatures_roc.png" not in card


def test_what_counts_beside_the_network_is_told_where_it_does():
    entry = CONFIG["figures"]["signatures"]
    measured = {"parts_alone": {"network": ROW, "profile": ROW | {"eer_skilled": 0.2}}, "stranger_probe": 0.448}
    config = CONFIG | {"verification": {"fusion": {"bias": 0.5}}, "figures": {"signatures": entry | measured}}
    card = card_text("user/signatures", config)
    assert "Bulacu and Schomaker" in card
    assert "| the network | 12.34 % | 8.0 to 17.0 % | 3.00 % | 0.950 |" in card
    assert "| their height and direction from left to right | 20.00 % | 8.0 to 17.0 % | 3.00 % | 0.950 |" in card
    assert "above 0.5 would point to the scanner): 0.45." in card
    plain = card_text("user/signatures", CONFIG)
    assert "Bulacu" not in plain
    assert "alone, with one reference" not in plain
    assert "above 0.5 a scanner" not in plain


def test_errors_on_collections_left_out_have_a_table():
    points = {name: {"threshold": 0.5, "far": 0.25, "frr": 0.1} for name in ("strict", "balanced", "lenient")}
    entry = {
        "collection": "tablet",
        "writers": 40,
        "forgeries": "skilled forgeries",
        "by_references": {"1": {"eer_skilled": 0.17, "operating_points": points}},
    }
    card = card_text("user/signatures", CONFIG | {"verification": {"left_out": [entry]}})
    assert "## On collections it had never seen" in card
    assert "| tablet (40 writers) | skilled forgeries | 1 | 17.00 % | 25.00 % | 10.00 % |" in card
    assert "had never seen" not in card_text("user/signatures", CONFIG)


def test_a_card_without_figures():
    card = card_text("user/signatures", {"preprocessing": {"kind": "signature"}, "storage": "float32"})
    assert "## Results" not in card
    assert "## Terms" in card
    assert "model-index" not in card


def test_characters_have_their_own_card():
    assert "## Terms" not in card_text("user/one-look", {"preprocessing": {"kind": "character"}})


def test_every_collection_that_was_measured_has_its_rows():
    first = CONFIG["figures"]["signatures"] | {"data": "place/one.zip"}
    other = {"writers_scored": 3, "data": "other.zip", "forgeries": "the same name by other writers"}
    other["by_references"] = {"3": ROW}
    config = CONFIG | {"figures": {"signatures": first, "collections": [first, other]}}
    card = card_text("user/signatures", config)
    assert "| 12 writers of one | skilled forgeries | 1 | 12.34 % |" in card
    assert "| 3 writers of other | the same name by other writers | 3 | 12.34 % |" in card
    assert "In detail, of 12 writers of one:" in card
    names = [result["dataset"]["name"] for result in yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]]
    assert names == ["12 writers of one that it has not seen", "3 writers of other that it has not seen"]
