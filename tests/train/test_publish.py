"""What is published is what is loaded; a push that fails loses nothing; every card says what the Hub reads."""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from PIL import Image
from safetensors.torch import load_file

from siamese import network as network_module
from siamese.hub.card import model_card
from siamese.hub.checkpoint import load_checkpoint, read_config, save_checkpoint
from siamese.hub.errors import HubError
from siamese.hub.model import SiameseNetwork as PublicNetwork
from siamese.network import SiameseNetwork
from siamese.preprocessing import SIGNATURE, Preprocessing
from tests.hostile import encoded
from tests.hub_double import OWNER_TOKEN, HubDouble
from tests.networks import NARROW, narrow_network
from train.__main__ import main
from train.characters.config import CharacterConfig
from train.characters.objective import character_task
from train.loop import fit
from train.publish import push_model, space_metadata, split_front_matter

# the client's own way to send raw bytes
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO = "user/one-look"
ROUND_TRIP_S = float(os.environ.get("ONE_LOOK_ROUND_TRIP_S", "0"))  # of training; 60 for the full round
PROJECT = Path(network_module.__file__).parents[1]
REPORT = {
    "model": {"source": "run", "parameters": 38951745, "precision": "bfloat16", "device": "cpu"},
    "one_shot": [
        {
            "protocol": protocol,
            "split": "evaluation",
            "n_way": n_way,
            "trials": trials,
            "accuracy": accuracy,
            "interval": [accuracy - 0.02, accuracy + 0.01],
            "left_out": [],
        }
        for protocol, n_way, trials, accuracy in (
            ("lake_runs", 20, 400, 0.9775),
            ("within_alphabet", 20, 10000, 0.861),
            ("across_alphabets", 20, 10000, 0.945),
        )
    ],
    "per_alphabet": {"Tengwar": 0.9},
    "verification": [
        {
            "protocol": "within_alphabet",
            "pairs": 10000,
            "accuracy": 0.932,
            "auc": 0.98,
            "eer": 0.07,
            "threshold": 0.4,
        }
    ],
    "baselines": [
        {"name": "modified_hausdorff", "protocol": "lake_runs", "n_way": 20, "trials": 400, "accuracy": 0.612},
        {"name": "chance", "protocol": "within_alphabet", "n_way": 20, "trials": 1000, "accuracy": 0.05},
    ],
    "transfer": [
        {
            **{"data": "mnist", "n_way": 10, "trials": 10000, "accuracy": 0.854, "interval": [0.847, 0.861]},
            **{"nearest_neighbour_l2": 0.388, "classes": 10, "images": 2000, "refused": 0},
        }
    ],
    "pens": [
        {
            "pen_px": 0.7,
            "one_shot": {
                "lake_runs": {"trials": 400, "accuracy": 0.9725, "interval": [0.951, 0.985]},
                "within_alphabet": {"trials": 2000, "accuracy": 0.871, "interval": [0.856, 0.885]},
            },
            "same_called_same": {"pairs": 2000, "share": 0.942, "interval": [0.931, 0.951]},
            "different_called_same": {"pairs": 2000, "share": 0.057, "interval": [0.048, 0.068]},
        }
    ],
}
CONFIG = {
    "preprocessing": {"extent_px": 80},
    "training": {"recipe": "modern", "steps": 6000, "images": 384000, "held_out_alphabets": ["Bengali"]},
    "verification": {"threshold": 0.4, "measured_on": "the held-out alphabets", "from_held_out_run": True},
    "figures": REPORT,
}


def card_text(*given: object, **named: object) -> str:
    return str(model_card(*given, **named))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def compact(tmp_path_factory) -> Path:
    """An int8 checkpoint with figures, and the metrics of its run beside it."""
    run = tmp_path_factory.mktemp("run")
    save_checkpoint(run / "model", narrow_network(), Preprocessing(), storage="int8", figures=REPORT)
    lines = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6, "validation_accuracy": 0.5}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run / "model"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "MODEL_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    with HubDouble() as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        yield double
        assert double.unknown == []


def in_another_process(script: str, hub: HubDouble, home: Path, *arguments: str) -> str:
    """What `script` prints in a process with an empty cache and nothing but the environment."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": OWNER_TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-c", script, *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]


def header(card: str) -> dict:
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])


def test_the_card_says_what_the_hub_reads():
    metadata = header(card_text(REPO, CONFIG, dataset="user/omniglot"))
    assert metadata["license"] == "mit"
    assert metadata["library_name"] == "one-look"
    assert metadata["pipeline_tag"] == "image-feature-extraction"
    assert metadata["datasets"] == ["user/omniglot"]
    assert "one-shot-learning" in metadata["tags"]


def test_the_hub_s_own_reader_finds_the_results():
    results = ModelCard(card_text(REPO, CONFIG, dataset="user/omniglot")).data.eval_results
    found = {(r.task_name, r.dataset_name, r.metric_type): (r.metric_value, r.metric_name) for r in results}
    value, name = found["20-way one-shot classification", "Omniglot, Lake's 20 runs, within one alphabet", "accuracy"]
    assert value == 0.9775
    assert name == "accuracy, 400 trials, 95 % interval 95.8 to 98.8 %"
    assert found["verification", "Omniglot, within one alphabet", "eer"][0] == 0.07
    assert len(results) == 6
    assert {r.dataset_split for r in results} == {"evaluation"}


def test_the_card_says_it_to_people():
    card = card_text(REPO, CONFIG, ["figures/training.png"])
    assert f'load_recognizer("{REPO}")' in card
    assert "| Lake's 20 runs, within one alphabet | 20 | 400 | 97.75 % | 95.8 to 98.8 % |" in card
    assert "| modified Hausdorff distance, Lake's 20 runs, within one alphabet | 20 | 400 | 61.20 % | |" in card
    assert "| mnist | 10 | 2,000 | 10 | 10,000 | 85.40 % | 84.7 to 86.1 % | 38.80 % |" in card
    assert "| 0.7 | 97.2 (95.1 to 98.5) | 87.1 (85.6 to 88.5) | 94.2 (93.1 to 95.1) | 5.7 (4.8 to 6.8) |" in card
    assert "- images: 384,000" in card
    assert "similarity of 0.400" in card
    assert "these weights have seen them" in card
    assert "What it is not for" in card
    assert "figures/training.png" in card
    assert "figures/roc.png" not in card


def test_the_card_names_every_stage_of_the_training():
    first = {"steps": 4500, "images": 288_000, "held_out_alphabets": ["Bengali"], "began_with": None}
    second = {"steps": 3600, "images": 230_400, "held_out_alphabets": [], "began_with": first}
    card = card_text(REPO, CONFIG | {"training": CONFIG["training"] | {"began_with": second}})
    assert "- began with the weights of an earlier run: 3,600 steps, 230,400 images\n" in card
    assert "- and that with those of one before it: 4,500 steps, 288,000 images, held out: Bengali\n" in card


def test_a_card_without_figures():
    card = card_text(REPO, {"preprocessing": {}})
    assert "model-index" not in header(card)
    assert "## Results" not in card
    assert "None" not in card


def test_a_dry_run_writes_the_folder(compact, tmp_path, capsys):
    target = tmp_path / "out"
    assert main(["publish", "--model", str(compact), "--repo-id", REPO, "--dry-run", str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    pictures = ["figures/accuracy_over_n.png", "figures/training.png"]
    assert files == ["README.md", "config.json", *pictures, "model.safetensors"]
    card = (target / "README.md").read_text(encoding="utf-8")
    assert all(f"]({picture})" in card for picture in pictures)
    restored, staged = load_checkpoint(compact).network.state_dict(), load_file(target / "model.safetensors")
    assert all(staged[name].dtype == torch.float32 and torch.equal(staged[name], restored[name]) for name in restored)
    config = read_config(target)
    assert (config["storage"], config["figures"]) == ("float32", REPORT)
    assert main(["publish", "--model", str(compact), "--repo-id", REPO, "--dry-run", str(target)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err


def test_signature_weights_bring_their_own_pictures(tmp_path):
    run, figures = tmp_path / "run", tmp_path / "figures"
    save_checkpoint(run / "model", narrow_network(), SIGNATURE, storage="int8", figures={"one_shot": []})
    (run / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 0.7}\n{"step": 2, "loss": 0.6, "validation_accuracy": 0.8}\n'
    )
    figures.mkdir()
    for name in ("signatures_roc.png", "signatures_det.png", "accuracy_over_n.png"):
        (figures / name).write_bytes(name.encode())
    words = ["publish", "--model", str(run / "model"), "--repo-id", REPO, "--figures", str(figures)]
    assert main([*words, "--dry-run", str(tmp_path / "out")]) == 0
    names = ["signatures_det.png", "signatures_roc.png", "training.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "figures").iterdir()) == names
    assert (tmp_path / "out" / "figures" / "signatures_det.png").read_bytes() == b"signatures_det.png"
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert all(f"](figures/{name})" in card for name in names)


def test_round_trip(hub, drawings, tmp_path, capsys):
    """Fit, publish, load elsewhere: outputs equal to the bit."""
    steps, minutes = (100_000, ROUND_TRIP_S / 60) if ROUND_TRIP_S else (2, math.inf)
    config = CharacterConfig(hold_out=(), steps=steps, characters=3, warmup_steps=1)
    network = SiameseNetwork(NARROW, generator=seeded(0))
    cpu = torch.device("cpu")
    outcome = fit(network, character_task(drawings, config, cpu), config, tmp_path, cpu, max_minutes=minutes)
    assert outcome.steps >= 2
    save_checkpoint(tmp_path / "model", network, config.preprocessing, training={"steps": outcome.steps})
    arguments = ["publish", "--model", str(tmp_path / "model"), "--repo-id", REPO, "--private"]
    assert main(arguments) == 0
    repository = hub.repositories["models", REPO]
    assert repository.titles == ["initial commit", "Publish the model"]
    assert repository.private
    assert f"/commit/{repository.branches['main']}" in capsys.readouterr().out
    script = """
import hashlib, sys, torch
from siamese import SiameseNetwork
torch.set_num_threads(1)
network = SiameseNetwork.from_pretrained(sys.argv[1], revision=sys.argv[2])
images = torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(5))
with torch.inference_mode():
    print(hashlib.sha256(network(images[:1], images[1:]).numpy().tobytes() + network.embed(images).numpy().tobytes())
        .hexdigest())
"""
    printed = in_another_process(script, hub, tmp_path / "home", REPO, repository.branches["main"])
    folder = load_checkpoint(tmp_path / "model").network
    images = torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(5))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        outputs = folder(images[:1], images[1:]).numpy().tobytes() + folder.embed(images).numpy().tobytes()
    torch.set_num_threads(threads)
    assert printed == hashlib.sha256(outputs).hexdigest()


def test_the_methods_of_the_ecosystem(hub, tmp_path):
    verification = {"threshold": 0.3}
    network = PublicNetwork(
        NARROW, "modern", seeded(1), Preprocessing(extent_px=60, kind="signature"), {"verification": verification}
    )
    address = network.push_to_hub(REPO, branch="tried")
    assert address.endswith(hub.repositories["models", REPO].branches["tried"])
    loaded = PublicNetwork.from_pretrained(REPO, revision="tried", cache_dir=tmp_path / "cache", token=OWNER_TOKEN)
    assert loaded.config == NARROW
    assert loaded.preprocessing == network.preprocessing
    assert loaded.measures == {"verification": verification}
    loaded.push_to_hub("user/again")
    first, again = (hub.repositories["models", name] for name in (REPO, "user/again"))
    for name in ("config.json", "model.safetensors"):  # reading and pushing changes nothing
        assert again.files("main")[1][name].content == first.files("tried")[1][name].content
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))
    with pytest.raises(HubError, match=r"lacks config\.json or model\.safetensors"):
        PublicNetwork.from_pretrained(REPO)  # the main branch has nothing yet
    hub.put("user/pickled", {"config.json": b"{}", "pytorch_model.bin": b"cos\nsystem\n"})
    with pytest.raises(HubError, match=r"lacks config\.json or model\.safetensors"):
        PublicNetwork.from_pretrained("user/pickled")
    local = PublicNetwork.from_pretrained(REPO, revision="tried", cache_dir=tmp_path / "cache", local_files_only=True)
    assert torch.equal(local.head.bias, network.head.bias)


def test_a_push_that_fails_loses_no_checkpoint(hub, compact, monkeypatch, capsys):
    before = {path.name: path.read_bytes() for path in compact.iterdir()}
    for pattern, what, message in (
        ("repos/create", {"status": 500}, r"out of order \(500\)"),
        ("commit", {"status": 403}, "does not permit it"),
    ):
        with hub.fault(pattern, **what):
            assert push_model(compact, REPO) is False
        said = capsys.readouterr().err
        assert re.search(message, said), said
        assert f"The checkpoint is safe in {compact}." in said
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert push_model(compact, REPO) is False
    assert "cannot be reached" in capsys.readouterr().err
    assert push_model(compact / "missing", REPO) is False
    assert {path.name: path.read_bytes() for path in compact.iterdir()} == before


def test_a_push_that_goes_well(hub, compact, capsys):
    assert push_model(compact, REPO) is True
    assert main(["publish", "--model", str(compact), "--repo-id", REPO, "--revision", "best"]) == 0
    assert "best" in hub.repositories["models", REPO].branches
    assert capsys.readouterr().out.count("Published: http://") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say what to publish"),
        (["--model", "."], "Say where it goes"),
        (["--model", "/nowhere", "--repo-id", REPO], "no such folder"),
        (["--model", ".", "--repo-id", "one look"], "--repo-id: 'one look' is not a repository name"),
        (["--model", ".", "--repo-id", f"{REPO}@v1"], "--repo-id: 'user/one-look@v1' is not a repository name"),
        (["--model", ".", "--repo-id", "one-look"], "give user/name"),
        (["--data", "invented", "--repo-id", "a/b/c"], "--repo-id: 'a/b/c' is not a repository name"),
        (["--space", "user/a--b"], "--space: 'user/a--b' is not a repository name"),
        (["--space", "user/space", "--repo-id", REPO], "leave out --repo-id"),
        (["--data", "invented", "--model", ".", "--repo-id", REPO], "leave out --model and --space"),
        (["--data", "nothing-here", "--repo-id", "user/omniglot"], "is neither a folder"),
        (["--space", "user/space", "--model", "./run/model"], "'./run/model' does not. Publish the model first"),
    ],
)
def test_what_cannot_be_published_is_said(words, message, capsys):
    assert main(["publish", *words]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_run_that_could_not_be_published_does_not_begin(tmp_path, capsys):
    assert main(["fit", "--output", str(tmp_path / "run"), "--data", "invented", "--push-to-hub", "one look"]) == 1
    assert "'one look' is not a repository name" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_report_must_be_one(compact, tmp_path, capsys):
    report = tmp_path / "report.json"
    words = ["publish", "--model", str(compact), "--repo-id", REPO, "--report", str(report)]
    for content in (None, "{", "[" * 100_000, "[]", '{"one_shot": 3}', '{"one_shot": [{"protocol": 3}]}'):
        if content is not None:
            report.write_text(content)
        assert main(words) == 1
        assert "report" in capsys.readouterr().err
    assert main([*words[:5], "--figures", str(tmp_path)]) == 1
    assert "holds none of the evaluation's pictures" in capsys.readouterr().err


def test_a_space_names_what_it_shows():
    metadata = space_metadata(f"{REPO}@v2", "user/omniglot", "zero-a10g")
    assert metadata["models"] == [REPO]
    assert metadata["datasets"] == ["user/omniglot"]
    assert metadata["suggested_hardware"] == "zero-a10g"
    assert metadata["python_version"] == "3.12.12"
    assert metadata["preload_from_hub"] == [f"{REPO} config.json,model.safetensors v2"]
    assert set(space_metadata(None, None, "cpu-basic")) == {"datasets", "suggested_hardware"}
    assert split_front_matter("---\na: 1\n---\n# One\n\n---\n") == ({"a": 1}, "# One\n\n---\n")
    assert split_front_matter("# One\n") == ({}, "# One\n")


def test_the_app_as_a_space(hub, tmp_path, monkeypatch, capsys):
    project = tmp_path / "project"
    contents = {
        "app.py": "app",
        "requirements.txt": "torch",
        "README.md": "---\ntitle: One\nthumbnail: a.png\nsuggested_hardware: old\n---\n"
        "# One Look\n\n![page](siamese/ui/page.png)\n",
        "siamese/__init__.py": "",
        "siamese/ui/style.css": "css",
        "siamese/ui/page.png": "png",
        "siamese/pretrained/omniglot/config.json": "{}",
        "train/__init__.py": "",
    }
    for name, content in contents.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=project, check=True)
    (project / "siamese/my_token.txt").write_text("secret")  # lies about, untracked
    monkeypatch.setattr("train.publish.ROOT", project)
    assert main(["publish", "--space", "user/space", "--model", f"{REPO}@v1"]) == 0
    space = hub.repositories["spaces", "user/space"]
    assert (space.sdk, space.variables) == ("gradio", {"MODEL_ID": f"{REPO}@v1"})
    assert space.titles == ["initial commit", "Publish the app"]
    files = space.files("main")[1]
    assert set(files) - {".gitattributes"} == set(contents) - {"train/__init__.py"}
    readme = files["README.md"].content.decode()
    own = header(readme)
    assert own.pop("thumbnail").endswith("/spaces/user/space/resolve/main/a.png")
    assert own == {"title": "One"} | space_metadata(f"{REPO}@v1", None, "cpu-basic")
    assert readme.endswith("# One Look\n\n![page](siamese/ui/page.png)\n")
    shutil.rmtree(project / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert main(["publish", "--space", "user/space"]) == 1
    assert "run this command in a clone of the project" in capsys.readouterr().err
    (project / "app.py").unlink()
    assert main(["publish", "--space", "user/space"]) == 1


def test_the_app_of_this_project(tmp_path):
    assert main(["publish", "--space", "user/space", "--dry-run", str(tmp_path / "space")]) == 0
    written = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*.*")}
    assert {
        "app.py",
        "requirements.txt",
        "README.md",
        "siamese/ui/app.py",
        "siamese/data/omniglot/lake_runs.json",
    } <= written
    assert not any(name.startswith(("tests", "train")) or "__pycache__" in name for name in written)
    requirements = (PROJECT / "requirements.txt").read_text().splitlines()
    assert (tmp_path / "space" / "requirements.txt").read_text().splitlines() == requirements


def test_a_space_on_zero_gpu_asks_for_what_is_there(tmp_path):
    words = ["--space", "user/space", "--hardware", "zero-a10g", "--dry-run", str(tmp_path / "space")]
    assert main(["publish", *words]) == 0
    published = (tmp_path / "space" / "requirements.txt").read_text().splitlines()
    own = (PROJECT / "requirements.txt").read_text().splitlines()
    assert [line for line in published if line not in own] == ["torch>=2.8,<2.14"]
    assert len(published) == len(own)
    assert not any(line.startswith("spaces") for line in published)
    found = header((tmp_path / "space" / "README.md").read_text(encoding="utf-8"))
    assert (found["suggested_hardware"], found["python_version"]) == ("zero-a10g", "3.12.12")
    assert found["sdk"] == "gradio"


DATA_SCRIPT = """
import sys
from datasets import load_dataset
from siamese.characters.omniglot import load_omniglot
splits = load_dataset("user/omniglot")
splits.push_to_hub("user/copy")
copy = load_dataset("user/copy")
ours = load_omniglot("user/omniglot")
for found in (splits, copy, ours):
    row = found["evaluation"][3]
    name = found["evaluation"].features["alphabet"].int2str(row["alphabet"])
    image = row["image"]
    print(found["background"].num_rows, name, row["character"], row["drawer"], end=" ")
    print(image.size, image.getpixel((3, 7)), end=";")
"""


def png(column: int) -> bytes:
    """A white picture with one black column."""
    picture = Image.new("L", (105, 105), 255)
    picture.paste(0, (column, 0, column + 1, 105))
    return encoded(picture, "PNG")


@pytest.fixture
def small_omniglot(monkeypatch) -> None:
    """Two alphabets a split, two characters each, two drawers; the picture's black column is the row's number."""
    import datasets

    names = ["Alpha", "Beta", "Delta", "Gamma"]
    features = datasets.Features(
        image=datasets.Image(),
        alphabet=datasets.ClassLabel(names=names),
        character=datasets.Value("int32"),
        drawer=datasets.Value("int32"),
    )
    splits = {}
    for split, alphabets in (("background", names[:2]), ("evaluation", names[2:])):
        rows = [(a, c, d) for a in alphabets for c in (1, 2) for d in (1, 2)]
        columns = {
            "image": [{"bytes": png(number), "path": None} for number in range(len(rows))],
            "alphabet": [a for a, _, _ in rows],
            "character": [c for _, c, _ in rows],
            "drawer": [d for _, _, d in rows],
        }
        splits[split] = datasets.Dataset.from_dict(columns, features=features)
    monkeypatch.setattr("siamese.characters.omniglot.load_omniglot", lambda source: datasets.DatasetDict(splits))


def test_half_a_data_set_is_not_published(hub, small_omniglot, monkeypatch, capsys):
    from siamese.characters import omniglot

    half = omniglot.load_omniglot("somewhere")
    half.pop("background")
    monkeypatch.setattr(omniglot, "load_omniglot", lambda source: half)
    assert main(["publish", "--data", "somewhere", "--repo-id", "user/half"]) == 1
    assert "The background set cannot be read from somewhere" in capsys.readouterr().err
    assert ("datasets", "user/half") not in hub.repositories


def test_the_data_set(hub, small_omniglot, tmp_path):
    """Published by us, read and pushed on by `datasets` itself, read by us again."""
    assert main(["publish", "--data", "somewhere", "--repo-id", "user/omniglot"]) == 0
    repository = hub.repositories["datasets", "user/omniglot"]
    assert repository.titles == ["initial commit", "Publish the data set"]
    card = repository.files("main")[1]["README.md"].content.decode()
    assert "| evaluation | 2 | 4 | 2 | 8 |" in card
    assert header(card)["configs"][0]["data_files"][1]["split"] == "evaluation"
    printed = in_another_process(DATA_SCRIPT, hub, tmp_path / "home")
    assert printed.split(";")[:3] == ["8 Delta 2 2 (105, 105) 0"] * 3
    assert ("datasets", "user/copy") in hub.repositories
