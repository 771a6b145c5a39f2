"""ResNets and vision transformers are timm's, figure by figure; `scripts/make_timm_goldens.py` made these."""

import json
import math

import numpy as np
import pytest
from every_stage import assert_close, every_stage
from random_weights import DATA, figures, images, weights

from lec7.transfer import FAMILIES

TIMMS = [name for name in FAMILIES if "-lite" not in name]
GOLDENS = np.load(DATA / "timm.npz")
CONFIGS = json.loads((DATA / "timm_configs.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("family", TIMMS)
def test_every_stage_gives_what_timms_gives(family):
    features = every_stage(family, weights(family), images(family))
    assert_close(features.pop("logits"), GOLDENS[f"{family}/logits"], 1e-5, "logits")
    for stage, x in features.items():
        assert_close(figures(x), GOLDENS[f"{family}/{stage}"], 1e-5, stage)
    kept = {name.removeprefix(f"{family}/") for name in GOLDENS if name.startswith(f"{family}/")}
    assert kept == {*features, "logits"}


@pytest.mark.parametrize("family", CONFIGS)
def test_images_are_prepared_as_timm_says(family):
    config, mine = CONFIGS[family], FAMILIES[family].preprocessing
    assert FAMILIES[family].source.startswith(f"hf:{config['hf_hub_id']}")
    assert FAMILIES[family].classes == config["num_classes"]
    assert (list(mine.mean), list(mine.std)) == (config["mean"], config["std"])
    assert (mine.interpolation, mine.first, config["crop_mode"]) == (config["interpolation"], "resize", "center")
    assert config["input_size"] == [3, mine.size, mine.size]
    assert round(mine.size / mine.crop) == math.floor(mine.size / config["crop_pct"])
