"""Runs the jobs `--predict` and `--export` of `experiment.py`."""

from pathlib import Path

from explorer.export import export
from explorer.predict import predict
from input_data.progress import say
from runner.devices import show_devices
from runner.loader import Data, load
from runner.run_config import RunConfig


def use(config: RunConfig) -> int:
    """Exports a network (`--export`) and classifies pictures (`--predict`); see `RunConfig.used_network`.

    Raises:
        ValueError: the checkpoint cannot be used, or an export or a picture fails.
    """
    show_devices(config.gpus, config.gpu_memory)
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={config.used_network}")
    trained = load(config.used_network, config, Data(config.data_dir), config.root, config.averaged)
    if config.export:
        say(export(trained, Path(config.export)))
    if config.predict:
        predict(config.predict, trained, config.eval_batch_size, say, config.predictions)
    return 0
