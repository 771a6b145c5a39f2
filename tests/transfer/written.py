"""Small files of arrays in each format that a library here writes."""

import io

import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
from flax.serialization import msgpack_serialize
from safetensors.numpy import save_file

ARRAYS = {
    "head/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "head/bias": np.arange(3, dtype=ml_dtypes.bfloat16),
    "step": np.array(7),
}


def nested(arrays):
    return {
        "head": {name.removeprefix("head/"): array for name, array in arrays.items() if "/" in name},
        "step": arrays["step"],
    }


def npz(save, arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def save_orbax(folder, arrays):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.resolve(), nested(arrays))


SAVE = {
    "safetensors": lambda path, arrays: save_file(arrays, path),
    "npz": lambda path, arrays: path.write_bytes(npz(np.savez, arrays)),
    "compressed npz": lambda path, arrays: path.write_bytes(npz(np.savez_compressed, arrays)),
    "msgpack": lambda path, arrays: path.write_bytes(msgpack_serialize(nested(arrays))),
    "orbax": save_orbax,
}
