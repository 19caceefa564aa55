"""What one asks of a trained network: what pictures show, and a file that takes it elsewhere."""

from pathlib import Path

from explorer.export import export
from explorer.predict import predict
from input_data import Options, open_split
from models.hparams import HParams
from runner import config
from runner.loader import load
from runner.progress import say
from runner.run import Run


def config_of_flags(flags, hparams: HParams, options: Options) -> dict:
    """What a checkpoint without config is, such as those of 2017: as the flags and the data set's test split say."""
    info = open_split(flags.dataset, "test", flags.data_dir, options).info
    return config.make(vars(flags), hparams, info.class_names, info.image_shape)


def use(run: Run) -> int:
    """Exports the network of `--checkpoint` (`--export`) and asks it about pictures (`--predict`).

    Model and hparams are those of the config beside the checkpoint unless the flags override hparams; a checkpoint
    without config is what `config_of_flags` says.

    Raises:
        ValueError: a checkpoint that cannot be used, an export or a picture that fails.
    """
    flags = run.flags
    network = None if flags.hparams_override is flags.preset is None else (flags.model, run.hparams)
    trained = load(flags.checkpoint, lambda: config_of_flags(flags, run.hparams, run.options), network)
    if flags.export:
        say(export(trained, Path(flags.export)))
    if flags.predict:
        predict(flags.predict, trained, flags.eval_batch_size, say, flags.predictions)
    return 0
