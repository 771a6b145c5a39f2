"""Small files as PyTorch writes them, in both of its formats, for `tests/transfer/test_load_torch.py`.

    python scripts/make_torch_files.py            # writes tests/transfer/data: *.zip.pth, *.legacy.pth, *.npz

Needs PyTorch (2.13 made the files) and NumPy; lec7 itself needs no PyTorch.
"""

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parents[1] / "tests" / "transfer" / "data"
DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
)


def dtypes():
    return {name: torch.arange(-3, 3).abs().to(getattr(torch, name)) for name in DTYPES}


def views():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    z = torch.complex(base, base + 1)
    return OrderedDict(
        base=base,
        transposed=base.T,
        rows=base[1:3],
        every_other=base[::2, 1::2],
        column=base[:, 5],
        expanded=torch.tensor([1.0, 2.0])[:, None].expand(2, 3),
        permuted=torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
        scalar=base[3, 4],
        empty=torch.zeros(0, 3),
        empty_view=base[4:],
        conjugated=z.conj(),
        negated=z.clone().conj().imag,
    )


def parameters():
    torch.manual_seed(0)
    noted = torch.nn.Parameter(torch.ones(2))
    noted.note = "a parameter with an attribute"
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2, bias=False), torch.nn.BatchNorm2d(3))
    state = module.state_dict(keep_vars=True)  # Parameters in an OrderedDict that has _metadata
    state["noted"] = noted
    return state


def training():
    torch.manual_seed(1)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "state_dict": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": 0.5,
        "arch": "linear",
        "sizes": module.weight.shape,
        "dtype": torch.float32,
    }


def two_models():
    """One dict of tensors in two places, and one tensor in two names."""
    weight = torch.arange(6.0).reshape(2, 3)
    return {"model": {"head": {"weight": weight}, "tied": weight}, "ema": {"weight": weight.T}}


def refused():
    """What is no array: by name of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(torch.nn.Linear(2, 2))
        quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
        yield "quantized", lambda path, **how: torch.save({"w": quantized}, path, **how)
        yield "sparse", lambda path, **how: torch.save({"w": torch.eye(2).to_sparse()}, path, **how)
        yield "module", lambda path, **how: torch.save(torch.nn.Linear(2, 2), path, **how)
        yield "half", lambda path, **how: torch.save({"w": torch.ones(2, dtype=torch.complex32)}, path, **how)
        yield "numpy", lambda path, **how: torch.save({"w": torch.ones(2), "a": np.float64(1)}, path, **how)
        yield "meta", lambda path, **how: torch.save({"w": torch.ones(2, device="meta")}, path, **how)
        yield "script", lambda path, **how: torch.jit.save(script, path)


def flat(values, prefix=""):
    """Tensors by name, those that NumPy has no dtype for as float32."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, torch.Tensor):
            value = value.detach().resolve_conj().resolve_neg()
            narrow = value.dtype == torch.bfloat16 or "float8" in str(value.dtype)
            yield prefix + name, (value.float() if narrow else value).numpy()


def main():
    DATA.mkdir(exist_ok=True, parents=True)
    containers = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}
    for make in (dtypes, views, parameters, training, two_models):
        values = make()
        np.savez_compressed(DATA / f"{make.__name__}.npz", **dict(flat(values)))
        for container, how in containers.items():
            torch.save(values, DATA / f"{make.__name__}.{container}.pth", **how)
    for name, save in refused():
        for container, how in containers.items():
            if name != "script" or container == "zip":
                save(str(DATA / f"{name}.{container}.pth"), **how)


if __name__ == "__main__":
    main()
