"""Trackers get each line's numbers; without the package there is one sentence."""

import sys
from types import ModuleType

import pytest

from train.characters.config import CharacterConfig
from train.tracking import TRACKERS, TrackingError, tracker

LINE = {"step": 7, "loss": 0.5, "validation_accuracy": 0.25}


def test_without_a_tracker_there_is_none(tmp_path):
    with tracker(None, tmp_path, CharacterConfig()) as report:
        assert report is None
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_each_number_at_its_step(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            calls.append(folder)

        def __enter__(self) -> "SummaryWriter":
            return self

        def __exit__(self, *_: object) -> None:
            calls.append("closed")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

    package = ModuleType("torch.utils.tensorboard")
    package.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", package)
    with tracker("tensorboard", tmp_path, CharacterConfig()) as report:
        report(LINE)
    assert calls == [str(tmp_path / "tensorboard"), ("loss", 0.5, 7), ("validation_accuracy", 0.25, 7), "closed"]


def test_trackio_gets_the_config_and_each_line_and_is_finished_even_after_an_error(tmp_path, monkeypatch):
    calls = []
    package = ModuleType("trackio")
    package.init = lambda **given: calls.append(given)
    package.log = lambda metrics, step: calls.append((metrics, step))
    package.finish = lambda: calls.append("finished")
    monkeypatch.setitem(sys.modules, "trackio", package)
    config = CharacterConfig(seed=4)

    def broken_run() -> None:
        with tracker("trackio", tmp_path / "mine", config) as report:
            report(LINE)
            raise RuntimeError("the run broke")

    with pytest.raises(RuntimeError, match="the run broke"):
        broken_run()
    began, line, end = calls
    assert (began["name"], began["resume"], began["config"]) == ("mine", "allow", config.as_dict())
    assert line == ({"loss": 0.5, "validation_accuracy": 0.25}, 7)
    assert end == "finished"


@pytest.mark.parametrize("kind", sorted(TRACKERS))
def test_a_missing_package_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, TRACKERS[kind], None)
    with (
        pytest.raises(TrackingError, match=f"needs the package {kind}: pip install {kind}"),
        tracker(kind, tmp_path, CharacterConfig()),
    ):
        pass
