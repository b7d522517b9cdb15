"""Recipes: those in the package load, and one that does not fit is refused in one sentence."""

import json
from dataclasses import fields

import pytest

from siamese.network import NetworkConfig
from siamese.preprocessing import Preprocessing
from train.augment import Distortions
from train.characters.config import CharacterConfig
from train.config import RecipeError, config_from, load_recipe, read_table, saved_config, table_names
from train.signatures.config import SignatureConfig


@pytest.mark.parametrize("name", table_names("recipe"))
def test_every_recipe_loads_and_survives_being_written(name):
    kind = SignatureConfig if name == "signatures" else CharacterConfig
    config = load_recipe(kind, name)
    assert saved_config(json.loads(json.dumps(config.as_dict())), kind) == config


def test_neither_task_has_a_field_of_the_other():
    one, other = ({field.name for field in fields(kind)} for kind in (CharacterConfig, SignatureConfig))
    assert not {"writers", "genuine", "skilled_share", "validation_part"} & one
    assert not {"alphabets", "drawers", "hold_out", "triplet_loss"} & other
    with pytest.raises(RecipeError, match="is for signatures: `python -m train fit-signatures`"):
        load_recipe(CharacterConfig, "signatures")
    with pytest.raises(RecipeError, match="is for characters: `python -m train fit` "):
        load_recipe(SignatureConfig, "modern")


def test_what_was_saved_with_fields_of_both_tasks_is_read():
    before = CharacterConfig(steps=7).as_dict() | {"writers": 4, "sampling": "alphabets"}
    assert saved_config(before, CharacterConfig) == CharacterConfig(steps=7)


def test_the_recipes_that_the_readme_names_are_there():
    assert {"modern", "koch2015", "keras_selu_b32", "keras_selu_b256", "pytorch_pairs", "pytorch_adamw_steplr"} <= set(
        table_names("recipe")
    )
    assert {"keras_adam_20k", "triplet", "contrastive"} <= set(table_names("recipe"))


def test_tables_become_the_parts_of_a_config():
    config = config_from(
        {
            "steps": 7,
            "hold_out": ["Latin"],
            "momentum": [0.5, 0.9, 3],
            "network": {"activation": "selu"},
            "preprocessing": {"extent_px": 0},
            "distortions": {"shear": 0.5, "shift_px": 3},
        },
        CharacterConfig,
    )
    assert config.steps == 7
    assert config.hold_out == ("Latin",)
    assert config.network == NetworkConfig("selu")
    assert config.preprocessing == Preprocessing(extent_px=0)
    assert config.distortions == Distortions(shear=0.5, shift_px=3.0)
    assert config.learning_rate == CharacterConfig().learning_rate


def test_what_a_recipe_leaves_out_has_its_default():
    assert config_from({}, CharacterConfig) == CharacterConfig()


def test_a_file_is_a_recipe_too(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("steps = 3\n[network]\nbatch_norm = true\n", encoding="utf-8")
    assert load_recipe(CharacterConfig, str(path)) == CharacterConfig(steps=3)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"stepz": 5}, "The recipe has no field stepz; there are .*steps"),
        (
            {"network": {"width": 5}},
            "The table network of the recipe has no field width; there are activation",
        ),
        ({"network": "relu"}, "'network' is 'relu': input should be an object"),
        ({"network": {"dropout": 1.5}}, "'network' dropout is 1.5, must lie in"),
        ({"steps": "many"}, "'steps' is 'many': input should be a valid integer"),
        ({"steps": 1.5}, "'steps' is 1.5: input should be a valid integer"),
        ({"steps": True}, "'steps' is True: input should be a valid integer"),
        ({"steps": 0}, "'steps' is 0: input should be greater than 0"),
        ({"distance_head": 1}, "'distance_head' is 1: input should be a valid boolean"),
        ({"learning_rate": "high"}, "'learning_rate' is 'high': input should be a valid number"),
        ({"learning_rate": True}, "'learning_rate' is True: input should be a valid number"),
        ({"learning_rate": 0.0}, "'learning_rate' is 0.0: input should be greater than 0"),
        ({"learning_rate": float("nan")}, "'learning_rate' is nan: input should be a finite number"),
        ({"hold_out": "Latin"}, "'hold_out' is 'Latin': input should be a valid array"),
        ({"preprocessing": {"extent_px": 300}}, "'preprocessing' extent_px is 300, must be 0 or lie in 8 to 105"),
        ({"distortions": {"shear": -1.0}}, "'distortions.shear' is -1.0: input should be greater than or equal to 0"),
        ({"distortions": {"pen_broad": 0.05}}, "'distortions' pen_broad 0.05 and pen_fine 0.45 must rise"),
        ({"momentum": 0.9}, "'momentum' is 0.9: input should be a valid array"),
        ({"momentum": [0.5, 1.0, 1]}, "'momentum.1' is 1.0: input should be less than 1"),
        ({"momentum": [0.5, 0.9, 0]}, "'momentum.2' is 0: input should be greater than 0"),
        ({"views": 3}, "'views' is 3: input should be 1, 4 or 8"),
        ({"label_smoothing": 0.5}, "'label_smoothing' is 0.5: input should be less than 0.5"),
        ({"hard_share": 0.0}, "'hard_share' is 0.0: input should be greater than 0"),
        ({"weight_average": 1.0}, "'weight_average' is 1.0: input should be less than 1"),
        ({"train_drawers": 21}, "'train_drawers' is 21: input should be less than or equal to 20"),
        ({"triplet_loss": -1.0}, "'triplet_loss' is -1.0: input should be greater than or equal to 0"),
        ({"layer_rates": [1.0, 1.0]}, "layer_rates has 2 factors, the network has 6 layers"),
        ({"hard_share": 0.5, "sampling": "pairs", "n_way_loss": 0.0}, "hard_share chooses among the pairs of a batch"),
        ({"drawers": 1}, "A batch of 32 characters x 1 drawers has no same or no different pair"),
        ({"characters": 1}, "A batch of 1 characters x 2 drawers has no same or no different pair"),
        ({"train_drawers": 19}, "leave one drawer to validation"),
        ({"train_drawers": 12, "validation_drawers": 1}, "leave one drawer to validation"),
        ({"train_drawers": 12, "validation_drawers": 9}, "is 9, but train_drawers leaves 8 of the 20"),
        ({"validation_drawers": 4}, "validation_drawers is 4, but train_drawers leaves 0"),
        ({"pair_loss": 0.0, "n_way_loss": 0.0}, "one must be above 0"),
        ({"sampling": "pairs"}, "A list of pairs is trained by pair_loss alone"),
        ({"triplet_loss": 1.0, "distance_head": False}, "need a distance; set distance_head to true"),
        ({"sampling": "pairs", "n_way_loss": 0.0, "distortions": {"redraw_share": 0.5}}, "batch of alphabets"),
        ({"patience": 3, "hold_out": []}, "patience needs alphabets in hold_out"),
    ],
)
def test_a_recipe_for_characters_that_does_not_fit_is_refused(table, sentence):
    with pytest.raises(RecipeError, match=sentence) as refusal:
        config_from(table, CharacterConfig)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"writers": 1}, "'writers' is 1: input should be greater than or equal to 2"),
        ({"forgeries": -1}, "'forgeries' is -1: input should be greater than or equal to 0"),
        ({"skilled_share": 1.5}, "'skilled_share' is 1.5: input should be less than or equal to 1"),
        ({"pair_loss": 0.0, "n_way_loss": 0.0}, "one must be above 0"),
        ({"writer_distortions": {"lost_share": 0.5}}, "batch of alphabets"),
    ],
)
def test_a_recipe_for_signatures_that_does_not_fit_is_refused(table, sentence):
    with pytest.raises(RecipeError, match=sentence):
        config_from(table, SignatureConfig)


@pytest.mark.parametrize("text", ["steps = ", "\x00", "steps = 1\nsteps = 2"])
def test_a_file_that_is_no_toml_is_refused(text, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"broken.toml cannot be read: "):
        read_table("recipe", str(path))


def test_a_missing_file_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"cannot be read: .*No such file"):
        read_table("recipe", str(tmp_path / "none.toml"))
    with pytest.raises(RecipeError, match=r"No recipe is called 'postmodern'; there are .*modern"):
        read_table("recipe", "postmodern")
