import torch

from tests.blots import blots
from train.characters.tasks import make_tasks


def test_tasks_name_the_alphabets_left_out_and_what_cannot_be_asked():
    drawings = blots({"Small": 4, "Large": 12}, 2)
    tasks = make_tasks(drawings, seed=3, trials=30, with_lake_runs=True)
    asked = {(task.protocol, task.trials.n_way): task for task in tasks.one_shot}
    assert set(asked) == {(p, n) for p in ("within_alphabet", "across_alphabets") for n in (2, 3, 5, 10)}
    assert asked["within_alphabet", 3].left_out == []
    assert asked["within_alphabet", 5].left_out == ["Small"]
    assert asked["across_alphabets", 10].left_out == []
    assert bool((drawings.alphabet[asked["within_alphabet", 5].trials.query] == 1).all())
    assert {name: trials.n_way for name, trials in tasks.per_alphabet.items()} == {"Small": 4, "Large": 12}
    for index, trials in enumerate(tasks.per_alphabet.values()):
        assert bool((drawings.alphabet[trials.support] == index).all())
        chosen = trials.support[torch.arange(len(trials)), trials.label]
        assert torch.equal(drawings.character[chosen], drawings.character[trials.query])
    assert set(tasks.verification) == {"within_alphabet", "across_alphabets"}
    assert len(tasks.notes) == 3
    assert tasks.notes[0].startswith("Lake's runs are left out: Lake's runs need Omniglot's evaluation images")
    assert tasks.notes[1].startswith("within one alphabet, 20-way, is left out:")


def test_tasks_are_decided_by_the_seed():
    drawings = blots({"A": 6, "B": 6}, 3)
    first, again, other = (make_tasks(drawings, seed, 20, with_lake_runs=False) for seed in (0, 0, 1))
    for mine, same, different in zip(first.one_shot, again.one_shot, other.one_shot, strict=True):
        assert torch.equal(mine.trials.support, same.trials.support)
        assert not torch.equal(mine.trials.support, different.trials.support)
    assert torch.equal(first.verification["within_alphabet"].first, again.verification["within_alphabet"].first)
