"""Answers a question about routing with small networks and several seeds; prints a table and draws a picture.

    python benchmarks/questions.py law --data_dir=D
    python benchmarks/questions.py scale --data_dir=D --steps=4690 --seeds=5
    python benchmarks/questions.py scale --data_dir=D --steps=4690 --seeds=5 --equal=time
    python benchmarks/questions.py routings --data_dir=D --dataset=fashion_mnist
    python benchmarks/questions.py sign --data_dir=D

`law`: how uniform are the coupling coefficients with N input capsules, at the start, as trained with three iterations,
and as trained with one? `scale`: do sharper coefficients help, or only the larger gradients that come with them, for
which the learning rate is the control? `routings`: what does each routing reach? `sign`: can capsules tell u from −u,
with and without a bias? docs/what-routing-does.md explains them.

A question is a table of variants. Each is trained and measured with each seed: its error at the last step on the test
set becomes a row of `trained.csv`, and each other figure one of `measured.csv`. What is there is not run again, and a
run that was interrupted resumes. `gap` is 1 − entropy of the coefficients in the last iteration on 1,000 test images,
`sigma` the deviation of their logits, `law` σ²/(2 ln J), `inputs` N, and `push` the net push of the winner's votes.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import trained
from input_data import open_split
from runner.startup import use_tensorflow

IMAGES = 1000  # of the test set, for all figures but the errors
MEASURED = "measured.csv"  # in a folder of results
LINEAR = Path(__file__).parent / "linear_routing.py"


class Variant(NamedTuple):
    """A network of a question: how it differs from CapsNet of 64 channels and 8 types of primary capsules."""

    hparams: str | None = ""  # None: it is not trained by experiment.py
    model: str = "capsule"  # or FILE.py:FUNCTION, see --model of experiment.py
    types: int = 8
    rate: str = "0.003"  # the highest learning rate
    steps: int = 0  # of 128 images
    name: str = ""


VARIANTS = {  # the first of a question is what the others are compared with
    "law": {
        f"{name}, {types} types": Variant(hparams, types=types)
        for types in (1, 4, 8, 32)  # with 36 capsules each
        for name, hparams in {"as trained": "routing=3", "trained uniform": "routing=1", "at the start": None}.items()
    },
    "scale": {
        "3 iterations": Variant(),
        "scale 4": Variant("routing_scale=4"),
        "scale sqrt": Variant("routing_scale=sqrt"),
        "scale learnt": Variant("routing_scale=learnt"),
        "scale sqrt, gradient of the last": Variant("routing_scale=sqrt,routing_gradient=last"),
        "1 iteration": Variant("routing=1"),
        "2 iterations": Variant("routing=2"),
        "2 iterations, scale sqrt": Variant("routing=2,routing_scale=sqrt"),
    },
    "routings": {
        "dynamic": Variant(),
        "dynamic, scale sqrt": Variant("routing_scale=sqrt"),
        "uniform": Variant("routing_type=uniform"),
        "self-attention": Variant("routing_type=attention"),
        "inverted attention": Variant("routing_type=inverted"),
        "EM": Variant("routing_type=em,loss_type=spread"),
        "first order": Variant(model=f"{LINEAR}:first_order"),
        "no competition": Variant(model=f"{LINEAR}:no_competition"),
        "exponential": Variant(model=f"{LINEAR}:exponential"),
        "gain": Variant(model=f"{LINEAR}:gain"),
        "dynamic, gradient of the last": Variant("routing_gradient=last"),
    },
    "sign": {"with a bias": Variant(None), "without": Variant(None)},
}


def asked(flags) -> list[list[Variant]]:
    """The variants that are asked for, in a list for each learning rate.

    With --equal=time they have as many steps as they make in the time of the first one, by `relative_time`.
    """
    known, rated, lists = VARIANTS[flags.question], flags.question in ("scale", "routings"), []
    for rate in flags.rates.split(",") if rated else ["0.003"]:
        names = {f"{name}, rate {rate}" if rated else name: known[name] for name in flags.variants or known}
        variants = [each._replace(name=name, rate=rate, steps=flags.steps) for name, each in names.items()]
        if flags.equal == "time":
            ratios = [1.0, *(relative_time(flags, each, variants[0]) for each in variants[1:])]
            variants = [v._replace(steps=round(flags.steps / ratio)) for v, ratio in zip(variants, ratios, strict=True)]
        lists.append(variants)
    return lists


def relative_time(flags, variant: Variant, first: Variant) -> float:
    """How long a variant's training step takes, with the first one's as 1. It is measured once, for any steps."""
    known = numbers_of(flags, variant._replace(steps=0), [0])["time"]
    if not known:
        use_tensorflow()
        from benchmarks.train_step import in_turns, train_step
        from runner.config import NetworkConfig, NetworkFlags
        from runner.loader import build

        print(f"The steps of {variant.name} are timed. Nothing else should run.", flush=True)
        split = open_split(flags.dataset, "train", flags.data_dir)
        batch = split.batch(np.arange(128))
        given = [NetworkFlags(each.model, hparams_override=hparams_of(each)) for each in (variant, first)]
        models = [build(NetworkConfig().with_flags(each).for_data(split)) for each in given]
        own, other = in_turns([train_step(each, batch["images"], batch["labels"]) for each in models], 9)
        known = [float(np.median(np.divide(own, other)))]
        keep(flags, (flags.table, variant.name, 0, 0), {"time": known[0]})
    return round(50 * known[0]) / 50  # it is known to about 2 %


def hparams_of(variant: Variant) -> str:
    """The hparams of a variant, whose learning rate rises in a twentieth of the steps and then falls to 0."""
    hparams = f"conv_channels=64,num_prime_capsules={variant.types},learning_rate={variant.rate},schedule=linear"
    hparams += f",decay_steps={variant.steps},warmup_steps={max(1, variant.steps // 20)}"
    return f"{hparams},{variant.hparams}".rstrip(",")


def keep(flags, key: tuple, figures: dict[str, float]) -> None:
    """Adds figures to the table of what was measured."""
    with (flags.results / MEASURED).open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([*key, name, f"{x:.6g}"] for name, x in figures.items())


def numbers_of(flags, variant: Variant, seeds: Sequence[int]) -> dict[str, list[float]]:
    """The errors, minutes and figures of a variant by name, for each of the seeds with which it has been run."""
    numbers, wanted = defaultdict(list), (flags.table, variant.name, variant.steps)
    for row in trained.read(flags.results / trained.TRAINED):
        if (row["table"], row["network"], row["steps"]) == wanted and row["seed"] in seeds:
            for name in ("test_wrong", "test_error", "minutes"):
                numbers[name.removeprefix("test_")].append(row[name])
    for row in trained.read(flags.results / MEASURED):
        if (row["question"], row["variant"], row["steps"]) == wanted and row["seed"] in seeds:
            numbers[row["name"]].append(row["value"])
    return numbers


def folder_of(flags, variant: Variant, seed: int) -> Path:
    """Where a run is kept."""
    return flags.folder / flags.table / variant.name.replace(" ", "_").replace(",", "") / f"{variant.steps}_{seed}"


def run(flags, variant: Variant, seed: int) -> None:
    """Trains a variant with a seed, measures it, and keeps its row and its figures."""
    folder = folder_of(flags, variant, seed)
    if variant.hparams is not None:
        given = {"hparams_override": hparams_of(variant), "summary_dir": folder, "max_steps": variant.steps,
                 "seed": seed, "model": variant.model, "dataset": flags.dataset,
                 "predictions": folder / "predictions.npz", "data_dir": flags.data_dir}  # fmt: skip
        command = [f"--{name}={value}" for name, value in given.items() if value is not None]
        if code := subprocess.run([sys.executable, str(trained.ROOT / "experiment.py"), *command]).returncode:
            sys.exit(code)
    use_tensorflow()
    figures = tell_sign(flags, variant, seed) if flags.question == "sign" else diagnosis(flags, variant, seed, folder)
    if variant.hparams is not None:
        trained.add(folder, flags.table, variant.name, flags.results)
        if seed or flags.question != "routings":  # whose second picture shows the networks of seed 0
            shutil.rmtree(folder)
    keep(flags, (flags.table, variant.name, seed, variant.steps), figures)


def diagnosis(flags, variant: Variant, seed: int, folder: Path) -> dict[str, float]:
    """The figures of a network, trained or not; the law's are of three iterations, however many it was trained with."""
    import keras

    from explorer.diagnose import diagnose
    from models import make_model
    from runner.config import NetworkConfig
    from runner.loader import Trained, load

    if variant.hparams is not None:
        network = load(str(folder))
    else:
        keras.utils.set_random_seed(seed)
        hparams = {"conv_channels": 64, "num_prime_capsules": variant.types}
        network = Trained(make_model("capsule", (28, 28, 1), 10, hparams), 0, NetworkConfig())
    if flags.question == "law":
        network.model.classes.routing.iterations = 3
    found = diagnose(network, open_split(flags.dataset, "test", flags.data_dir), IMAGES)
    return {"gap": 1 - found.entropy[-1], "sigma": found.logit_spread[-1], "law": found.predicted_decision,
            "inputs": network.model.classes.kernel.shape[0], "push": found.net_push[-1]}  # fmt: skip


def tell_sign(flags, variant: Variant, seed: int) -> dict[str, float]:
    """Trains a layer to tell the primary capsules u of a pretrained network from −u, classes 0 and 1."""
    import keras

    from capsules import Capsules, Length, MarginLoss
    from models import CapsNet

    images = open_split(flags.dataset, "test", flags.data_dir).batch(np.arange(IMAGES))["images"]
    capsules = np.asarray(CapsNet.from_preset("capsnet_mnist_small").primary_capsules(images))  # [n, in, atoms]
    known, held_out = np.split(capsules, [len(capsules) * 4 // 5])
    keras.utils.set_random_seed(seed)
    layer = Capsules(2, atoms=8, routing=3)
    network = keras.Sequential([keras.Input(capsules.shape[1:]), layer, Length()])
    if variant.name == "without":
        layer.bias.assign(keras.ops.zeros_like(layer.bias))
        layer.bias.trainable = False
    network.compile(keras.optimizers.Adam(3e-3), MarginLoss())
    both, labels = np.concatenate([known, -known]), np.repeat([0, 1], len(known))
    network.fit(both, labels, batch_size=128, epochs=max(1, variant.steps * 128 // len(both)), verbose=0)
    lengths = [network.predict(sign * held_out, verbose=0) for sign in (1, -1)]  # of u and −u: [n, 2]
    right = [(each.argmax(axis=1) == label).mean() for label, each in enumerate(lengths)]
    return {"percent right": 100 * np.mean(right), "difference": np.abs(lengths[0] - lengths[1]).mean()}


def interval(values: list[float]) -> np.ndarray:
    """The ends of the 95 % interval of a mean, by bootstrap over the seeds."""
    means = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    return np.percentile(means, (2.5, 97.5))


def in_words(values: list[float], form: str = ".3g") -> str:
    """A mean and its interval; empty if there are no values."""
    return f"{np.mean(values):{form}} ({' to '.join(f'{end:{form}}' for end in interval(values))})" if values else ""


def table_of(lists: list[list[Variant]], numbers: dict[str, dict[str, list]]) -> list[str]:
    """A line for each variant: its numbers, and how much higher its error is than that of the first in its list."""
    names, rows = dict.fromkeys(chain.from_iterable(numbers.values())), []
    for first, variant in ((variants[0], each) for variants in lists for each in variants):
        own, other = numbers[variant.name], numbers[first.name]["error"]
        more = in_words([a - b for a, b in zip(own["error"], other, strict=False)], "+.2f")  # empty where not trained
        rows.append([variant.name, f"{variant.steps:,}", *(in_words(own[name]) for name in names), more])
    return trained.markdown(["", "steps", *names, "error above the first"], rows)


def draw(axes, numbers: dict[str, dict[str, list]], shown: str) -> None:
    """Draws a mean and its interval for each variant: the law over the input capsules, others one below the other."""
    axes.grid(alpha=0.3)
    if shown != "gap":
        for number, values in enumerate(each[shown] for each in numbers.values()):
            mean = np.mean(values)
            axes.errorbar(mean, number, xerr=np.abs(interval(values) - mean)[:, None], fmt="o", color="C0")
        axes.set(yticks=range(len(numbers)), yticklabels=numbers, title=f"{shown.capitalize()} (in %)")
        axes.invert_yaxis()
        return
    for name in dict.fromkeys(name.partition(", ")[0] for name in numbers):  # a curve for each name without the types
        points = [found for each, found in numbers.items() if each.startswith(name)]
        inputs, gap, law = ([np.mean(each[key]) for each in points] for key in ("inputs", "gap", "law"))
        slope = np.polyfit(np.log(inputs), np.log(gap), 1)[0]
        (line,) = axes.loglog(inputs, gap, "o-", label=f"{name}: falls as N to the {slope:.2f}")
        axes.fill_between(inputs, *np.transpose([interval(each["gap"]) for each in points]), alpha=0.2)
        axes.loglog(inputs, law, "x", color=line.get_color())
    axes.set_xticks([], minor=True)
    axes.set_xticks(inputs, [f"{each:.0f}" for each in inputs])
    axes.set(xlabel="input capsules N", ylabel="1 − entropy of the couplings; crosses: σ² / (2 ln J)")
    axes.set_title("Couplings are the nearer to uniform, the more input capsules there are")
    axes.legend()


def draw_couplings(flags, variants: list[Variant]) -> None:
    """Draws where the coefficients of each routing's last iteration lie, for a test image and each class."""
    use_tensorflow()
    from matplotlib.cm import ScalarMappable

    from explorer.findings import coupling_maps
    from explorer.pictures import DIVERGING, colours_of, over
    from explorer.sheets import Block, sheet, write
    from runner.loader import load

    image, blocks, largest = open_split(flags.dataset, "test", flags.data_dir).batch(np.arange(1))["images"], [], {}
    for variant in variants:
        model = load(str(folder_of(flags, variant, 0))).model
        maps = np.asarray(coupling_maps(model, image))[0, -1]  # [classes, rows, columns]
        norm = colours_of(maps, maps.mean())
        rows = {"": over(image[0], maps, model.places(), norm)}
        largest[name := variant.name.removesuffix(f", rate {variant.rate}")] = maps.max()
        note = f"{name}: the largest mean share of a place is {largest[name]:.2f}"
        blocks.append(Block(note, rows, [f"to {each}" for each in range(len(maps))], ScalarMappable(norm, DIVERGING)))
    title = f"{max(largest, key=largest.get)} sends the parts of an image the farthest from an equal share\n"
    title += "Orange is more than the mean share of the classes, blue is less"
    write(flags.folder / f"{flags.table}_couplings.png", sheet(title, blocks, tile=0.72))


def main(arguments: list[str]) -> None:
    """Answers a question."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=VARIANTS)
    parser.add_argument("--data_dir", help="MNIST's files (default: the embedded digits, results in --folder)")
    parser.add_argument("--dataset", choices=("mnist", "fashion_mnist"), default="mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of 128 images")
    parser.add_argument("--variants", nargs="+", help="some of the variants, the first to compare with")
    parser.add_argument("--rates", default="0.003", help="scale, routings: learning rates")
    parser.add_argument("--equal", choices=("steps", "time"), default="steps", help="what variants have in common")
    parser.add_argument("--folder", type=Path, default=Path("runs/questions"), help="of runs and pictures")
    flags = parser.parse_args(arguments)
    if unknown := set(flags.variants or ()) - VARIANTS[flags.question].keys():
        parser.error(f"{flags.question} has no variants {sorted(unknown)}. It has {[*VARIANTS[flags.question]]}")
    flags.table = flags.question + "_fashion" * (flags.dataset == "fashion_mnist")
    flags.folder.mkdir(parents=True, exist_ok=True)
    flags.results = trained.RESULTS if flags.data_dir else flags.folder
    if not (flags.results / MEASURED).exists():
        (flags.results / MEASURED).write_text("question,variant,seed,steps,name,value\n", encoding="utf-8")
    lists = asked(flags)
    variants = [*chain.from_iterable(lists)]
    for seed, variant in product(range(flags.seeds), variants):
        if not numbers_of(flags, variant, [seed]):
            run(flags, variant, seed)
    numbers = {variant.name: numbers_of(flags, variant, range(flags.seeds)) for variant in variants}
    print("\n".join(table_of(lists, numbers)))
    figure = Figure(figsize=(7, 1.5 + 0.3 * max(8, len(variants))), layout="constrained")
    draw(figure.subplots(), numbers, {"law": "gap", "sign": "percent right"}.get(flags.question, "error"))
    figure.savefig(flags.folder / f"{flags.table}.png", dpi=120)
    if kept := [each for each in variants if folder_of(flags, each, 0).is_dir()]:
        draw_couplings(flags, kept)
    print(*sorted(flags.folder.glob(f"{flags.table}*.png")))


if __name__ == "__main__":
    main(sys.argv[1:])
