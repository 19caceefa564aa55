"""Answers a question about routing with small networks and several seeds; prints a table and draws a picture.

    python benchmarks/questions.py law --data_dir=D
    python benchmarks/questions.py scale --data_dir=D --steps=4690 --seeds=5
    python benchmarks/questions.py scale --data_dir=D --steps=4690 --seeds=5 --equal=time     # after the command above
    python benchmarks/questions.py routings --data_dir=D --dataset=fashion_mnist
    python benchmarks/questions.py sign --data_dir=D

`law`: how uniform are the coupling coefficients with N input capsules, at the start, as trained with three iterations,
and as trained with one? `scale`: do sharper coefficients help, or only the larger gradients that come with them, for
which the learning rate is the control? `routings`: what does each routing reach? `sign`: can capsules tell u from −u,
with and without a bias? docs/what-routing-does.md explains them.

Each run is a row of `trained.csv`, and each other figure one of `measured.csv`, written as soon as it is there. What
is there is not run again, and a run that was interrupted resumes. Errors are those of the last step on the test set.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import trained
from runner.startup import use_tensorflow

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {  # hparams of each variant; the first is what the others are compared with
    "scale": {
        "3 iterations": "",
        "scale 4": "routing_scale=4",
        "scale sqrt": "routing_scale=sqrt",
        "scale learnt": "routing_scale=learnt",
        "scale sqrt, gradient of the last": "routing_scale=sqrt,routing_gradient=last",
        "1 iteration": "routing=1",
        "2 iterations": "routing=2",
        "2 iterations, scale sqrt": "routing=2,routing_scale=sqrt",
    },
    "routings": {
        "dynamic": "",
        "dynamic, scale sqrt": "routing_scale=sqrt",
        "uniform": "routing_type=uniform",
        "self-attention": "routing_type=attention",
        "inverted attention": "routing_type=inverted",
        "EM": "routing_type=em,loss_type=spread",
    },
}

LAW = {"at the start": 0, "as trained": 3, "trained uniform": 1}  # iterations in training


def train(flags, variant: str, steps: int, seed: int, rate: str, types: int, override: str) -> Path:
    """The folder of a run of `experiment.py`, which is trained to its end and whose row is written.

    The learning rate rises to `rate` in a twentieth of the steps and then falls to 0.
    """
    folder = folder_of(flags, variant, steps, seed)
    hparams = f"conv_channels=64,num_prime_capsules={types},learning_rate={rate},schedule=linear"
    hparams += f",decay_steps={steps},warmup_steps={max(1, steps // 20)}" + f",{override}" * bool(override)
    command = [sys.executable, str(ROOT / "experiment.py"), f"--hparams_override={hparams}", f"--seed={seed}"]
    command += [f"--summary_dir={folder}", f"--max_steps={steps}", f"--dataset={flags.dataset}"]
    command += [f"--predictions={folder}/predictions.npz"]
    if code := subprocess.run(command + [f"--data_dir={flags.data_dir}"] * bool(flags.data_dir)).returncode:
        sys.exit(code)
    trained.add(folder, flags.table, variant, flags.csv)
    return folder


def folder_of(flags, variant: str, steps: int, seed: int) -> Path:
    """Where a run is kept."""
    return flags.folder / flags.table / variant.replace(" ", "_").replace(",", "") / f"{steps}_{seed}"


def rows_of(flags, variant: str, steps: int) -> list[trained.Run]:
    """The rows of a variant that has been trained for some steps, in the order of the seeds."""
    rows = trained.read(flags.csv, trained.Run)
    rows = [row for row in rows if (row.table, row.network, row.steps) == (flags.table, variant, steps)]
    return sorted((row for row in rows if row.seed < flags.seeds), key=lambda row: row.seed)


def ask_variants(flags) -> None:
    """Trains each variant at each learning rate; with --equal=time, for the time that the first one takes."""
    variants = {name: VARIANTS[flags.question][name] for name in flags.variants or VARIANTS[flags.question]}
    names = [f"{name}, rate {rate}" for rate in flags.rates.split(",") for name in variants]
    first = {name: names[number - number % len(variants)] for number, name in enumerate(names)}
    steps = dict.fromkeys(names, flags.steps)
    for name in names if flags.equal == "time" else ():
        minutes = [[row.minutes for row in rows_of(flags, each, flags.steps)] for each in (first[name], name)]
        if not all(minutes):
            sys.exit("--equal=time needs the times of the same command without it. Run that first.")
        steps[name] = round(flags.steps * np.median(minutes[0]) / np.median(minutes[1]))
    for seed in range(flags.seeds):
        for name in names:
            if seed not in [row.seed for row in rows_of(flags, name, steps[name])]:
                variant, rate = name.rsplit(", rate ", 1)
                folder = train(flags, name, steps[name], seed, rate, 8, variants[variant])
                keep(flags, name, seed, uniformity(flags, folder, 8, seed), steps[name])
                if seed or flags.question != "routings":  # whose picture shows the networks of seed 0
                    shutil.rmtree(folder)
    figure, axes = new_figure(0.3 * len(names))
    errors: dict[str, np.ndarray] = {}
    print("| | Steps | Wrong, each seed | Error in %, 95 % interval | Compared with the first | 1 − H/ln J |")
    print("|---|---|---|---|---|---|")
    for number, name in enumerate(names):
        rows = rows_of(flags, name, steps[name])
        errors[name] = own = np.array([row.test_error for row in rows])
        low, high = interval(own)
        other = own - errors[first[name]]
        gap = np.nanmean([measured(flags, name, seed, steps[name]).get("gap", np.nan) for seed in range(flags.seeds)])
        print(f"| {name} | {steps[name]:,} | {', '.join(str(row.test_wrong) for row in rows)} | {own.mean():.2f} "
              f"({low:.2f} to {high:.2f}) | {other.mean():+.2f} ({' to '.join(f'{x:+.2f}' for x in interval(other))}) "
              f"| {gap:.2g} |")  # fmt: skip
        axes.errorbar(own.mean(), number, xerr=[[own.mean() - low], [high - own.mean()]], fmt="o", color="C0")
    axes.set(yticks=range(len(names)), yticklabels=names, title=f"Test error in %, {flags.seeds} seeds")
    axes.invert_yaxis()
    save(flags, figure, axes)
    if flags.question == "routings":
        draw_couplings(flags, {name: steps[name] for name in names})


def draw_couplings(flags, steps: dict[str, int]) -> None:
    """Draws where the coefficients of each routing's last iteration lie, for a test image and each class."""
    use_tensorflow()
    from matplotlib.cm import ScalarMappable

    from explorer.findings import coupling_maps
    from explorer.pictures import DIVERGING, colours_of, over
    from explorer.sheets import Block, sheet, write
    from models import load_pretrained

    image, blocks = test_images(flags)[:1], []
    for name, count in steps.items():
        model = load_pretrained(folder_of(flags, name, count, 0))
        maps = np.asarray(coupling_maps(model, image))[0, -1]  # [classes, rows, columns]
        norm = colours_of(maps, maps.mean())
        rows = {"": over(image[0], maps, model.places(), norm)}
        note = f"{name.partition(', rate')[0]}: the largest mean share of a place is {maps.max():.2f}"
        blocks.append(Block(note, rows, [f"to {each}" for each in range(len(maps))], ScalarMappable(norm, DIVERGING)))
    title = "Where each routing sends the parts of an image: orange is more than the mean share, blue is less"
    write(flags.folder / f"{flags.table}_couplings.png", sheet(title, blocks, tile=0.72))


def ask_law(flags) -> None:
    """Trains networks of several numbers of input capsules, and measures their coefficients and logits."""
    types = [int(each) for each in flags.types.split(",")]
    for seed in range(flags.seeds):
        for kind in types:
            for name, iterations in LAW.items():
                variant, folder = f"{name}, {kind} types", None
                if not measured(flags, variant, seed, flags.steps):
                    if iterations:
                        folder = train(flags, variant, flags.steps, seed, "0.003", kind, f"routing={iterations}")
                    keep(flags, variant, seed, uniformity(flags, folder, kind, seed, iterations=3), flags.steps)
                    if folder:
                        shutil.rmtree(folder)
    lines, curves = ["network, N, 1 - entropy, sigma, sigma^2 / (2 ln J), N (1 - entropy), net push"], {}
    for name in LAW:
        for kind in types:
            rows = [measured(flags, f"{name}, {kind} types", seed, flags.steps) for seed in range(flags.seeds)]
            names = ("gap", "sigma", "law", "push")
            gap, sigma, law, push = (np.array([row.get(key, np.nan) for row in rows]) for key in names)
            low, high = interval(gap)
            inputs = rows[0]["inputs"]
            curves.setdefault(name, []).append((inputs, gap.mean(), low, high, law.mean()))
            lines.append(f"{name}, {inputs:.0f}, {gap.mean():.3g} ({low:.3g} to {high:.3g}), {sigma.mean():.3g}, "
                         f"{law.mean():.3g}, {inputs * gap.mean():.3g}, {push.mean():.1%}")  # fmt: skip
    print("\n".join(lines))
    figure, axes = new_figure()
    for name, points in curves.items():
        inputs, gap, low, high, law = np.array(points).T
        (drawn,) = axes.loglog(inputs, gap, "o-", label=name)
        axes.fill_between(inputs, low, high, color=drawn.get_color(), alpha=0.2)
        axes.loglog(inputs, law, "x", color=drawn.get_color())
    axes.set_xticks([], minor=True)
    axes.set_xticks(inputs, [f"{each:.0f}" for each in inputs])
    axes.set(xlabel="input capsules N", title="1 − entropy of the couplings; crosses: σ² / (2 ln J)")
    save(flags, figure, axes)


def uniformity(flags, folder: Path | None, types: int, seed: int, iterations: int | None = None) -> dict[str, float]:
    """1 − entropy of the last iteration, the deviation of its logits, and the net push of the winner's votes.

    They are those of a run's network, or without a folder, of one that is not trained. `explorer.diagnose` measures
    them too, but in float32, which is too coarse for the entropy of a network that is not trained.
    """
    use_tensorflow()
    import keras

    from explorer.diagnose import agreement_of_winners
    from models import load_pretrained, make_model

    keras.utils.set_random_seed(seed)
    hparams = {"conv_channels": 64, "num_prime_capsules": types}
    model = load_pretrained(folder) if folder else make_model("capsule", (28, 28, 1), 10, hparams)
    if iterations:
        model.classes.routing.iterations = iterations
    images = test_images(flags)
    shares, pushes = [], []
    for part in np.split(images, max(1, len(images) // 100)):
        votes = model.classes.votes(model.primary_capsules(part))
        routed = model.classes.routing(votes)
        step, winner = routed.steps[-1], np.argmax(routed.activations, axis=1)
        shares.append(np.asarray(step.coefficients))
        pushes.append(float(agreement_of_winners(votes, [step], winner[:, None])["net_push"][0]))
    shares = np.abs(np.concatenate(shares))  # those of self-attention may be negative
    shares = np.float64(shares) / shares.sum(axis=2, keepdims=True, dtype=np.float64)
    logs = np.log(np.maximum(shares, 1e-30))  # [n, in, classes]: the logits, but for a constant of each input capsule
    classes, sigma = shares.shape[2], float(np.sqrt(logs.var(axis=2).mean()))
    gap = 1 + float((shares * logs).sum(axis=2).mean()) / np.log(classes)
    return {"gap": gap, "sigma": sigma, "law": sigma**2 / (2 * np.log(classes)), "inputs": shares.shape[1],
            "push": float(np.mean(pushes))}  # fmt: skip


def ask_sign(flags) -> None:
    """Negates the primary capsules of a trained network, then trains a layer to tell u from −u."""
    use_tensorflow()
    import keras

    from capsules import Capsules, Length, MarginLoss, length
    from models import load_pretrained

    model = load_pretrained("capsnet_mnist_small")
    capsules = np.concatenate([np.asarray(model.primary_capsules(each)) for each in np.split(test_images(flags), 10)])
    layer, bias = model.classes, np.asarray(model.classes.bias)
    for kept in (1, 0):
        layer.bias.assign(kept * bias)
        one, other = (np.asarray(length(layer(sign * capsules))) for sign in (1, -1))
        same, apart = (one.argmax(axis=1) == other.argmax(axis=1)).mean(), np.abs(one - other)
        print(f"{kept} x the trained bias: u and -u have the same answer in {same:.1%} of {len(one)} digits; their "
              f"lengths differ by {apart.mean():.3g}, at most {apart.max():.2g}")  # fmt: skip
    both = np.concatenate([capsules, -capsules])
    labels = np.repeat([0, 1], len(capsules))
    held_out = np.arange(len(both)) % len(capsules) >= 0.8 * len(capsules)
    for name, trainable in (("with a bias", True), ("without", False)):
        for seed in range(flags.seeds):
            if measured(flags, name, seed, flags.steps):
                continue
            keras.utils.set_random_seed(seed)
            inputs = keras.Input(capsules.shape[1:])
            layer = Capsules(2, atoms=8, routing=3)
            network = keras.Model(inputs, Length()(layer(inputs)))
            if not trainable:
                layer.bias.assign(keras.ops.zeros_like(layer.bias))
                layer.bias.trainable = False
            network.compile(keras.optimizers.Adam(3e-3), MarginLoss(), metrics=["accuracy"])
            network.fit(both[~held_out], labels[~held_out], batch_size=50, epochs=flags.epochs, verbose=0)
            accuracy = network.evaluate(both[held_out], labels[held_out], verbose=0)[1]
            keep(flags, name, seed, {"percent right": 100 * accuracy}, flags.steps)
        right = np.array([measured(flags, name, seed, flags.steps)["percent right"] for seed in range(flags.seeds)])
        print(f"A layer {name}: {right.mean():.1f} % right, {interval(right)} over {flags.seeds} seeds")


def test_images(flags) -> np.ndarray:
    """The first 1,000 test digits, in [0, 1]: [n, 28, 28, 1]."""
    from input_data import evaluation_batches, open_split

    return next(evaluation_batches(open_split(flags.dataset, "test", flags.data_dir), 1000, 1000))["images"]


def measured(flags, variant: str, seed: int, steps: int) -> dict[str, float]:
    """The figures of a variant and a seed, by name; empty if they are not there."""
    with flags.measured.open(newline="", encoding="utf-8") as file:
        what = (flags.table, variant, str(seed), str(steps))
        return {name: float(value) for *key, name, value in csv.reader(file) if tuple(key) == what}


def keep(flags, variant: str, seed: int, numbers: dict[str, float], steps: int) -> None:
    """Appends figures."""
    with flags.measured.open("a", newline="", encoding="utf-8") as file:
        rows = ([flags.table, variant, seed, steps, name, f"{value:.6g}"] for name, value in numbers.items())
        csv.writer(file, lineterminator="\n").writerows(rows)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean, by bootstrap over the seeds."""
    means = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    return tuple(float(f"{bound:.4g}") for bound in np.percentile(means, (2.5, 97.5)))


def new_figure(height: float = 3.0) -> tuple:
    """A figure and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + height), layout="constrained")
    return figure, figure.subplots()


def save(flags, figure, axes) -> None:
    """Writes the picture of the question."""
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    figure.savefig(flags.folder / f"{flags.table}.png", dpi=120)
    print(flags.folder / f"{flags.table}.png")


def main(arguments: list[str]) -> None:
    """Answers a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    questions = {"law": ask_law, "scale": ask_variants, "routings": ask_variants, "sign": ask_sign}
    parser.add_argument("question", choices=questions)
    parser.add_argument("--data_dir", help="MNIST's files (default: the embedded digits, results in --folder)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of 128 digits")
    parser.add_argument("--dataset", choices=("mnist", "fashion_mnist"), default="mnist")
    parser.add_argument(
        "--variants", nargs="+", help="scale, routings: some of the variants, the first to compare with"
    )
    parser.add_argument("--rates", default="0.003", help="scale, routings: learning rates")
    parser.add_argument("--equal", choices=("steps", "time"), default="steps", help="what variants have in common")
    parser.add_argument("--types", default="1,4,8,32", help="law: types of primary capsules, 36 capsules each")
    parser.add_argument("--epochs", type=int, default=5, help="sign: of its layer")
    parser.add_argument("--folder", type=Path, default=Path("runs/questions"), help="of runs and pictures")
    flags = parser.parse_args(arguments)
    flags.table = flags.question + "_fashion" * (flags.dataset == "fashion_mnist")
    flags.folder.mkdir(parents=True, exist_ok=True)
    results = ROOT / "benchmarks" / "results" if flags.data_dir else flags.folder
    flags.csv, flags.measured = results / "trained.csv", results / "measured.csv"
    if not flags.measured.exists():
        flags.measured.write_text("question,variant,seed,steps,name,value\n", encoding="utf-8")
    if unknown := set(flags.variants or ()) - set(VARIANTS.get(flags.question, ())):
        parser.error(
            f"{flags.question} has no variants {sorted(unknown)}. It has {[*VARIANTS.get(flags.question, ())]}"
        )
    questions[flags.question](flags)


if __name__ == "__main__":
    main(sys.argv[1:])
