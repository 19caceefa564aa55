"""All that is to be measured when a GPU is at hand, in one program that runs on JAX without TensorFlow.

    python benchmarks/gpu.py --data_dir=D --seconds=510 --parts=step:120,paper:330
    python benchmarks/gpu.py --rehearse            # every part at small sizes, on a CPU

`step` times training steps of CapsNet with several forms of its large convolution and of its votes, `paper` trains by
the paper's schedule, `recipe` by a better one, and `multi` on MultiMNIST, in the way that was fastest. A part that
fails is reported, and the next one begins. Each result is appended to OUT/results.jsonl at once; a trained network
becomes the folder OUT/PART, like those in `pretrained/`. PyTorch is measured by `train_step.py --backend=torch`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from itertools import chain, product, repeat
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import keras
import numpy as np

from benchmarks import on_device
from benchmarks.on_device import FORMS
from benchmarks.train_step import ceilings
from input_data import Options, evaluation_batches, open_split
from input_data.dataset import labels_checksum
from input_data.formats import idx
from input_data.mnist.varied_digits import NOISE, vary
from models import pretrained
from models.hparams import HParams

START, ROOT = time.monotonic(), Path(__file__).resolve().parents[1]
FULL = {"batches": (128, 1408), "precisions": ("bfloat16", "tf32", "float32"),
        "images": 150_000, "matrix": 8192, "reserve": 20, "call": 500, "hparams": {},
        "paper": (300_000, 128), "recipe": (23_450, 128), "multi": (10**9, 512)}  # fmt: skip
SMALL = {"batches": (2, 4), "precisions": ("float32",), "images": 16, "matrix": 64,
         "reserve": 3, "call": 1, "hparams": {"conv_channels": 8, "num_prime_capsules": 2},
         "paper": (24, 16), "recipe": (8, 16), "multi": (8, 16)}  # fmt: skip
FALL = {  # factor of the learning rate, from the step and the share of the training that is over
    "2017": lambda step, share: 0.96 ** (step / 2000),
    "linear": lambda step, share: min(share / 0.05, 1) * (1 - share),
}
VARIED, PAIRS = {"preparation": "efficient"}, {"num_targets": 2}
RECIPES = {  # side of the images, sampler, hparams, fall of the learning rate, test sets
    "paper": (28, on_device.shifted, {}, "2017", {"wrong": {}}),
    "recipe": (28, partial(on_device.shifted, reach=0), VARIED | {"learning_rate": 0.003, "loss_type": "margin_sum"},
               "linear", {"wrong": VARIED}),
    "multi": (36, on_device.pairs, {"learning_rate": 0.002}, "linear", {"wrong_4": PAIRS, "wrong_6": PAIRS | VARIED}),
}  # fmt: skip


class Session:
    """One run of this program: its flags, sizes, results, the times of steps, and the time."""

    def __init__(self, flags: argparse.Namespace):
        self.flags, self.sizes, self.measured = flags, SMALL if flags.rehearse else FULL, {}
        self.end = self.deadline = START + flags.seconds
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        commit = os.environ.get("COMMIT") or done.stdout.strip()
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

    def measure(precision: str, batch: int, form: str, votes: str, routing: int) -> None:
        set_precision(precision)
        training = on_device.Training(examples, on_device.shifted, {"routing": routing} | session.sizes["hparams"])
        shape = session.sizes["images"] // batch, batch  # of the numbers for one call
        call, facts = training.compiled(*shape, form, votes)
        state, numbers = training.start(0), np.random.default_rng(0).integers(len(examples[0]), size=shape)
        for _ in range(2):  # the first call is not counted
            begin = time.monotonic()
            state, losses = call(state, numbers.astype(np.int32), np.full(shape[0], 1e-3, np.float32))
            losses.block_until_ready()
        seconds = (time.monotonic() - begin) / shape[0]
        if (precision, batch, routing) == (usual, session.sizes["batches"][0], 3):
            session.measured[seconds] = form, votes
        session.write("step", precision=precision, batch=batch, routing=routing, **facts, loss=float(losses[-1]),
                      ms=1e3 * seconds, images_per_second=batch / seconds)  # fmt: skip

    set_precision(usual)
    tflops, gigabytes = ceilings(session.sizes["matrix"])
    session.write("ceiling", precision=usual, tflops=tflops / 1e3, gigabytes_per_second=gigabytes)
    cases = [(usual, form, "library", 3) for form in FORMS] + [(usual, "direct", "stored", 3)]
    cases += [(usual, "direct", "library", 1)]
    cases += [(each, "direct", "library", 3) for each in session.sizes["precisions"] if each != usual]
    for (precision, form, votes, routing), batch in product(cases, session.sizes["batches"]):
        session.attempt("step", measure, precision=precision, batch=batch, form=form, votes=votes, routing=routing)


def train(session: Session, part: str) -> None:
    """Trains on the part's recipe until the last step or until the time is up, then evaluates and saves."""
    (side, sampler, hparams, fall, _), (steps, batch) = RECIPES[part], session.sizes[part]
    steps = session.flags.steps or steps
    in_call = max(n for n in range(1, session.sizes["call"] * 128 // batch + 1) if steps % n == 0)
    set_precision(session.flags.precision)
    images, labels = idx.load(session.flags.data_dir, "train")
    data, random = {"examples": len(labels), "checksum": labels_checksum(labels)}, np.random.default_rng(0)
    if part == "recipe":  # four variations of each digit, made here
        made = [vary(np.float32(images) / 256, random.random((len(images), NOISE))) for _ in range(4)]
        images, labels = np.uint8(np.rint(255 * np.concatenate(made))), np.tile(labels, 4)
    training = on_device.Training((images, labels), sampler, hparams | session.sizes["hparams"], side)
    peak = HParams(**training.hparams).learning_rate
    call, facts = training.compiled(
        in_call, batch, *min(session.measured.items(), default=(0, ("direct", "library")))[1]
    )
    state, losses, done, begin = training.start(0), [], 0, time.monotonic()
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
    what = {"steps": done, "of": steps, "batch": batch, "precision": session.flags.precision}
    session.write(part, **what, **facts, seconds=seconds)
    finish(session, part, done, batch, training, state[2], data)


def finish(session: Session, part: str, steps: int, batch: int, training, weights: list, data: dict) -> None:
    """Writes the averaged weights to a folder, in float16, and evaluates what is in it in float32."""
    set_precision("float32")
    model = training.new()
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(np.float16(weight))
    config = pretrained.read_config(pretrained.FOLDER / "capsnet_mnist_small")  # in which each field has its form
    precision = session.flags.precision.replace("tf32", "float32")
    config["flags"] |= {"hparams_override": None, "num_targets": 1 + (part == "multi"), "seed": 0, "max_steps": steps,
                        "batch_size": batch, "precision": precision}  # fmt: skip
    config |= {"hparams": asdict(HParams(**training.hparams)), "image_shape": list(training.shape), "data": data,
               "versions": session.facts["versions"], "git_commit": session.facts["commit"] or None}  # fmt: skip
    halves = {name: np.float16(variable) for name, variable in model.named_variables().items()}
    pretrained.write(session.flags.out / part, config, halves, steps)
    wrong: dict[str, int] = {}
    for name, options in RECIPES[part][-1].items():
        split = open_split("mnist", "test", str(session.flags.data_dir), Options(**options))
        for images in evaluation_batches(split, 1000):
            labels = np.sort(images["labels"])  # [batch, targets]
            best = np.argsort(-model.predict_on_batch(images["images"])["logits"])[:, : labels.shape[1]]
            wrong[name] = wrong.get(name, 0) + int((np.sort(best) != labels).any(axis=1).sum())
    session.write(part, folder=part, steps=steps, test_examples=len(split), **wrong)


def main() -> None:
    """Runs the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "input_data/mnist/sample", help="MNIST's IDX files")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "runs/gpu"), help="folder of the results")
    parser.add_argument("--parts", default="step:120,paper:330,recipe:60,multi:240", help="NAME:SECONDS")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which the program should end")
    parser.add_argument("--precision", choices=FULL["precisions"], default="bfloat16", help="of the trainings")
    parser.add_argument("--steps", type=int, help="of a training (default: as many as its recipe has)")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, for a CPU")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    if not flags.rehearse and jax.default_backend() == "cpu":
        sys.exit("JAX finds no accelerator. Install its build for one, or try --rehearse.")
    session = Session(flags)
    for part in flags.parts.split(","):
        name, _, seconds = part.partition(":")
        session.deadline = min(session.end, time.monotonic() + float(seconds or "inf"))
        run = partial(train, part=name) if name in RECIPES else {"step": measure_steps}[name]
        session.attempt(name, partial(run, session))


if __name__ == "__main__":
    main()
