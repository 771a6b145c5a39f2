"""What scripts/bench_gpu.sh runs: all that `lec7 bench` measures, kernels of an update, ResNet-50 beside PyTorch, and
the time to 92 % of Fashion-MNIST. A part that fails, or lacks a package, is told, and the others go on.
"""

import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import device_check
import jax
import jax.numpy as jnp

from lec7 import bench, experiment, optim
from lec7.bench.clock import Spread, in_turns, repeated
from lec7.bench.scale import Training
from lec7.bench.training import step as training_step
from lec7.bench.words import HEADINGS, cells, limit_rows, line, markdown

FASHION = Path(__file__).resolve().parents[1] / "experiments" / "fashion.py"
ROUNDS, SECONDS = 7, 0.5
ACCURACY = 0.92
RESNET = Training("resnet50", 224, 128, every=10, dtype="bfloat16")


def main(folder: Path) -> None:
    """Writes both files, and prints what goes into them."""
    folder.mkdir(parents=True, exist_ok=True)
    record = measured()
    record.save(folder / "bench.json")
    told = [*(f"- {title}: {rate}" for title, rate in limit_rows(record)), "", *markdown(record), ""]
    for part in (kernels, beside_torch, fashion):
        told += attempted(part)
    device = jax.devices()[0].device_kind
    told.append(f"\n{device}, JAX {jax.__version__}, {time.strftime('%Y-%m-%d')}, `scripts/bench_gpu.sh`.")
    (folder / "gpu.md").write_text("\n".join(told) + "\n")
    print("\n".join(told))


def attempted(part: Callable[[], str]) -> Iterator[str]:
    """A line of a part, or why there is none."""
    try:
        yield f"- {part()}"
    except Exception as error:
        traceback.print_exc()
        yield f"- {part.__doc__} Not measured: {type(error).__name__}: {str(error).splitlines()[0][:120]}"


def measured() -> bench.Record:
    """What `lec7 bench` finds, part by part."""
    record = bench.here()
    print(line(HEADINGS), flush=True)
    for part in bench.PARTS:
        try:
            for figure, met in bench.measurements([part], bench.of_device(), rounds=ROUNDS, seconds=SECONDS):
                record = record.with_figure(figure, met)
                print(line(cells(figure)), flush=True)
        except Exception as error:  # of a package that is missing, for the most part
            print(f"{part} ends here: {type(error).__name__}: {error}", flush=True)
    return record


def kernels() -> str:
    """Kernels of an Adam update of 100 leaves."""
    optimizer = optim.adam(1e-3)
    params = {str(i): jax.ShapeDtypeStruct((10**6,), jnp.float32) for i in range(100)}
    state = jax.eval_shape(optimizer.init, params)
    text = jax.jit(optimizer.update).lower(params, state, params).compile().as_text()
    entry = text[text.index("ENTRY") :]
    count = len(re.findall(r" = .*? (?:fusion|custom-call|copy|reduce)\(", entry))
    return f"Kernels of an Adam update of 100 leaves: {count}."


def beside_torch() -> str:
    """ResNet-50 in bfloat16 at 224 px, beside PyTorch with channels last and `torch.compile`."""
    import torch
    from torchvision.models import resnet50

    net = resnet50(num_classes=10).cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(net)
    x = torch.rand(RESNET.batch_size, 3, RESNET.size, RESNET.size, device="cuda")
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(10, (RESNET.batch_size,), device="cuda")

    def one() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(forward(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def theirs(times: int) -> None:
        repeated(one)(times * RESNET.every)
        torch.cuda.synchronize()

    taken = in_turns({"ours": training_step(RESNET).call, "theirs": theirs}, rounds=ROUNDS, seconds=2.0)
    ratio = Spread.of([b / a for a, b in zip(taken["ours"], taken["theirs"], strict=True)])
    rate = RESNET.every * RESNET.batch_size / Spread.of(taken["ours"]).median
    return (
        f"ResNet-50 in bfloat16 at 224 px, batch 128: {rate:,.0f} images/s, {ratio.median:.2f} times PyTorch "
        f"{torch.__version__} with channels last and `torch.compile` ({ratio.low:.2f} to {ratio.high:.2f})."
    )


def fashion() -> str:
    """Time to 92 % of Fashion-MNIST."""
    if (folder := device_check.images()) is None:
        raise FileNotFoundError("no Fashion-MNIST; FASHION says where its IDX files are")
    begin = time.perf_counter()
    file = experiment.load(FASHION)
    built = experiment.instantiate(file, file.hyperparameters(steps=4690, directory=str(folder)))
    evaluate, reached = built.make_evaluation(), 0.0
    for state, _ in built.fit(built.init()):
        if state.steps_taken % 100 == 0:
            reached = evaluate(state)["test/accuracy"]
            if reached >= ACCURACY:
                taken = time.perf_counter() - begin
                return f"Fashion-MNIST: {ACCURACY:.0%} after {taken:.1f} s with compilation, {state.steps_taken} steps."
    raise RuntimeError(f"{reached:.2%} after all steps")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
