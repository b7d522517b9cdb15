"""The network as the Hugging Face Hub knows models: from_pretrained, save_pretrained, push_to_hub."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin

from siamese import network
from siamese.hub.card import model_card
from siamese.hub.checkpoint import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    read_config,
    save_checkpoint,
)
from siamese.hub.push import push_files
from siamese.hub.resolve import find_model
from siamese.hub.schema import MEASURES
from siamese.preprocessing import Preprocessing


class SiameseNetwork(network.SiameseNetwork, ModelHubMixin):
    """`siamese.network.SiameseNetwork` with all that must be known to use it, and the way to the Hub and back.

    What `from_pretrained` reads, `push_to_hub` writes: the weights to the bit, how ink is prepared, thresholds,
    calibration and figures. Weights are stored as float32, whatever the storage was that they were read from.
    """

    def __init__(
        self,
        config: network.NetworkConfig = network.NetworkConfig(),
        initialisation: network.Initialisation = "modern",
        generator: torch.Generator | None = None,
        preprocessing: Preprocessing = Preprocessing(),
        measures: dict | None = None,
    ) -> None:
        """Builds a network with random weights.

        Args:
            config: Widths, activation, normalisation and dropout.
            initialisation: How weights are drawn, see `siamese.network.initialise`.
            generator: Source of the random weights; PyTorch's global one by default.
            preprocessing: How ink must be prepared before the network sees it.
            measures: The entries "verification", "training" and "figures" of config.json, as far as there are any.
        """
        super().__init__(config, initialisation, generator)
        self.preprocessing = preprocessing
        self.measures = measures or {}

    @classmethod
    def from_pretrained(  # type: ignore[override]  # takes no other options: one that is misspelt is refused
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> "SiameseNetwork":
        """Reads a network from a folder, or from "user/name" on the Hub.

        Overrides the mixin's method, which retries for minutes without a connection and takes config.json unchecked.
        Without a connection the cached copy of the revision asked for serves, and no other.

        Args:
            pretrained_model_name_or_path: A folder, "user/name", "user/name@revision" or a bundled checkpoint's name.
            revision: A branch, a tag or a commit; "main" by default.
            token: By default HF_TOKEN or the token saved at login; False for none.
            cache_dir: By default the cache below HF_HOME.
            local_files_only: Ask the Hub for nothing.
            force_download: Fetch the files although the cache holds them.

        Returns:
            The network in evaluation mode, float32, on the CPU.

        Raises:
            HubError: The model cannot be had.
            CheckpointError: Its files cannot be used.
        """
        found, checkpoint = find_model(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            strict=True,
        )
        checkpoint = checkpoint or load_checkpoint(found.folder)
        with torch.device("meta"):  # the weights are there already, so none are drawn
            loaded = cls(checkpoint.network.config, preprocessing=checkpoint.preprocessing)
        loaded.load_state_dict(checkpoint.network.state_dict(), assign=True)
        loaded.measures = {name: checkpoint.config[name] for name in MEASURES if name in checkpoint.config}
        return loaded.eval()

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> str | None:
        """Writes model.safetensors, config.json and a card.

        Overrides the mixin's method, which deletes the config.json of a checkpoint that is there before the new one
        is complete; here the old checkpoint stays loadable until then.

        Args:
            save_directory: Created where it is missing.
            repo_id: "user/name" for the card; by default the folder's name.
            push_to_hub: Also publish under `repo_id`, with `options` as in `push_to_hub`.

        Returns:
            The commit's address where it was published, otherwise None.

        Raises:
            CheckpointError: The files cannot be written, or a weight is not finite.
            HubError: It cannot be published.
        """
        folder = Path(save_directory)
        self._save_pretrained(folder)
        self.generate_model_card(repo_id or folder.resolve().name, read_config(folder)).save(folder / CARD_FILE)
        return self.push_to_hub(repo_id or folder.resolve().name, **options) if push_to_hub else None

    def push_to_hub(  # type: ignore[override]  # publishes these files whole: no patterns, no pull requests
        self,
        repo_id: str,
        *,
        commit_message: str = "Push the network",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
    ) -> str:
        """Publishes what `save_pretrained` writes in one commit.

        Args:
            repo_id: "user/name", created where it is missing.
            commit_message: Title of the commit.
            private: Whether a new repository can be seen by you alone.
            token: By default HF_TOKEN or the token saved at login.
            branch: Created where it is missing; "main" by default.

        Returns:
            The commit's address.

        Raises:
            CheckpointError: A weight is not finite.
            HubError: It cannot be published.
        """
        with tempfile.TemporaryDirectory(prefix="one-look-") as folder:
            self.save_pretrained(folder, repo_id=repo_id)
            files = {name: Path(folder) / name for name in (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE)}
            return push_files(repo_id, files, message=commit_message, private=private, token=token, revision=branch)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_checkpoint(save_directory, self, self.preprocessing, **self.measures)

    def generate_model_card(self, repo_id: str, config: dict) -> ModelCard:
        """Returns the model card for a repository of this name; `config` is the content of config.json."""
        return model_card(repo_id, config)
