"""The card of the published data set, Omniglot."""

from typing import TYPE_CHECKING

from siamese.hub.card import front_matter

if TYPE_CHECKING:
    import datasets


def data_file(split: str) -> str:
    """Returns the path of a split in the repository."""
    return f"data/{split}-00000-of-00001.parquet"


def dataset_card(repo_id: str, splits: "datasets.DatasetDict") -> str:
    """Returns the data set card: its header, a table of the splits, the columns and an example."""
    metadata = {
        "license": "mit",
        "pretty_name": "Omniglot",
        "task_categories": ["image-classification"],
        "tags": ["omniglot", "one-shot-learning", "few-shot-learning", "handwriting"],
        "size_categories": ["10K<n<100K" if sum(map(len, splits.values())) >= 10_000 else "n<10K"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": name, "path": data_file(name)} for name in splits]}
        ],
    }
    rows = []
    for name, split in splits.items():
        alphabets = set(split["alphabet"])
        characters = set(zip(split["alphabet"], split["character"], strict=True))
        drawers = len(set(split["drawer"]))
        rows.append(f"| {name} | {len(alphabets)} | {len(characters):,} | {drawers} | {len(split):,} |")
    return "\n".join(
        [
            front_matter(metadata),
            "",
            "# Omniglot",
            "",
            "Handwritten characters of many alphabets, each drawn once by each of twenty people: the data set of Lake,",
            "Salakhutdinov and Tenenbaum (2015), with its own split into background and evaluation alphabets.",
            "",
            "| split | alphabets | characters | drawers | drawings |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "- `image`: PNG, dark ink on white, 105 x 105",
            "- `alphabet`: a class label with the alphabet's name",
            "- `character`: the character's number within its alphabet, from 1",
            "- `drawer`: who drew it, from 1; the same number in two alphabets need not be the same person",
            "",
            "```python",
            "from datasets import load_dataset",
            f'omniglot = load_dataset("{repo_id}")',
            "```",
            "",
            "Train on the background alphabets only; the evaluation alphabets are for the final evaluation.",
            "",
            "Source: B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic",
            "program induction. Science 350, 2015; <https://github.com/brendenlake/omniglot>, MIT licence.",
            "",
        ]
    )
