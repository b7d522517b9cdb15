"""The model card of a published model: the README.md with its header for the Hub."""

from collections.abc import Collection

from huggingface_hub import ModelCard, ModelCardData

from siamese.hub import character_card, signature_card

TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

{{ sections | join("\n\n") }}

"""  # Jinja drops the last line end


def is_for_signatures(config: dict) -> bool:
    return (config.get("preprocessing") or {}).get("kind") == "signature"


def model_card(repo_id: str, config: dict, pictures: Collection[str] = (), dataset: str | None = None) -> ModelCard:
    """The card of a checkpoint.

    Args:
        repo_id: "user/name" of the repository.
        config: What config.json holds; its entry "figures" is a report of the evaluation command.
        pictures: Paths in the repository that hold PNG files.
        dataset: The Hub id of the training data, for characters.
    """
    title = repo_id.split("/")[-1]
    if is_for_signatures(config):
        metadata = signature_card.metadata(config.get("figures") or {})
        sections = signature_card.sections(repo_id, config, pictures)
    else:
        metadata = character_card.metadata(config.get("figures") or {}, dataset)
        sections = character_card.sections(repo_id, config, pictures)
    return ModelCard.from_template(
        ModelCardData(model_name=title, **metadata),
        template_str=TEMPLATE,
        title=title,
        sections=[section for section in sections if section],
    )


def front_matter(metadata: dict) -> str:
    """Returns the YAML header of a README, between two lines of dashes."""
    import yaml

    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---"
