"""Parts that both model cards share: tables, percentages, and the sections on use and files."""

from typing import Any

PAPER = "https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf"

CITATION = """## Sources

- G. Koch, R. Zemel, R. Salakhutdinov: Siamese Neural Networks for One-shot Image Recognition. ICML Deep Learning
  Workshop, 2015.
- B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic program
  induction. Science 350, 2015. Omniglot is theirs (MIT licence)."""


def loading(repo_id: str, loader: str, answer: str) -> str:
    """Returns the section on how to use a model.

    Args:
        repo_id: "user/name".
        loader: Name of the function of `siamese` that loads the model.
        answer: A method call on the loaded model, as code.
    """
    name = loader.removeprefix("load_")
    return f"""## Use

With One Look installed (`pip install .` in a clone of it), three lines:

```python
from siamese import {loader}
{name} = {loader}("{repo_id}")
print({name}.{answer})
```

The network alone: `SiameseNetwork.from_pretrained("{repo_id}")`."""


def table(head: str, rows: list[str]) -> str:
    """Returns a Markdown table from its lines."""
    return "\n".join([head, "| --- " * (head.count("|") - 1) + "|", *rows])


def share(value: float | None) -> str:
    """Formats a fraction as a percentage; empty for None."""
    return "" if value is None else f"{100 * value:.2f} %"


def share_range(interval: list[float]) -> str:
    """Formats an interval of fractions as percentages."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def files_section(storage: str | None) -> str:
    """Returns the section on the files of the repository."""
    if storage == "int8":
        weights = "the 9216 x 4096 layer as int8 with a scale for each row, the rest as float16"
    elif storage == "shared":
        weights = "all but the 9216 x 4096 layer, as float16; `config.json` names the bundled weights that have it"
    else:
        weights = "float32 tensors that safetensors reads without this project's code"
    return (
        f"## Files\n\n`model.safetensors` ({weights}), `config.json` (activation, how images are prepared, SHA-256 of "
        "the weights, threshold and calibration, all figures) and this card. No file is a pickle."
    )


def pictures_section(pictures: dict[str, str], present: Any) -> list[str]:
    """Returns each picture that is present, with its text."""
    return [f"![{text}]({path})" for path, text in pictures.items() if path in present]
