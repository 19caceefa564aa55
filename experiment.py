"""Trains, evaluates and ensembles capsule networks: flags, and the three jobs.

    python experiment.py                                             # a few minutes on the embedded digits
    python experiment.py --data_dir=D --summary_dir=S --max_steps=300000
    python experiment.py --data_dir=D --summary_dir=S --train=false --checkpoint=S/train/model.ckpt-300000

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 and 143 interrupted by
Ctrl-C or SIGTERM after saving.
"""

import math
import os
import shlex
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from input_data import DATASETS, Options, evaluation_batches, open_split, training_batches
from models import MODELS
from models.hparams import HParams
from models.runner.flags import make_parser

# With no flag at all: 8 types of primary capsules, which train four times as fast as the paper's 32.
QUICK_JOB = ["--summary_dir=runs/quick", "--hparams_override=num_prime_capsules=8", "--max_steps=360"]


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    if not arguments:
        print(f"No flags given: python experiment.py {shlex.join(QUICK_JOB)}")
        arguments = QUICK_JOB
    parser = make_parser(list(DATASETS), list(MODELS))
    flags = parser.parse_args(arguments)
    if "{}" in (flags.checkpoint or "") and flags.num_trials == 1:
        parser.error("--checkpoint has a {}: say with --num_trials how many members there are")
    if flags.num_trials > 1 and "{}" not in (flags.checkpoint or ""):
        parser.error("--num_trials takes a --checkpoint with {} where the member's number goes")
    try:
        run = Run(flags)
        if flags.train:
            return run.train()
        if flags.num_trials > 1:
            return run.evaluate_ensemble()
        return run.evaluate_once() if flags.checkpoint else run.watch()
    except (ValueError, OSError) as error:
        print(f"experiment.py: error: {error}", file=sys.stderr)
        return 1


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


class Stop:
    """Within it, Ctrl-C and SIGTERM ask for a stop after the step at hand; a second one stops at once."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self):
        self.signal = 0
        self._before = [signal.signal(number, self._note) for number in self._SIGNALS]
        return self

    def _note(self, number, frame):
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in zip(self._SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def __exit__(self, *error):
        self._restore()


class Run:
    """The jobs, and what they share: the flags and the places."""

    def __init__(self, flags):
        self.flags = flags
        self.root = Path(flags.summary_dir or "runs/default")
        self.train_dir, self.test_dir = self.root / "train", self.root / "test"
        self.options = Options(num_targets=flags.num_targets)
        self.hparams = HParams().override(flags.hparams_override)
        if flags.download:
            from input_data.mnist.download import download

            download(flags.data_dir)
        if flags.data_dir is None:
            say("No --data_dir: using the embedded sample, 5,000 training and 1,000 test digits of MNIST.")

    # What the jobs share.

    def split(self, training: bool):
        name = {True: "valid_train" if training else "valid_test", False: "train" if training else "test"}
        return open_split(self.flags.dataset, name[self.flags.validate], self.flags.data_dir, self.options)

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(f"Cannot write to {folder}: check its permissions or give another --summary_dir.")

    def make_model(self, info):
        import keras

        from models import make_model
        from models.runner.training import count_weights

        keras.utils.set_random_seed(self.flags.seed)
        model = make_model(self.flags.model, info.image_shape, info.num_classes, self.hparams)
        say(f"{self.flags.model}: {count_weights(model):,} trainable weights")
        return model

    def adopt_config(self, folder: Path) -> None:
        """Takes hparams and model from the config beside a checkpoint where the user gave none."""
        from models.runner import config

        known = config.read(folder)
        if known and self.flags.hparams_override is None:
            self.flags.model = known["flags"]["model"]
            self.hparams = HParams(**known["hparams"])
            say(f"Model and hparams as in {folder}/config.json")

    # The jobs.

    def train(self) -> int:
        """Trains to `max_steps` from the last checkpoint, then evaluates the final one."""
        import tensorflow as tf

        from models.optimizer import make_optimizer
        from models.runner import checkpoints, config
        from models.runner.progress import Progress
        from models.runner.summaries import TrainSummaries
        from models.runner.training import make_train_step

        flags = self.flags
        split = self.split(training=True)
        self.make_folder(self.train_dir)
        checkpoints.clean(self.train_dir)
        new = config.make(vars(flags), self.hparams, split.info.class_names, split.info.image_shape)
        old = config.read(self.train_dir)
        if old and checkpoints.steps(self.train_dir):
            config.check_same_run(old, new, self.train_dir)

        strategy = tf.distribute.get_strategy()
        with strategy.scope():
            model = self.make_model(split.info)
            optimizer = make_optimizer(self.hparams)
            optimizer.build(model.trainable_variables)
        start = checkpoints.restore_latest(self.train_dir, model, optimizer, say)
        if not start and flags.checkpoint:
            start = checkpoints.restore(flags.checkpoint, model, optimizer)
        config.write(self.train_dir, new)
        if start:
            say(f"Resuming at step {start} of {flags.max_steps}")

        step_function = make_train_step(model, optimizer, strategy)
        summaries = TrainSummaries(self.train_dir, model)
        progress = Progress(flags.max_steps, "step", flags.batch_size, done=start)
        batches = training_batches(split, flags.batch_size, flags.seed, start)
        saved = start
        with Stop() as stop:
            for step, batch in zip(range(start + 1, flags.max_steps + 1), batches, strict=False):
                figures = {name: float(value) for name, value in step_function(batch).items()}
                _check_finite(figures["total"], step, self.train_dir)
                progress.update(step, f"loss {figures['total']:.4f}")
                if step % flags.summary_step == 0 or step == flags.max_steps:
                    summaries.write(step, figures, batch)
                if step % flags.save_step == 0 or step == flags.max_steps or stop.signal:
                    prefix = checkpoints.save(self.train_dir, step, model, optimizer, flags.max_to_keep)
                    saved = step
                if stop.signal:
                    break
        progress.close()
        summaries.close()
        if stop.signal:
            say(f"Interrupted: saved {prefix}. The same command goes on from there.")
            return 128 + stop.signal
        say(f"Trained to step {saved}. Checkpoints: {self.train_dir}")
        return self._evaluate(model, saved)

    def evaluate_once(self) -> int:
        """Evaluates the checkpoint that the flags name."""
        from models.runner import checkpoints

        self.adopt_config(Path(self.flags.checkpoint).parent)
        split = self.split(training=False)
        model = self.make_model(split.info)
        step = checkpoints.restore(self.flags.checkpoint, model)
        return self._evaluate(model, step, split)

    def _evaluate(self, model, step: int, split=None) -> int:
        """Evaluates the network as it is, says the result and writes what the flags ask for."""
        from models.runner.evaluation import evaluate, write_predictions
        from models.runner.summaries import write_reconstructions, write_test_summaries
        from models.runner.training import make_evaluation_step

        split = split or self.split(training=False)
        self.make_folder(self.test_dir)
        size = min(self.flags.eval_size or len(split), len(split))
        result = evaluate(make_evaluation_step(model), self.test_batches(split), size)
        say(f"Step {step}: {size} {'validation' if self.flags.validate else 'test'} examples, loss {result.loss:.6f}")
        say(str(result))
        write_test_summaries(self.test_dir, step, result)
        if self.flags.predictions:
            write_predictions(Path(self.flags.predictions), result.predictions)
            say(f"Predictions: {self.flags.predictions}")
        picture = self.test_dir / f"reconstructions-{step}.png"
        if write_reconstructions(picture, model, next(self.test_batches(split))):
            say(f"Test images above their reconstructions: {picture}")
        say(f"Look at the curves: tensorboard --host 127.0.0.1 --logdir {self.root}")
        return 0

    def test_batches(self, split):
        return evaluation_batches(split, self.flags.eval_batch_size, self.flags.eval_size)

    def evaluate_ensemble(self) -> int:
        """Sums the logits of the members that the checkpoint template names."""
        from models.runner import checkpoints
        from models.runner.evaluation import evaluate_ensemble, write_predictions
        from models.runner.training import make_evaluation_step

        prefixes = [self.flags.checkpoint.replace("{}", str(trial)) for trial in range(self.flags.num_trials)]
        missing = [prefix for prefix in prefixes if not Path(f"{prefix}.index").exists()]
        if missing:
            raise ValueError(f"The ensemble's member {missing[0]} does not exist ({missing[0]}.index).")
        self.adopt_config(Path(prefixes[0]).parent)
        split = self.split(training=False)
        model = self.make_model(split.info)
        step = make_evaluation_step(model)

        def members():
            for prefix in prefixes:
                checkpoints.restore(prefix, model)
                yield step

        def member_done(index, result):
            say(f"Member {index}, {prefixes[index]}: {result}")

        size = min(self.flags.eval_size or len(split), len(split))
        result = evaluate_ensemble(members(), lambda: self.test_batches(split), size, member_done)
        say(str(result))
        if self.flags.predictions:
            write_predictions(Path(self.flags.predictions), result.predictions)
        return 0

    def watch(self) -> int:
        """Evaluates each new checkpoint of a training job beside this one, until none comes for `eval_timeout`."""
        from models.runner import checkpoints

        if not self.train_dir.is_dir():
            raise ValueError(
                f"There is no training run in {self.root} to watch. Start one, or give a --checkpoint to evaluate."
            )
        self.adopt_config(self.train_dir)
        split = self.split(training=False)
        model = self.make_model(split.info)
        last, since = -1, time.monotonic()
        while time.monotonic() - since < self.flags.eval_timeout * 3600:
            for step in [step for step in checkpoints.steps(self.train_dir) if step > last]:
                checkpoints.restore(checkpoints.prefix(self.train_dir, step), model)
                self._evaluate(model, step, split)
                last, since = step, time.monotonic()
            time.sleep(1)
        say(f"No new checkpoint for {self.flags.eval_timeout} hours.")
        return 0


def _check_finite(loss: float, step: int, folder: Path) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f"The loss became {loss} at step {step}; the run stopped before saving it. The newest checkpoint in "
            f"{folder} is good: lower learning_rate and start from it with --checkpoint in another --summary_dir."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
