"""What a training begins with: the description of its network, its checkpoint, and a folder that is its own."""

from dataclasses import replace
from pathlib import Path

from input_data.formats.files import atomic_write
from input_data.progress import say
from runner import checkpoints, config, own_model, results
from runner.config import NetworkConfig
from runner.devices import Machines
from runner.evaluate import make_folder
from runner.flags import UserError
from runner.loader import Data, describe
from runner.naming import resolve
from runner.run_config import RunConfig, flag_lines
from runner.stopping import Lock
from runner.summaries import write_hparams


def begin(flags: RunConfig, data: Data) -> tuple[NetworkConfig, str | None]:
    """The network to train, and the checkpoint to begin with, which a run that has checkpoints does not need.

    What the flags leave open is as in the run's config.json, else as in that of the checkpoint, else the default.
    """
    found = checkpoints.steps(flags.train_dir)
    old = config.read(flags.train_dir) if found else None
    first = None
    if flags.checkpoint:
        try:
            first = resolve(flags.checkpoint, flags.root)
        except checkpoints.MissingCheckpoint:
            if not found:
                raise
    is_own = bool(found and first) and Path(str(first)).absolute().is_relative_to(flags.root.absolute())
    if is_own and (step := checkpoints.step_of(str(first))) < found[-1]:
        raise UserError(
            f"--checkpoint={flags.checkpoint} is of step {step}, and {flags.train_dir} has later checkpoints, up to "
            f"step {found[-1]}. To go back, remove these, or start from it in another --summary_dir."
        )
    if first and not found and (step := checkpoints.step_of(first)) >= flags.max_steps:
        raise UserError(
            f"{first} has {step} steps already, and --max_steps={flags.max_steps} counts from the start. "
            f"For 1000 steps more, give --max_steps={step + 1000}."
        )
    if first and not found:
        # A new run may have other data than the checkpoint, so a flag does not contradict its config here.
        old = config.read(Path(first).parent) or describe(first, flags, data)
        old = replace(old, statistics=())
    begun = replace(old or NetworkConfig(), statistics=()).with_flags(flags)
    if own_model.is_own(begun.model):
        model = own_model.locate(begun.model)
        begun = replace(begun, flags={**begun.flags, "model": model}, model_sha256=own_model.checksum(model))
    return begun, None if found else first


def claim_folder(flags: RunConfig, saved: NetworkConfig, chief: bool) -> Lock | None:
    """Creates the run's folder and checks that a run in it is this one; the chief also locks it."""
    make_folder(flags.train_dir)
    results.read(flags.test_dir)  # reports a damaged table before the training and not after it
    if not chief:
        return None
    lock = Lock(flags.train_dir)
    old = config.read(flags.train_dir) if checkpoints.steps(flags.train_dir) else None
    if old and (different := config.conflicts(old.values(), saved.values(), saved.identity())):
        lock.release()
        raise UserError(
            f"The run in {flags.train_dir} differs: {config.in_words(different)}. "
            "Resume it with the same flags, or give another --summary_dir."
        )
    if old and old.model_sha256 != saved.model_sha256:
        say(f"{saved.model.rpartition(':')[0]} has changed since this run began.")
    return lock


def common_facts(flags: RunConfig, saved: NetworkConfig, machines: Machines) -> dict:
    """What all machines of a job must have in common, by name."""
    values, names = saved.values(), ("max_steps", "save_step", "eval_every", "steps_per_call", "xla")
    versions = {name: saved.versions[name] for name in ("tensorflow", "keras")}
    common = {name: values[name] for name in saved.identity()} | {name: getattr(flags, name) for name in names}
    return common | versions | {"model_sha256": saved.model_sha256, "devices of a machine": machines.local}


def write_config(flags: RunConfig, saved: NetworkConfig) -> None:
    """Writes the run's config: config.json for the programs, flags.txt for --flagfile, hparams for TensorBoard."""
    config.write(flags.train_dir, saved)
    with atomic_write(flags.train_dir / "flags.txt") as (draft,):
        draft.write_text(flag_lines(dict(saved.flags)), encoding="utf-8", errors="surrogateescape")
    write_hparams(flags.root, saved)
