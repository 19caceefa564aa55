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
from input_data import Options, evaluation_batches, open_split
from input_data.dataset import labels_checksum
from input_data.formats import idx
from input_data.mnist.varied_digits import NOISE, vary
from models import make_model, network_class, pretrained
from models.hparams import HParams
from runner.config import NetworkConfig

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


FULL = {"batches": (128, 1408), "precisions": ("bfloat16", "tf32", "float32"),
        "cases": 3, "images": 150_000, "matrix": 8192, "reserve": 20, "call": 64_000, "hparams": {},
        "paper": (300_000, 128), "recipe": (23_450, 128), "multi": (10**9, 512)}  # fmt: skip
SMALL = {"batches": (4,), "precisions": ("float32",), "cases": 2, "images": 8, "matrix": 64,
         "reserve": 3, "call": 16, "hparams": {"conv_channels": 8, "num_prime_capsules": 2, "primary_atoms": 2},
         "paper": (16, 8), "recipe": (16, 8), "multi": (10**9, 8)}  # fmt: skip
FALL = {  # factor of the learning rate, from the step and the share of the training that is over
    "2017": lambda step, share: 0.96 ** (step / 2000),
    "linear": lambda step, share: min(share / 0.05, 1) * (1 - share),
}
VARIED = {"preparation": "efficient"}
RECIPES = {  # side of the images, sampler, hparams, fall of the learning rate, test set
    "paper": (SIDE, shifted, {}, "2017", {}),
    "recipe": (SIDE, partial(shifted, reach=0), VARIED | {"learning_rate": 0.003, "loss_type": "margin_sum"},
               "linear", VARIED),
    "multi": (FRAME, pairs, {"learning_rate": 0.002}, "linear", {"num_targets": 2}),
}  # fmt: skip


class Training:
    """A CapsNet that is trained on the device, many steps in one call, by digits and labels that `sample` prepares."""

    def __init__(self, examples: tuple, sample: Callable, hparams: dict, side: int = SIDE):
        self.data, self.sample, self.hparams, self.shape = store(*examples), sample, hparams, (side, side, 1)
        keras.utils.set_random_seed(0)
        self.model = make_model("capsule", self.shape, 10, hparams)
        self.optimizer = keras.optimizers.Adam(1.0, epsilon=1e-8)
        self.optimizer.build(self.model.trainable_variables)
        self.rate = [variable.name for variable in self.optimizer.variables].index("learning_rate")

    def start(self) -> tuple:
        """The state of a training that begins: weights, Adam's variables, averages of the weights, and a key."""
        weights = [variable.value for variable in self.model.trainable_variables]
        slots = [variable.value for variable in self.optimizer.variables]
        return *(list(map(jnp.copy, each)) for each in (weights, slots, weights)), jax.random.key(0)

    def step(self, data: dict, state: tuple, inputs: tuple) -> tuple:
        """One step, for `lax.scan`: of a state and (numbers of digits [batch], learning rate)."""
        weights, slots, averages, key = state
        key, own = jax.random.split(key)
        images, labels, targets = self.sample(data, own, inputs[0])

        def cost(weights):
            with keras.StatelessScope(list(zip(self.model.trainable_variables, weights, strict=True))):
                return self.model.costs(self.model(images, training=True), images, labels, targets)["total"]

        loss, gradients = jax.value_and_grad(cost)(weights)
        slots = [*slots[: self.rate], inputs[1], *slots[self.rate + 1 :]]
        decay = jnp.minimum(0.999, (1.0 + slots[0]) / (10.0 + slots[0]))  # slot 0 counts the steps
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        averages = [old + (1 - decay) * (new - old) for old, new in zip(averages, weights, strict=True)]
        return (weights, slots, averages, key), loss

    def compiled(self, steps: int, batch: int, votes: str) -> tuple[Callable, dict]:
        """A function of (state, numbers [steps, batch], rates [steps]) that uses up its state, and facts about it."""
        begin, layer, own = time.monotonic(), self.model.classes, self.model.classes.votes

        def stored(inputs):
            library = own(inputs)
            return next(library.chunks(library.shape[0]))  # all of them as one tensor

        @partial(jax.jit, donate_argnums=0)
        def call(state, data, *inputs):
            return jax.lax.scan(partial(self.step, data), state, inputs)

        with patch.object(layer, "votes", stored if votes == "stored" else own):
            lowered = call.lower(self.start(), self.data, jnp.zeros((steps, batch), jnp.int32), jnp.zeros(steps))
        program = lowered.compile()
        memory = program.memory_analysis()
        megabytes = (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20
        facts = {"votes": votes, "megabytes": megabytes, "compile_seconds": time.monotonic() - begin}
        return lambda state, *inputs: program(state, self.data, *inputs), facts


class Session:
    """One run of this program: its flags, sizes, results, the times of steps, and the time."""

    def __init__(self, flags: argparse.Namespace):
        self.flags, self.sizes, self.measured = flags, SMALL if flags.rehearse else FULL, {}
        self.deadline = START + flags.seconds
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
        commit = os.environ.get("COMMIT") or git.strip()
        self.facts = {"device": jax.local_devices()[0].device_kind, "commit": commit, "command": " ".join(sys.argv),
                      "versions": {each.__name__: each.__version__ for each in (keras, jax, np)}}  # fmt: skip

    def write(self, part: str, **numbers) -> None:
        """Appends a result to the file, and prints it."""
        row = {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in numbers.items()}
        row = {"part": part, "at": round(time.monotonic() - START, 1)} | row
        with (self.flags.out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row | self.facts) + "\n")
        print(json.dumps(row), flush=True)

    def attempt(self, part: str, run, **what) -> None:
        """Calls `run`; an error of any kind becomes a result, and the program goes on."""
        if time.monotonic() > self.deadline:
            return self.write(part, **what, stopped="the time was up")
        try:
            run(**what)
        except Exception as error:
            self.write(part, **what, failed=f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}")


def set_precision(precision: str) -> None:
    """float32 (exact), tf32 (float32 whose factors may be rounded to 10 bits), or bfloat16 layers."""
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    jax.config.update("jax_default_matmul_precision", "highest" if precision == "float32" else "tensorfloat32")


def measure_steps(session: Session) -> None:
    """Times training steps, the most important cases first, beside the speed of a large matrix product."""
    examples, usual = idx.load(session.flags.data_dir, "train"), session.flags.precision

    def measure(precision: str, batch: int, votes: str, routing: int) -> None:
        set_precision(precision)
        training = Training(examples, shifted, {"routing": routing} | session.sizes["hparams"])
        shape = session.sizes["images"] // batch, batch  # of the numbers for one call
        call, facts = training.compiled(*shape, votes)
        state, numbers = training.start(), np.random.default_rng(0).integers(len(examples[0]), size=shape)
        for _ in range(2):  # the first call is not counted
            begin = time.monotonic()
            state, losses = call(state, numbers.astype(np.int32), np.full(shape[0], 1e-3, np.float32))
            losses.block_until_ready()
        seconds = (time.monotonic() - begin) / shape[0]
        if (precision, batch, routing) == (usual, session.sizes["batches"][0], 3):
            session.measured[seconds] = votes
        session.write("step", precision=precision, batch=batch, routing=routing, **facts, loss=float(losses[-1]),
                      ms=1e3 * seconds, images_per_second=batch / seconds)  # fmt: skip

    def measure_product(precision: str, size: int) -> None:
        set_precision(precision)
        matrix = jax.random.uniform(jax.random.key(0), (size, size), keras.config.dtype_policy().compute_dtype)
        product = jax.jit(jnp.matmul)
        seconds = in_turns({"product": lambda: product(matrix, matrix).block_until_ready()}, 5)["product"]
        session.write("ceiling", precision=precision, tflops=2 * size**3 / min(seconds) / 1e12)

    session.attempt("ceiling", measure_product, precision=usual, size=session.sizes["matrix"])
    cases = [(usual, "library", 3), (usual, "stored", 3), (usual, "library", 1)][: session.sizes["cases"]]
    cases += [(each, "library", 3) for each in session.sizes["precisions"] if each != usual]
    for (precision, votes, routing), batch in product(cases, session.sizes["batches"]):
        session.attempt("step", measure, precision=precision, batch=batch, votes=votes, routing=routing)


def train(session: Session, part: str) -> None:
    """Trains on the part's recipe until the last step or until the time is up, then evaluates and saves."""
    (side, sampler, hparams, fall, _), (steps, batch) = RECIPES[part], session.sizes[part]
    in_call = max(n for n in range(1, session.sizes["call"] // batch + 1) if steps % n == 0)
    set_precision(session.flags.precision)
    images, labels = idx.load(session.flags.data_dir, "train")
    data, random = {"examples": len(labels), "checksum": labels_checksum(labels)}, np.random.default_rng(0)
    if part == "recipe":  # four variations of each digit, made here
        made = [vary(np.float32(images) / 256, random.random((len(images), NOISE))) for _ in range(4)]
        images, labels = np.uint8(np.rint(255 * np.concatenate(made))), np.tile(labels, 4)
    training = Training((images, labels), sampler, hparams | session.sizes["hparams"], side)
    peak = HParams(**training.hparams).learning_rate
    call, facts = training.compiled(in_call, batch, min(session.measured.items(), default=(0, "library"))[1])
    state, losses, done, begin = training.start(), [], 0, time.monotonic()
    allowed = max(session.deadline - begin - session.sizes["reserve"], 1.0)
    digits = chain.from_iterable(map(random.permutation, repeat(len(images))))
    while done < steps and time.monotonic() < begin + allowed:
        passed = (time.monotonic() - begin) / allowed  # where the steps would take longer, the rate falls in time
        rates = [peak * FALL[fall](step, max(step / steps, passed)) for step in range(done, done + in_call)]
        numbers = np.fromiter(digits, np.int32, in_call * batch).reshape(in_call, batch)
        state, loss = call(state, numbers, np.array(rates, np.float32))
        losses, done = [*losses, loss], done + in_call
        losses[-2:-1] = map(np.asarray, losses[-2:-1])  # waits for the call before the one that begins
    seconds = time.monotonic() - begin
    facts |= {"losses": [float(np.mean(losses[at])) for at in (0, -1)], "images_per_second": done * batch / seconds}
    facts |= {"steps": done, "of": steps, "batch": batch, "precision": session.flags.precision, "seconds": seconds}
    session.write(part, **facts)
    finish(session, part, done, batch, training, state[2], data)


def finish(session: Session, part: str, steps: int, batch: int, training, weights: list, data: dict) -> None:
    """Writes the averaged weights to a folder, in float16, and evaluates what is in it in float32."""
    set_precision("float32")
    model = make_model("capsule", training.shape, 10, training.hparams)
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(np.float16(weight))
    flags = {"model": "capsule", "dataset": "mnist", "num_targets": 1 + (part == "multi"), "seed": 0,
             "max_steps": steps, "batch_size": batch, "precision": session.flags.precision}  # fmt: skip
    facts = session.facts["versions"], session.facts["commit"] or None, data
    config = asdict(NetworkConfig(flags, HParams(**training.hparams), training.shape, tuple("0123456789"), *facts))
    halves = {name: np.float16(variable) for name, variable in model.named_variables().items()}
    pretrained.write(session.flags.out / part, config, halves, steps)
    split, wrong = open_split("mnist", "test", str(session.flags.data_dir), Options(**RECIPES[part][-1])), 0
    for images in evaluation_batches(split, 1000):
        labels = np.sort(images["labels"])  # [batch, targets]
        best = np.argsort(-model.predict_on_batch(images["images"])["logits"])[:, : labels.shape[1]]
        wrong += int((np.sort(best) != labels).any(axis=1).sum())
    session.write(part, folder=part, steps=steps, test_examples=len(split), wrong=wrong)


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
    session = Session(flags)
    for part in flags.parts.split(","):
        name, _, seconds = part.partition(":")
        session.deadline = min(START + flags.seconds, time.monotonic() + float(seconds or "inf"))
        run = partial(train, part=name) if name in RECIPES else {"step": measure_steps}[name]
        session.attempt(name, partial(run, session))


if __name__ == "__main__":
    main()
