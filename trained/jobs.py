"""The jobs of `experiment.py` that use a trained network."""

from collections.abc import Callable
from pathlib import Path

from input_data import Options, open_split
from models.hparams import HParams
from models.runner import config
from models.runner.trained import load
from trained.export import export
from trained.predict import predict


def use(flags, hparams: HParams, options: Options, say: Callable[[str], None]) -> None:
    """Exports the network of `--checkpoint` (`--export`) and asks it about pictures (`--predict`).

    Model and hparams are those of the config beside the checkpoint unless the flags override hparams; a checkpoint
    without config, such as those of 2017, is what the flags say.

    Args:
        flags: of `models.runner.flags`.
        hparams: those that the flags give.
        options: of the data set, which says what the images of a checkpoint without config are.
        say: takes a line.

    Raises:
        ValueError: a checkpoint that cannot be used, an export or a picture that fails.
    """

    def otherwise() -> dict:
        info = open_split(flags.dataset, "test", flags.data_dir, options).info
        return config.make(vars(flags), hparams, info.class_names, info.image_shape)

    network = None if flags.hparams_override is flags.preset is None else (flags.model, hparams)
    trained = load(flags.checkpoint, otherwise, network)
    if flags.export:
        say(export(trained, Path(flags.export)))
    if flags.predict:
        predict(flags.predict, trained, flags.eval_batch_size, say, flags.predictions)
