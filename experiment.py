"""Trains, evaluates, ensembles and uses capsule networks: flags, and the jobs.

    python experiment.py                                             # a few minutes on the embedded digits
    python experiment.py --data_dir=D --summary_dir=S --max_steps=300000
    python experiment.py --data_dir=D --summary_dir=S --train=false --checkpoint=S/train/model.ckpt-300000

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 and 143 interrupted by
Ctrl-C or SIGTERM after saving.
"""

import argparse
import functools
import itertools
import os
import shlex
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from input_data import DATASETS, Options, evaluation_batches, open_split, training_batches
from models import MODELS
from models.hparams import PRESETS, HParams
from models.runner.flags import make_parser

# With no flag at all: 8 types of primary capsules, which train four times as fast as the paper's 32.
QUICK_JOB = ["--summary_dir=runs/quick", "--hparams_override=num_prime_capsules=8", "--max_steps=240"]


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    if not arguments:
        print(f"No flags given: python experiment.py {shlex.join(QUICK_JOB)}")
        arguments = QUICK_JOB
    parser = make_parser(list(DATASETS), list(MODELS))
    flags = parser.parse_args(arguments)
    members = not flags.train and flags.num_trials > 1
    if ("{}" in (flags.checkpoint or "")) != members:
        parser.error("--num_trials with --train=false takes a --checkpoint with {} for the member's number, and back")
    use = flags.predict or flags.export
    if use and not flags.checkpoint:
        parser.error("--predict and --export take the --checkpoint of a trained network")
    flags.train = flags.train and not use
    try:
        if use:
            return Run(flags).use()
        if flags.check_data:
            return Run(flags).check_data()
        if flags.train:
            return train_trials(flags) if flags.num_trials > 1 else Run(flags).train()
        if members:
            return Run(flags).evaluate_ensemble()
        return Run(flags).evaluate_once() if flags.checkpoint else Run(flags).watch()
    except (ValueError, OSError) as error:
        print(f"experiment.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


def train_trials(flags) -> int:
    """Trains `num_trials` runs with seeds that follow one another and says the mean and spread of their errors."""
    errors = []
    for trial in range(flags.num_trials):
        changes = {"seed": flags.seed + trial, "summary_dir": f"{flags.summary_dir or 'runs/trials'}/trial{trial}"}
        say(f"Trial {trial} of {flags.num_trials}, seed {changes['seed']}")
        run = Run(argparse.Namespace(**vars(flags) | changes))
        code = run.train()
        if code:
            return code
        errors.append(run.result.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


@functools.cache  # several trials share the devices of the process
def set_up_devices(gpus: str | None, gpu_memory: int | None, num_gpus: int, train: bool):
    """Shows TensorFlow the chosen devices and gives the strategy to train under; evaluation takes one device."""
    if gpus == "cpu":  # before TensorFlow looks
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    from models.runner.distribution import choose_devices, make_strategy

    choose_devices(gpus, gpu_memory)
    return make_strategy(num_gpus) if train else tf.distribute.get_strategy()


class Run:
    """One run: the flags, the places, and its jobs."""

    def __init__(self, flags):
        self.flags = flags
        self.root = Path(flags.summary_dir or "runs/default")
        self.train_dir, self.test_dir = self.root / "train", self.root / "test"
        self.options = Options(flags.num_targets, flags.num_pairs, flags.image_size, flags.grayscale)
        self.hparams = HParams().override(PRESETS.get(flags.preset)).override(flags.hparams_override)
        self.result = None
        if flags.download:
            from input_data.mnist.download import download

            download(flags.data_dir)
        self.strategy = set_up_devices(flags.gpus, flags.gpu_memory, flags.num_gpus, flags.train)
        from models.runner.distribution import worker

        self.worker = worker(self.strategy)
        self.chief = self.worker[0] == 0

    # What the jobs share.

    @property
    def part(self) -> str:
        return "validation" if self.flags.validate else "test"

    def split(self, training: bool):
        name = {True: "valid_train" if training else "valid_test", False: "train" if training else "test"}
        split = open_split(self.flags.dataset, name[self.flags.validate], self.flags.data_dir, self.options)
        if split.note:
            say(split.note)
        return split

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(f"Cannot write to {folder}: check its permissions or give another --summary_dir.")

    def make_model(self, info):
        import keras

        from models import make_model
        from models.runner.training import count_weights

        keras.utils.set_random_seed(self.flags.seed)
        precision = self.flags.precision
        keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
        model = make_model(self.flags.model, info.image_shape, info.num_classes, self.hparams)
        say(f"{self.flags.model}: {count_weights(model):,} trainable weights")
        return model

    def free_memory(self) -> dict:
        """What `memory.check` should know of the devices that train: a GPU's memory is known where it is capped."""
        import tensorflow as tf

        from models.runner import memory

        if tf.config.list_logical_devices("GPU"):
            return {"free": self.flags.gpu_memory and self.flags.gpu_memory * 2**20, "program": 0}
        return {"free": memory.available()}

    def adopt_config(self, folder: Path) -> None:
        """Takes hparams and model from the config beside a checkpoint where the user gave none."""
        from models.runner import config

        known = config.read(folder)
        if known and self.flags.hparams_override is self.flags.preset is None:
            self.flags.model = known["flags"]["model"]
            self.hparams = HParams(**known["hparams"])
            say(f"Model and hparams as in {folder}/config.json")

    # The jobs.

    def train(self) -> int:
        """Trains to `max_steps` from the last checkpoint, then evaluates the final one."""
        from models.optimizer import make_optimizer
        from models.runner import checkpoints, config, memory
        from models.runner.stopping import Lock
        from models.runner.training import make_train_step

        flags = self.flags
        if flags.batch_size % self.strategy.num_replicas_in_sync:
            raise ValueError(
                f"--batch_size={flags.batch_size} does not divide over {self.strategy.num_replicas_in_sync} devices."
            )
        split = self.split(training=True)
        self.make_folder(self.train_dir)
        lock = Lock(self.train_dir) if self.chief else None
        if self.chief:
            checkpoints.clean(self.train_dir)
        new = config.make(vars(flags), self.hparams, split.info.class_names, split.info.image_shape)
        old = config.read(self.train_dir)
        if old and checkpoints.steps(self.train_dir):
            config.check_same_run(old, new, self.train_dir)
        with self.strategy.scope():
            model = self.make_model(split.info)
            say(memory.check(model, flags.batch_size // self.strategy.num_replicas_in_sync, **self.free_memory()))
            optimizer = make_optimizer(self.hparams, scale_loss=flags.precision == "float16")
            optimizer.build(model.trainable_variables)
            start = checkpoints.restore_latest(self.train_dir, model, optimizer, say)
            if not start and flags.checkpoint:
                start = checkpoints.restore(flags.checkpoint, model, optimizer)
        if self.chief:
            config.write(self.train_dir, new)
        if start:
            say(f"Resuming at step {start} of {flags.max_steps}")
        train_steps = make_train_step(model, optimizer, self.strategy, flags.xla)
        step, interrupted = self.train_loop(train_steps, split, model, optimizer, start)
        if lock:
            lock.release()
        if interrupted:
            say(f"Interrupted: saved {checkpoints.prefix(self.train_dir, step)}. The same command goes on from there.")
            return 128 + interrupted
        say(f"Trained to step {step}. Checkpoints: {self.train_dir}")
        return self._finish(model, step)

    def train_loop(self, train_steps, split, model, optimizer, start: int) -> tuple[int, int]:
        """The training loop: gives the last step, which is saved, and the signal that ended it early or 0."""
        import tensorflow as tf

        from models.runner import checkpoints
        from models.runner.progress import Progress
        from models.runner.stopping import Stop
        from models.runner.summaries import TrainSummaries
        from models.runner.training import check_finite

        flags, step = self.flags, start
        batches = training_batches(split, flags.batch_size, flags.seed, start, self.worker)
        progress = Progress(flags.max_steps, "step", flags.batch_size, done=start)
        with Stop() as stop:
            summaries = TrainSummaries(self.train_dir, model) if self.chief else None
            while step < flags.max_steps:
                # A call ends where a checkpoint is due, so that checkpoints lie at whole multiples of save_step.
                count = min(flags.steps_per_call, flags.max_steps - step, flags.save_step - step % flags.save_step)
                group = list(itertools.islice(batches, count))
                try:
                    results = train_steps(group)
                except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
                    reason = error.message.splitlines()[0]
                    raise ConnectionError(
                        f"Another machine of the job stopped answering after step {step} ({reason}). "
                        "Start the same command on all machines again: it goes on from the last checkpoint."
                    ) from None
                for batch, result in zip(group, results, strict=True):
                    step += 1
                    figures = {name: float(value) for name, value in result.items()}
                    check_finite(figures["total"], step, self.train_dir)
                    progress.update(step, f"loss {figures['total']:.4f}")
                    if summaries and (step % flags.summary_step == 0 or step == flags.max_steps):
                        summaries.write(step, figures, batch)
                if self.chief and (step % flags.save_step == 0 or step == flags.max_steps or stop.signal):
                    checkpoints.save(self.train_dir, step, model, optimizer, flags.max_to_keep)
                if stop.signal:
                    break
        progress.close()
        if summaries:
            summaries.close()
        return step, stop.signal

    def _finish(self, model, step: int) -> int:
        """The one evaluation after training. It is not recorded where a watcher beside does that."""
        from models.runner.stopping import is_locked
        from models.runner.training import make_evaluation_step

        split = self.split(training=False)
        self._evaluate(make_evaluation_step(model), step, split, record=self.chief and not is_locked(self.test_dir))
        if self.chief:
            self._draw(model, step, split)
            python = os.path.relpath(sys.executable)
            say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {self.root}")
        return 0

    def evaluate_once(self) -> int:
        """Evaluates the checkpoint that the flags name."""
        from models.runner import checkpoints
        from models.runner.training import make_evaluation_step

        self.adopt_config(Path(self.flags.checkpoint).parent)
        split = self.split(training=False)
        model = self.make_model(split.info)
        step = checkpoints.restore(self.flags.checkpoint, model)
        self._evaluate(make_evaluation_step(model), step, split, record=False)
        self._draw(model, step, split)
        return 0

    def _evaluate(self, run_batch, step: int, split, record: bool) -> None:
        """Evaluates a network by its evaluation step, says the result and, if asked to, records it."""
        from models.runner import checkpoints, results
        from models.runner.evaluation import evaluate

        self.make_folder(self.test_dir)
        self.result = evaluate(run_batch, self.test_batches(split), self.test_size(split))
        say(f"Step {step}: {self.result.size} {self.part} examples, loss {self.result.loss:.6f}")
        say(str(self.result))
        if record:
            results.record(self.test_dir, checkpoints.prefix(self.train_dir, step), step, self.part, self.result)
        self._write_predictions(self.result)

    def _write_predictions(self, result) -> None:
        from models.runner.evaluation import write_predictions

        if self.flags.predictions and self.chief:
            write_predictions(Path(self.flags.predictions), result.predictions)
            say(f"Predictions: {self.flags.predictions}")

    def _draw(self, model, step: int, split) -> None:
        from models.runner.summaries import write_reconstructions

        picture = self.test_dir / f"reconstructions-{step}.png"
        if write_reconstructions(picture, model, next(self.test_batches(split))):
            say(f"Test images above their reconstructions: {picture}")

    def test_size(self, split) -> int:
        return min(self.flags.eval_size or len(split), len(split))

    def test_batches(self, split):
        return evaluation_batches(split, self.flags.eval_batch_size, self.flags.eval_size)

    def evaluate_ensemble(self) -> int:
        """Sums the logits of the members that the checkpoint template names."""
        from models.runner import checkpoints
        from models.runner.evaluation import evaluate_ensemble
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

        result = evaluate_ensemble(members(), lambda: self.test_batches(split), self.test_size(split), member_done)
        say(str(result))
        self._write_predictions(result)
        return 0

    def use(self) -> int:
        """Exports the checkpoint's network or asks it about pictures."""
        from trained.jobs import use

        use(self.flags, self.hparams, self.options, say)
        return 0

    def check_data(self) -> int:
        """Reads the training and the test (or validation) split once, reports on them and draws a sheet of each."""
        from models.runner.datacheck import check, draw_sheet

        self.make_folder(self.root)
        for training, name in ((True, "train"), (False, self.part)):
            split = self.split(training)
            split.verify()
            say(check(f"{split.info.name}, {name}", split, evaluation_batches(split, 500, augmented=training)))
            shown = training_batches(split, 128, self.flags.seed) if training else self.test_batches(split)
            draw_sheet(self.root / f"sheet-{name}.png", next(shown))
            say(f"{self.root}/sheet-{name}.png shows {'augmented training' if training else name} images")
        return 0

    def watch(self) -> int:
        """Evaluates each checkpoint of the training job beside this one once, in order, until it has ended."""
        from models.runner import checkpoints
        from models.runner.results import Results
        from models.runner.stopping import Lock
        from models.runner.training import make_evaluation_step
        from models.runner.watching import new_checkpoints

        self.make_folder(self.test_dir)
        lock = Lock(self.test_dir)
        known = Results(self.test_dir, self.part).steps()
        say(f"Watching {self.train_dir}, of which {len(known)} checkpoints are evaluated")
        split = model = run_batch = None
        for step in new_checkpoints(self.train_dir, known, self.flags.eval_timeout * 3600):
            if model is None:  # the run's config is there with its first checkpoint
                self.adopt_config(self.train_dir)
                split = self.split(training=False)
                model = self.make_model(split.info)
                run_batch = make_evaluation_step(model)  # compiled once for all checkpoints
            try:
                checkpoints.restore(checkpoints.prefix(self.train_dir, step), model)
            except (checkpoints.DamagedCheckpoint, checkpoints.MissingCheckpoint) as error:
                say(f"{error} Not evaluated.")
                continue
            self._evaluate(run_batch, step, split, record=True)
        lock.release()
        if not checkpoints.steps(self.train_dir):
            raise ValueError(f"No checkpoint came to {self.train_dir} in {self.flags.eval_timeout:g} hours.")
        say(f"Every checkpoint is evaluated: {self.test_dir}/results.csv")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
