"""All that is to be measured when a GPU is at hand, in one program that runs without TensorFlow.

    python benchmarks/gpu.py --data_dir=D --seconds=510 --parts=forms:60,step:90,paper:330
    python benchmarks/gpu.py --rehearse            # every part at small sizes, on a CPU

`forms` computes CapsNet's large convolution in several ways, `step` times training steps, `paper` trains by the paper's
schedule, `recipe` by a better one, `multi` on MultiMNIST, and `torch` is `forms` and `step` on PyTorch. NAME:SECONDS
limits a part. A part that fails is reported, and the next one begins. Each result is appended to OUT/results.jsonl at
once; a trained network becomes a folder in OUT like those in `pretrained/`. `gpu_pack.sh` packs what a machine needs.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, product, repeat
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.6")  # the part `torch` is another process on the same GPU
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from keras import ops

from benchmarks import backends, on_device
from benchmarks.on_device import FORMS, KERNEL, STRIDE, VOTES
from input_data import Options, evaluation_batches, open_split
from input_data.dataset import labels_checksum
from input_data.formats import idx
from models import make_model, pretrained
from models.hparams import HParams

START, ROOT = time.monotonic(), Path(__file__).resolve().parents[1]
PRECISIONS = ("bfloat16", "tf32", "float32")
USUAL = {"form": "direct", "votes": "library"}  # what the library does by itself
PARTS = {"forms": 60, "step": 90, "paper": 330, "recipe": 60, "multi": 240, "torch": 45}  # seconds at most
FULL = {"side": 20, "channels": 256, "batches": (128, 1024, 1408), "precisions": PRECISIONS, "cases": slice(None),
        "images": 150_000, "matrix": 8192, "seconds": 0.3, "reserve": 20, "call": 500, "seeds": 3,
        "paper": (300_000, 128), "recipe": (23_450, 128), "multi": (10**9, 512), "hparams": {}}  # fmt: skip
SMALL = {"side": 13, "channels": 8, "batches": (2, 3, 4), "precisions": ("float32",), "cases": slice(6, 7),
         "images": 16, "matrix": 64, "seconds": 0.0, "reserve": 3, "call": 1, "seeds": 1, "paper": (24, 16),
         "recipe": (8, 16), "multi": (8, 16), "hparams": {"conv_channels": 8, "num_prime_capsules": 2}}  # fmt: skip
FALL = {  # factor of the learning rate, from the step and the share of the training that is over
    "2017": lambda step, share: 0.96 ** (step / 2000),
    "linear": lambda step, share: min(share / 0.05, 1) * (1 - share),
}
VARIED, PAIRS = {"preparation": "efficient"}, {"num_targets": 2}
RECIPES = {  # side of the images, sampler, hparams, fall of the learning rate, test sets
    "paper": (28, "shifted", {}, "2017", {"wrong": {}}),
    "recipe": (28, "varied", VARIED | {"learning_rate": 0.003, "loss_type": "margin_sum"}, "linear", {"wrong": VARIED}),
    "multi": (36, "pairs", {"learning_rate": 0.002}, "linear", {"wrong_4": PAIRS, "wrong_6": PAIRS | VARIED}),
}


class Session:
    """One run of this program: its flags, sizes, results and time."""

    def __init__(self, flags: argparse.Namespace):
        self.flags, self.sizes = flags, SMALL if flags.rehearse else FULL
        self.hparams = self.sizes["hparams"] | flags.hparams  # of every network
        self.fastest, self.ceilings = {}, {}
        self.end = self.deadline = START + flags.seconds
        versions = {each: sys.modules[each].__version__ for each in ("keras", backends.BACKEND, "numpy")}
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        self.facts = {"device": backends.device_name(), "commit": os.environ.get("COMMIT") or done.stdout.strip()}
        self.facts |= {"versions": versions | {"python": platform.python_version()}, "command": " ".join(sys.argv)}

    def left(self) -> float:
        """Seconds until the present part should end."""
        return self.deadline - time.monotonic()

    def write(self, part: str, **numbers) -> None:
        """Appends a result to the file, and prints it."""
        now = round(time.monotonic() - START, 1)
        row: dict = {"part": part, "backend": backends.BACKEND}
        row |= {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in numbers.items()}
        with (self.flags.out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row | {"at": now} | self.facts) + "\n")
        print(f"{now:6.1f} s", json.dumps(row), flush=True)

    @contextmanager
    def attempt(self, part: str, **what) -> Iterator[None]:
        """Runs the block; an error of any kind becomes a result, and the program goes on."""
        try:
            yield
        except Exception as error:
            self.write(part, **what, failed=f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}")

    def ceiling(self, precision: str) -> float:
        """Sets the precision; returns the TFLOP/s of a large matrix product in it, which are measured once."""
        backends.set_precision(precision)
        if precision not in self.ceilings:
            gigaflops, gigabytes = backends.ceilings(self.sizes["matrix"])
            self.ceilings[precision] = gigaflops / 1e3
            self.write("ceiling", precision=precision, tflops=gigaflops / 1e3, gigabytes_per_second=gigabytes)
        return self.ceilings[precision]

    def note(self, choice: str, name: str, precision: str, batch: int, seconds: float) -> None:
        """Keeps the name of the fastest form or kind of votes for a precision and a batch."""
        key = choice, precision, batch
        self.fastest[key] = min(self.fastest.get(key, (np.inf, "")), (seconds, name))

    def ways(self, precision: str, batch: int) -> dict[str, str]:
        """The form and the votes to use: what the flags say, or what was fastest for the smallest or largest batch."""
        small, _, large = self.sizes["batches"]
        key = precision, small if batch <= small else large
        fastest = {choice: self.fastest.get((choice, *key), (0, usual))[1] for choice, usual in USUAL.items()}
        return {choice: getattr(self.flags, choice) or name for choice, name in fastest.items()}

    def in_time(self, part: str, cases: Iterable) -> Iterator:
        """The cases of a part, until its time is up."""
        for case in cases:
            if self.left() < 0:
                return self.write(part, stopped=f"the time was up before {case}")
            yield case


def measure_forms(session: Session) -> None:
    """Times each form in each direction, and compares its results with those of the direct one in float32."""
    sizes, inputs, reference = session.sizes, {}, {}
    side, channels, grid = sizes["side"], sizes["channels"], (sizes["side"] - KERNEL) // STRIDE + 1
    order = []
    for precision, batch in product(sizes["precisions"], sizes["batches"][::2]):
        order += [("float32", batch, "direct"), *((precision, batch, form) for form in FORMS)]
    for precision, batch, form in session.in_time("forms", dict.fromkeys(order)):
        what = {"form": form, "precision": precision, "batch": batch}
        with session.attempt("forms", **what):
            ceiling, times, random = session.ceiling(precision), [], np.random.default_rng(0)
            shapes = (batch, side, side, channels), (KERNEL, KERNEL, channels, channels), (batch, grid, grid, channels)
            if batch not in inputs:
                inputs[batch] = [ops.convert_to_tensor(random.standard_normal(shape, np.float32)) for shape in shapes]
            tensors = [ops.cast(each, precision.replace("tf32", "float32")) for each in inputs[batch]]
            for direction, run in on_device.passes(FORMS[form], *tensors).items():
                with session.attempt("forms", **what, direction=direction):
                    result, seconds = on_device.measure(run, sizes["seconds"])
                    result = ops.cast(result, "float32")
                    name, expected = reference.setdefault((batch, direction), (f"{form}, {precision}", result))
                    error = float(ops.norm(result - expected) / ops.norm(expected))
                    times += [seconds] if error < 0.05 else []
                    tflops = 2 * batch * grid**2 * KERNEL**2 * channels**2 / seconds / 1e12
                    session.write("forms", **what, direction=direction, ms=1e3 * seconds, tflops=tflops,
                                  share=tflops / ceiling, relative_error=error, compared_with=name)  # fmt: skip
            if len(times) == 3:
                session.note("form", form, precision, batch, sum(times))


def measure_steps(session: Session) -> None:
    """Times training steps of CapsNet, the most important cases first."""
    (small, middle, large), usual = session.sizes["batches"], session.flags.precision
    cases = [(usual, batch, None, routing) for routing in (3, 1) for batch in (small, large)]
    cases += [(usual, batch, votes, 3) for votes in ("stored", "together") for batch in (small, large)]
    cases += [(usual, middle, None, 3)]
    cases += [(precision, batch, None, 3) for precision in PRECISIONS for batch in (small, large) if precision != usual]
    for precision, batch, votes, routing in session.in_time("step", cases[session.sizes["cases"]]):
        what = {"precision": precision, "batch": batch, "routing": routing}
        with session.attempt("step", **what):
            ceiling, examples = session.ceiling(precision), idx.load(session.flags.data_dir, "train")
            training = on_device.Training(examples, on_device.shifted, {"routing": routing} | session.hparams)
            ways = session.ways(precision, batch) | ({"votes": votes} if votes else {})
            shape = session.sizes["images"] // batch, batch  # of the numbers for one call
            call, facts = training.compiled(*shape, **ways)
            state, numbers = training.start(0), np.random.default_rng(0).integers(len(examples[0]), size=shape)
            for _ in range(2):  # the first call is not counted
                begin = time.monotonic()
                state, losses = call(state, numbers.astype(np.int32), np.full(shape[0], 1e-3, np.float32))
                backends.wait(losses)
            seconds = (time.monotonic() - begin) / shape[0]
            if routing == 3:
                session.note("votes", ways["votes"], precision, batch, seconds)
            session.write("step", **what, **facts, ms=1e3 * seconds, images_per_second=batch / seconds,
                          share=batch / seconds * on_device.flop(training.model) / 1e12 / ceiling)  # fmt: skip


def measure_torch_steps(session: Session) -> None:
    """Times Keras' `train_on_batch` on PyTorch."""
    sizes = session.sizes
    for precision, batch in session.in_time("step", product(sizes["precisions"], sizes["batches"][::2])):
        with session.attempt("step", precision=precision, batch=batch):
            ceiling, model = session.ceiling(precision), make_model("capsule", (28, 28, 1), 10, session.hparams)
            images = np.random.default_rng(0).random((batch, 28, 28, 1), np.float32)
            labels = np.arange(batch, dtype=np.int32)[:, None] % 10
            _, seconds = on_device.measure(backends.train_step(model, images, labels), sizes["seconds"])
            facts = {"ms": 1e3 * seconds, "images_per_second": batch / seconds, "megabytes": backends.peak_device_mb()}
            facts["share"] = batch / seconds * on_device.flop(model) / 1e12 / ceiling
            session.write("step", precision=precision, batch=batch, **facts)


def train(session: Session, part: str) -> None:
    """Trains on the part's recipe until the last step or until the time is up, then evaluates and saves."""
    side, sample, hparams, fall, _ = RECIPES[part]
    steps, batch = session.flags.steps or session.sizes[part][0], session.sizes[part][1]
    in_call = max(n for n in range(1, session.sizes["call"] * 128 // batch + 1) if steps % n == 0)
    backends.set_precision(session.flags.precision)
    examples, sampler = idx.load(session.flags.data_dir, "train"), getattr(on_device, sample)
    training = on_device.Training(examples, sampler, hparams | session.hparams, side, part == "recipe")
    peak = HParams(**training.hparams).learning_rate
    call, facts = training.compiled(in_call, batch, **session.ways(session.flags.precision, batch))
    seeds = session.sizes["seeds"] if part == "recipe" else 1
    for seed in chain([0], session.in_time(part, range(1, seeds))):  # one call at least, now that it is compiled
        state, losses, done, begin = training.start(seed), [], 0, time.monotonic()
        allowed = max((session.left() - session.sizes["reserve"]) / (seeds - seed), 1.0)
        digits = chain.from_iterable(map(np.random.default_rng(seed).permutation, repeat(len(examples[0]))))
        while done < steps and time.monotonic() < begin + allowed:
            passed = (time.monotonic() - begin) / allowed  # where the steps would take longer, the rate falls in time
            rates = [peak * FALL[fall](step, max(step / steps, passed)) for step in range(done, done + in_call)]
            numbers = np.fromiter(digits, np.int32, in_call * batch).reshape(in_call, batch)
            state, loss = call(state, numbers, np.array(rates, np.float32))
            losses, done = [*losses, loss], done + in_call
            losses[-2:-1] = map(np.asarray, losses[-2:-1])  # waits for the call before the one that begins
        facts |= {"losses": [float(np.mean(losses[at])) for at in (0, -1)], "seconds": time.monotonic() - begin}
        what = {"seed": seed, "steps": done, "of": steps, "batch": batch, "precision": session.flags.precision}
        session.write(part, **what, **facts, images_per_second=done * batch / facts["seconds"])
        with session.attempt(part, **what):
            data = {"examples": len(examples[1]), "checksum": labels_checksum(examples[1])}
            finish(session, part, what, training, state, data)


def finish(session: Session, part: str, what: dict, training: on_device.Training, state: tuple, data: dict) -> None:
    """Evaluates a network in float32, and writes its folder, in which the weights are float16."""
    import jax

    backends.set_precision("float32")
    model = training.new()
    logits = jax.jit(lambda weights, images: on_device.with_weights(model, weights, lambda: model(images)["logits"]))
    kinds = {"last": state[0], "averaged": state[2]} if state[2] else {"last": state[0]}
    for variable, weight in zip(model.trainable_variables, list(kinds.values())[-1], strict=True):
        variable.assign(np.float16(weight))
    kinds["of_file"] = [variable.value for variable in model.trainable_variables]
    wrong: dict[str, int] = {}
    for name, options in RECIPES[part][-1].items():
        split = open_split("mnist", "test", str(session.flags.data_dir), Options(**options))
        for batch, (kind, weights) in product(evaluation_batches(split, 1000), kinds.items()):
            labels = np.sort(batch["labels"])  # [batch, targets]
            best = np.argsort(-np.asarray(logits(weights, batch["images"])))[:, : labels.shape[1]]
            found = int((np.sort(best) != labels).any(axis=1).sum())
            wrong[f"{name}_{kind}"] = wrong.get(f"{name}_{kind}", 0) + found
    session.write(part, **what, test_examples=len(split), **wrong)
    config = pretrained.read_config(pretrained.FOLDER / "capsnet_mnist_small")  # in which each field has its form
    precision = what["precision"].replace("tf32", "float32")
    config["flags"] |= {"hparams_override": None, "num_targets": labels.shape[1], "seed": what["seed"],
                        "max_steps": what["steps"], "batch_size": what["batch"], "precision": precision}  # fmt: skip
    config |= {"hparams": asdict(HParams(**training.hparams)), "image_shape": list(training.shape), "data": data}
    config |= {"versions": session.facts["versions"], "git_commit": session.facts["commit"] or None}
    folder = session.flags.out / f"{part}_{what['seed']}"
    folder.mkdir()
    (folder / pretrained.CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    halves = {name: np.float16(variable) for name, variable in model.named_variables().items()}
    pretrained.write_weights(folder / pretrained.WEIGHTS, halves, what["steps"])
    sums = (pretrained.checksum_line(folder / name) for name in (pretrained.CONFIG, pretrained.WEIGHTS))
    (folder / pretrained.SUMS).write_text("".join(sums), encoding="utf-8")
    session.write(part, **what, checkpoint=folder.name)


def run_torch(session: Session) -> None:
    """Runs this program on PyTorch, in a process of its own."""
    command = [
        sys.executable,
        *sys.argv,
        "--parts=forms,step",
        f"--seconds={session.left()}",
    ]  # the last of a flag counts
    subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "torch"}, check=True, timeout=session.left() + 30)


def main() -> None:
    """Runs the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "input_data/mnist/sample", help="MNIST's IDX files")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "runs/gpu"), help="folder of the results")
    parser.add_argument("--parts", default=",".join(PARTS), help="NAME or NAME:SECONDS, with commas between")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which the program should end")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16", help="of the trainings")
    parser.add_argument("--form", choices=FORMS, help="of the large convolution (default: the fastest measured)")
    parser.add_argument("--votes", choices=VOTES, help="how they are computed (default: the fastest measured)")
    parser.add_argument("--hparams", type=json.loads, default={}, help='for every network, such as {"routing": 1}')
    parser.add_argument("--steps", type=int, help="of a training (default: as many as its recipe has)")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, for a CPU")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    if not flags.rehearse and not on_device.has_accelerator():
        sys.exit(f"{backends.BACKEND} finds no accelerator. Install its build for one, or try --rehearse.")
    session = Session(flags)
    run = {"forms": measure_forms, "torch": run_torch}
    run["step"] = measure_steps if backends.BACKEND == "jax" else measure_torch_steps
    for part in flags.parts.split(","):
        name, _, seconds = part.partition(":")
        session.deadline = min(session.end, time.monotonic() + float(seconds or PARTS.get(name, 0)))
        with session.attempt(name):
            train(session, name) if name in RECIPES else run[name](session)


if __name__ == "__main__":
    main()
