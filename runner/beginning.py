"""What a training begins with: the description of its network, its checkpoint, and a folder that is its own."""

from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from input_data.formats.files import atomic_write
from input_data.progress import say
from runner import checkpoints, config, naming, own_model, results
from runner.config import NetworkConfig
from runner.devices import Machines
from runner.flags import UserError
from runner.run_config import RunConfig, flag_lines
from runner.stopping import Lock
from runner.summaries import write_hparams


def begin(flags: RunConfig) -> tuple[NetworkConfig, str | None]:
    """The network to train, and the checkpoint to begin with, which a run that has checkpoints does not need.

    What the flags leave open is as in the run's config.json, else as in that of the checkpoint, else the default.
    """
    found, first = naming.steps(flags.train_dir), None
    if flags.checkpoint:
        with suppress(naming.MissingCheckpoint) if found else nullcontext():
            first = Path(naming.resolve(flags.checkpoint, flags.root))
    if first and found:
        step = int(name[1]) if (name := naming.NAME.fullmatch(first.name)) else found[-1]
        if first.absolute().is_relative_to(flags.root.absolute()) and step < found[-1]:
            raise UserError(
                f"--checkpoint={flags.checkpoint} is of step {step}, and {flags.train_dir} has later checkpoints, up "
                f"to step {found[-1]}. To go back, remove these, or start from it in another --summary_dir."
            )
    elif first and (step := checkpoints.step_of(str(first))) >= flags.max_steps:
        raise UserError(
            f"{first} has {step} steps already, and --max_steps={flags.max_steps} counts from the start. "
            f"For 1000 steps more, give --max_steps={step + 1000}."
        )
    # A new run may have other data than the checkpoint, so a flag does not contradict its config here.
    folder = flags.train_dir if found else first and first.parent
    begun = replace((folder and config.read(folder)) or NetworkConfig(), statistics=()).with_flags(flags)
    end = begun.hparams.decay_steps
    if begun.hparams.schedule == "linear" and end < flags.max_steps:  # the steps beyond would teach nothing
        raise UserError(
            f"With schedule=linear, the learning rate has fallen to nothing at step {end}, and --max_steps="
            f"{flags.max_steps} goes on after it. Give --hparams_override=decay_steps={flags.max_steps} too."
        )
    if own_model.is_own(begun.model):
        model, checksum = own_model.locate(begun.model)
        begun = replace(begun, flags={**begun.flags, "model": model}, model_sha256=checksum)
    return begun, None if found or not first else str(first)


def claim_folder(flags: RunConfig, saved: NetworkConfig) -> Lock:
    """Locks the run's folder, which is made if need be, and checks that a run in it is this one."""
    lock = Lock(flags.train_dir)
    old = config.read(flags.train_dir) if naming.steps(flags.train_dir) else None
    if old and (different := config.conflicts(old.values(), saved.values(), saved.identity())):
        lock.release()
        raise UserError(
            f"The run in {flags.train_dir} differs: {config.in_words(different)}. "
            "Resume it with the same flags, or give another --summary_dir."
        )
    if old and old.model_sha256 != saved.model_sha256:
        say(f"{saved.model.rpartition(':')[0]} has changed since this run began.")
    results.read(flags.test_dir)  # reports a damaged table before the training and not after it
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
        draft.write_text(flag_lines(dict(saved.flags)), encoding="utf-8")
    write_hparams(flags.root, saved)
