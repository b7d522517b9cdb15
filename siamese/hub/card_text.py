"""What the cards of characters and of signatures have in common: tables, shares, and the sections on use and files."""

from typing import Any

PAPER = "https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf"

CITATION = """## Sources

- G. Koch, R. Zemel, R. Salakhutdinov: Siamese Neural Networks for One-shot Image Recognition. ICML Deep Learning
  Workshop, 2015.
- B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic program
  induction. Science 350, 2015. Omniglot is theirs (MIT licence)."""


def loading(repo_id: str, loader: str, answer: str) -> str:
    """How to use a model in three lines.

    Args:
        repo_id: "user/name".
        loader: Name of the function of `siamese` that loads it.
        answer: A call of what `loader` returns.
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
    return "\n".join([head, "| --- " * (head.count("|") - 1) + "|", *rows])


def share(value: float | None) -> str:
    """In per cent; empty for None."""
    return "" if value is None else f"{100 * value:.2f} %"


def share_range(interval: list[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def files_section(storage: str | None) -> str:
    if storage == "int8":
        weights = "the 9216 x 4096 layer as int8 with a scale for each row, the rest float16; our loader restores them"
    elif storage == "shared":
        weights = "all but the 9216 x 4096 layer, as float16; `config.json` names the bundled weights that have it"
    else:
        weights = "plainly named float32 tensors, which safetensors reads without any of our code"
    return (
        f"## Files\n\n`model.safetensors` ({weights}), `config.json` (activation, how images are prepared, SHA-256 of "
        "the weights, threshold and calibration, all figures) and this card. There is no pickle."
    )


def pictures_section(pictures: dict[str, str], present: Any) -> list[str]:
    """A picture with its text for each path that is present."""
    return [f"![{text}]({path})" for path, text in pictures.items() if path in present]
