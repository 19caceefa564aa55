"""All that is to be measured when a GPU is at hand, in one program that runs on JAX without TensorFlow.

    python benchmarks/gpu.py --data_dir=D --seconds=510 --parts=step:120,paper:330
    python benchmarks/gpu.py --rehearse            # every part at small sizes, on a CPU

`step` times training steps of CapsNet with votes as the library has them and stored, `paper` trains by the paper's
schedule, `recipe` by a better one, and `multi` on MultiMNIST, with the votes that were faster. A part that fails is
reported, and the next one begins. Each result is appended to OUT/results.jsonl at once; a trained network becomes the
folder OUT/PART, like those in `pretrained/`. PyTorch is measured by `train_step.py --backend=torch`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import chain, product, repeat
from pathlib import Path
from unittest.mock import patch

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.train_step import in_turns
from capsules.votes import StoredVotes
from input_data import Options, evaluation_batches, open_split
from input_data.dataset import labels_checksum
from input_data.formats import idx
from input_data.mnist.varied_digits import NOISE, vary
from models import make_model, network_class, pretrained
from models.hparams import HParams
from runner.config import NetworkConfig
from runner.evaluation import count

START, ROOT = time.monotonic(), Path(__file__).resolve().parents[1]
network_class("capsule")  # to load a network draws random numbers, so the first one would have other weights
MARGIN, SIDE, FRAME = 10, 28, 36  # pixels around a stored digit; of a digit; of a pair

# A sampler is a function of (data, key, numbers [batch]). It gives images [batch, rows, columns, 1] in [0, 1], labels
# [batch, targets] and, for pairs, the images to reconstruct [batch, 2, rows, columns, 1]. The uint8 digits lie on the
# device, so that a training step needs only the numbers of its digits.


def store(images: np.ndarray, labels: np.ndarray) -> dict:
    """Digits uint8 [n, 28, 28] and their labels [n] on the device, with a margin, and sorted by class."""
    counts = np.bincount(labels, minlength=10)
    data = {"images": np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))), "labels": labels, "counts": counts}
    data |= {"by_class": np.argsort(labels, kind="stable"), "starts": np.cumsum(counts) - counts}
    return {name: jnp.asarray(array, "uint8" if name == "images" else "int32") for name, array in data.items()}


def placed(data: dict, numbers, moves, side: int):
    """Digits in the middle of a frame, moved down and right by `moves` [n, 2]: uint8 [n, side, side]."""
    first = MARGIN - (side - SIDE) // 2 - moves
    rows, columns = (first[:, axis, None] + jnp.arange(side) for axis in (0, 1))  # [n, side]
    return data["images"][numbers[:, None, None], rows[:, :, None], columns[:, None, :]]


def shifted(data: dict, key, numbers, reach: int = 2):
    """Digits shifted by up to `reach` pixels each way (paper, section 5)."""
    moves = jax.random.randint(key, (len(numbers), 2), -reach, reach + 1)
    return placed(data, numbers, moves, SIDE)[..., None] / 255.0, data["labels"][numbers, None], None


def pairs(data: dict, key, numbers):
    """Each digit with one of another class, both shifted by up to 4 pixels each way (paper, section 6)."""
    own, keys = data["labels"][numbers], jax.random.split(key)
    others = len(data["labels"]) - data["counts"][own]
    choice = (jax.random.uniform(keys[0], own.shape) * others).astype(jnp.int32)
    choice += jnp.where(choice >= data["starts"][own], data["counts"][own], 0)  # jumps over the digit's own class
    both = jnp.stack([numbers, data["by_class"][choice]], axis=1)  # [batch, 2]
    moves = jax.random.randint(keys[1], (both.size, 2), -4, 5)
    digits = placed(data, both.ravel(), moves, FRAME).reshape(-1, 2, FRAME, FRAME, 1)
    return jnp.minimum(digits.astype("int32").sum(axis=1), 255) / 255.0, data["labels"][both], digits / 255.0


FULL = {"batches": (128, 1408), "precisions": ("bfloat16", "tf32", "float32"), "matrix": 8192, "cases": 3,
        "reserve": 20, "call": 64_000, "hparams": {},  # images of a call
        "paper": (300_000, 128), "recipe": (23_450, 128), "multi": (10**9, 512)}  # fmt: skip
SMALL = {"batches": (4,), "precisions": ("float32",), "matrix": 64, "cases": 2, "reserve": 3, "call": 8,
         "hparams": {"conv_channels": 8, "num_prime_capsules": 2, "primary_atoms": 2},
         "paper": (16, 8), "recipe": (16, 8), "multi": (10**9, 8)}  # fmt: skip
FALL = {  # factors of the learning rate, from the steps and the shares of the training that are over
    "2017": lambda steps, shares: 0.96 ** (steps / 2000),
    "linear": lambda steps, shares: np.minimum(shares / 0.05, 1) * (1 - shares),
}
VARIED = {"preparation": "efficient"}
RECIPES = {  # side of the images, sampler, hparams, fall of the learning rate, test set
    "step": (SIDE, shifted, {}, "2017", {}),
    "paper": (SIDE, shifted, {}, "2017", {}),
    "recipe": (SIDE, partial(shifted, reach=0), VARIED | {"learning_rate": 0.003, "loss_type": "margin_sum"},
               "linear", VARIED),
    "multi": (FRAME, pairs, {"learning_rate": 0.002}, "linear", {"num_targets": 2}),
}  # fmt: skip


def compiled(part: str, hparams: dict, data: dict, steps: int, batch: int, votes: str) -> tuple[Callable, tuple, dict]:
    """Compiles a CapsNet's training on the device, many steps in one call, by a part's sampler of digits from `store`.

    Returns a function of (state, data, numbers [steps, batch], rates [steps]) that uses up its state, the state of a
    training that begins (weights, Adam's variables, and a key), and facts about the function.
    """
    begin, (side, sample, *_) = time.monotonic(), RECIPES[part]
    keras.utils.set_random_seed(0)
    model, optimizer = make_model("capsule", (side, side, 1), 10, hparams), keras.optimizers.Adam(1.0, epsilon=1e-8)
    variables, own = model.trainable_variables, model.classes.votes
    optimizer.build(variables)
    rate = [variable.name for variable in optimizer.variables].index("learning_rate")

    def stored(inputs):
        library = own(inputs)
        return library.in_parts(library.shape[0], StoredVotes)[0]  # all of them as one tensor

    def step(data: dict, state: tuple, inputs: tuple) -> tuple:
        weights, slots, key = state
        key, own_key = jax.random.split(key)
        images, labels, targets = sample(data, own_key, inputs[0])

        def cost(weights):
            with keras.StatelessScope(list(zip(variables, weights, strict=True))):
                return model.costs(model(images, training=True), images, labels, targets)["total"]

        loss, gradients = jax.value_and_grad(cost)(weights)
        slots = [*slots[:rate], inputs[1], *slots[rate + 1 :]]
        return (*optimizer.stateless_apply(slots, gradients, weights), key), loss

    @partial(jax.jit, donate_argnums=0)
    def call(state, data, *inputs):
        return jax.lax.scan(partial(step, data), state, inputs)

    arrays = ([jnp.copy(each.value) for each in kind] for kind in (variables, optimizer.variables))
    start, inputs = (*arrays, jax.random.key(0)), (jnp.zeros((steps, batch), jnp.int32), jnp.zeros(steps))
    with patch.object(model.classes, "votes", stored if votes == "stored" else own):
        program = call.lower(start, data, *inputs).compile()
    memory = program.memory_analysis()
    megabytes = (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20
    return program, start, {"megabytes": megabytes, "compile_seconds": time.monotonic() - begin}


# Below, `flags` are those of this program with what one run of it has: its `sizes`, `facts` for each result, the votes
# of timed steps by their seconds, and the `deadline` of a part.


def write(flags: argparse.Namespace, part: str, **numbers) -> None:
    """Appends a result to the file, and prints it."""
    row = {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in numbers.items()}
    row = {"part": part, "at": round(time.monotonic() - START, 1)} | row
    with (flags.out / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | flags.facts) + "\n")
    print(json.dumps(row), flush=True)


def attempt(function: Callable, flags: argparse.Namespace, part: str, **what) -> None:
    """Calls a function; an error of any kind becomes a result, and the program goes on."""
    if time.monotonic() > flags.deadline:
        return write(flags, part, **what, stopped="the time was up")
    try:
        function(flags, part, **what)
    except Exception as error:
        write(flags, part, **what, failed=f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}")


def set_precision(precision: str) -> None:
    """float32 (exact), tf32 (float32 whose factors may be rounded to 10 bits), or bfloat16 layers."""
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    jax.config.update("jax_default_matmul_precision", "highest" if precision == "float32" else "tensorfloat32")


def measure_steps(flags: argparse.Namespace, part: str) -> None:
    """Times training steps, the most important cases first, and a large matrix product, which bounds their speed."""
    sizes, usual, multiply = flags.sizes, flags.precision, jax.jit(jnp.matmul)
    set_precision(usual)
    matrix = jnp.ones((sizes["matrix"],) * 2, keras.config.dtype_policy().compute_dtype)
    (seconds,) = in_turns([lambda: multiply(matrix, matrix).block_until_ready()], 5)
    write(flags, "ceiling", precision=usual, tflops=2 * sizes["matrix"] ** 3 / min(seconds) / 1e12)
    cases = [(usual, "library", 3), (usual, "stored", 3), (usual, "library", 1)][: sizes["cases"]]
    cases += [(each, "library", 3) for each in sizes["precisions"] if each != usual]
    for (precision, votes, routing), batch in product(cases, sizes["batches"]):
        what = {"precision": precision, "batch": batch, "steps": 2 * (sizes["call"] // batch), "votes": votes}
        attempt(train, flags, part, **what, routing=routing)


def train(
    flags: argparse.Namespace, part: str, precision: str, batch: int, steps: int, votes: str, routing: int = 3
) -> tuple[list, int]:
    """Trains on a part's recipe until the last step or the time is up; returns the weights and the number of steps.

    The speed is that of all calls but the first.
    """
    (_, _, hparams, fall, _), random = RECIPES[part], np.random.default_rng(0)
    in_call = max(n for n in range(1, flags.sizes["call"] // batch + 1) if steps % n == 0)
    set_precision(precision)
    images, labels = idx.load(flags.data_dir, "train")
    if part == "recipe":  # four variations of each digit, made here
        made = [vary(np.float32(images) / 256, random.random((len(images), NOISE))) for _ in range(4)]
        images, labels = np.uint8(np.rint(255 * np.concatenate(made))), np.tile(labels, 4)
    data, hparams = store(images, labels), hparams | flags.sizes["hparams"] | {"routing": routing}
    call, state, facts = compiled(part, hparams, data, in_call, batch, votes)
    digits = chain.from_iterable(map(random.permutation, repeat(len(images))))
    losses, ends, begin = [], [], time.monotonic()
    allowed = max(flags.deadline - begin - flags.sizes["reserve"], 1.0)
    while len(losses) * in_call < steps and (passed := (time.monotonic() - begin) / allowed) < 1:
        now = len(losses) * in_call + np.arange(in_call)  # where these would take longer, the rate falls in time
        rates = HParams(**hparams).learning_rate * FALL[fall](now, np.maximum(now / steps, passed))
        numbers = np.fromiter(digits, np.int32, in_call * batch).reshape(in_call, batch)
        state, loss = call(state, data, numbers, np.float32(rates))
        if losses:
            losses[-1].block_until_ready()  # of the call before the one that has begun
            ends.append(time.monotonic())
        losses.append(loss)
    means = [float(losses[at].mean()) for at in (0, -1)]
    ends.append(time.monotonic())
    done, counted = len(losses) * in_call, ends if len(ends) > 1 else [begin, *ends]
    seconds = (counted[-1] - counted[0]) / (len(counted) - 1) / in_call  # of a step
    if part == "step" and (precision, batch, routing) == (flags.precision, flags.sizes["batches"][0], 3):
        flags.votes[seconds] = votes
    facts |= {"losses": means, "seconds": ends[-1] - begin, "ms": 1e3 * seconds, "images_per_second": batch / seconds}
    write(flags, part, precision=precision, batch=batch, votes=votes, routing=routing, steps=done, of=steps, **facts)
    return state[0], done


def train_fully(flags: argparse.Namespace, part: str) -> None:
    """Trains, writes the weights to a folder, in float16, and evaluates what is in it in float32."""
    (steps, batch), votes = flags.sizes[part], min(flags.votes.items(), default=(0, "library"))[1]
    weights, done = train(flags, part, flags.precision, batch, steps, votes)
    set_precision("float32")
    (side, _, hparams, _, options), labels = RECIPES[part], idx.load(flags.data_dir, "train")[1]
    hparams, options = HParams(**hparams | flags.sizes["hparams"]), Options(**options)
    model = make_model("capsule", (side, side, 1), 10, hparams)
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(np.float16(weight))
    run = {"model": "capsule", "dataset": "mnist", "num_targets": options.num_targets, "seed": 0, "max_steps": done,
           "batch_size": batch, "precision": flags.precision}  # fmt: skip
    facts = flags.facts["versions"], flags.facts["commit"] or None
    data = {"examples": len(labels), "checksum": labels_checksum(labels)}
    config = asdict(NetworkConfig(run, hparams, model.image_shape, tuple("0123456789"), *facts, data))
    halves = {name: np.float16(variable) for name, variable in model.named_variables().items()}
    pretrained.write(flags.out / part, config, halves, done)
    batches = list(evaluation_batches(open_split("mnist", "test", str(flags.data_dir), options), 1000))
    logits = np.concatenate([model.predict_on_batch(each["images"])["logits"] for each in batches])
    result = count(logits, np.concatenate([each["labels"] for each in batches]), 0.0)
    write(flags, part, folder=part, steps=done, test_examples=result.size, wrong=result.wrong)


def main() -> None:
    """Runs the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "input_data/mnist/sample", help="MNIST's IDX files")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "runs/gpu"), help="folder of the results")
    parser.add_argument("--parts", default="step:120,paper:330,recipe:60,multi:240", help="NAME:SECONDS")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which the program should end")
    parser.add_argument("--precision", choices=FULL["precisions"], default="bfloat16", help="of the trainings")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, for a CPU")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    if not flags.rehearse and jax.default_backend() == "cpu":
        sys.exit("JAX finds no accelerator. Install its build for one, or try --rehearse.")
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    flags.sizes, flags.votes = SMALL if flags.rehearse else FULL, {}
    flags.facts = {"device": jax.local_devices()[0].device_kind, "commit": os.environ.get("COMMIT", git),
                   "command": " ".join(sys.argv),
                   "versions": {each.__name__: each.__version__ for each in (keras, jax, np)}}  # fmt: skip
    for part in flags.parts.split(","):
        name, _, seconds = part.partition(":")
        flags.deadline = min(START + flags.seconds, time.monotonic() + float(seconds or "inf"))
        attempt(measure_steps if name == "step" else train_fully, flags, name)


if __name__ == "__main__":
    main()
