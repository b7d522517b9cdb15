"""What an evaluation asks a network: trials and pairs, decided by the drawings and the seed alone."""

from dataclasses import dataclass

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import EpisodeError, Trials, excluded_alphabets, sample_trials
from siamese.characters.omniglot import lake_runs
from siamese.data.sources import SourceError
from train.evaluation import PAIRS, Pairs, generator_for, verification_pairs
from train.figures import PROTOCOL_NAMES

N_WAYS = (2, 3, 5, 10, 20)
PROTOCOLS = ("within_alphabet", "across_alphabets")


@dataclass(frozen=True)
class OneShotTask:
    """Trials of one protocol and one number of ways.

    Attributes:
        protocol: A key of PROTOCOL_NAMES.
        trials: Rows into the drawings.
        left_out: Alphabets with too few characters for a trial within one alphabet.
    """

    protocol: str
    trials: Trials
    left_out: list[str]

    @property
    def title(self) -> str:
        """What a progress bar calls it."""
        return f"{PROTOCOL_NAMES[self.protocol]}, {self.trials.n_way}-way"


@dataclass(frozen=True)
class Tasks:
    """Everything that a network is asked in an evaluation on alphabets.

    Attributes:
        one_shot: Trials of each protocol and number of ways.
        per_alphabet: Trials within one alphabet, by its name.
        verification: Pairs, by protocol.
        notes: A sentence for each thing that these drawings cannot give.
    """

    one_shot: list[OneShotTask]
    per_alphabet: dict[str, Trials]
    verification: dict[str, Pairs]
    notes: list[str]


def make_tasks(drawings: Drawings, seed: int, trials: int, with_lake_runs: bool, pairs: int = PAIRS) -> Tasks:
    """Draws the trials and pairs of an evaluation; two networks meet the same ones.

    What the drawings cannot give is left out and noted.

    Args:
        drawings: The split that is evaluated.
        seed: Decides everything.
        trials: Random trials for each protocol and number of ways; a tenth of them for each alphabet.
        with_lake_runs: Whether the drawings are the evaluation set, which Lake's runs are part of.
        pairs: Pairs for each protocol of verification.
    """
    one_shot, notes = [], []
    if with_lake_runs:
        try:
            one_shot.append(OneShotTask("lake_runs", lake_runs(drawings), []))
        except SourceError as error:
            notes.append(f"Lake's runs are left out: {error}")
    for protocol in PROTOCOLS:
        within = protocol == "within_alphabet"
        for n_way in N_WAYS:
            left_out = excluded_alphabets(drawings, n_way) if within else []
            try:
                drawn = sample_trials(drawings, n_way, trials, generator_for(seed, protocol, n_way), within)
            except EpisodeError as error:
                notes.append(f"{PROTOCOL_NAMES[protocol]}, {n_way}-way, is left out: {error}")
                continue
            one_shot.append(OneShotTask(protocol, drawn, left_out))
    per_alphabet = _trials_per_alphabet(drawings, seed, max(1, trials // 10), notes)
    verification = {}
    for protocol in PROTOCOLS:
        generator = generator_for(seed, "verification", protocol)
        try:
            verification[protocol] = verification_pairs(drawings, pairs, generator, protocol == "within_alphabet")
        except ValueError as error:
            notes.append(f"Verification, {PROTOCOL_NAMES[protocol]}, is left out: {error}")
    return Tasks(one_shot, per_alphabet, verification, notes)


def _trials_per_alphabet(drawings: Drawings, seed: int, trials: int, notes: list[str]) -> dict[str, Trials]:
    """Trials of as many ways as each alphabet allows, 20 at most; adds to `notes` where there can be none."""
    found = {}
    for index in drawings.alphabet.unique().tolist():
        name, rows = drawings.alphabet_names[index], (drawings.alphabet == index).nonzero().flatten()
        alone = drawings.take(rows)
        n_way = min(max(N_WAYS), len(alone.character.unique()))
        try:
            drawn = sample_trials(alone, n_way, trials, generator_for(seed, name), True)
        except EpisodeError as error:
            notes.append(f"{name} has no accuracy of its own: {error}")
            continue
        found[name] = Trials(rows[drawn.support], rows[drawn.query], drawn.label)
    return found
