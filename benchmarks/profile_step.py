"""Where the time of a training step goes, by layer and by operation, from TensorFlow's own profiler.

    python benchmarks/profile_step.py [--model=capsule] [--preset=cifar10] [--image=28x28x1] [--batch=128] [--steps=3]

Operations run side by side on several cores, so that the milliseconds are of the operations and add up to more than
the step takes.
"""

import argparse
import collections
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.backends import device_name, train_step
from models import MODELS, make_model
from models.hparams import PRESETS, HParams


def operations(folder: Path) -> dict[str, float]:
    """Milliseconds of each operation, by its name and type, in the trace that the profiler left in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: collections.Counter = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if re.search(r"[\w/]:_?\w+$", name) and "::" not in name:  # "layer/operation:Type"
                    found[name] += event.duration_ps / 1e9
    return found


def place(name: str, layers: list[str]) -> tuple[str, str]:
    """(layer, direction) of an operation's name."""
    layer = next((layer for layer in layers if f"/{layer}" in name), None)
    if layer is None:
        rest = "the votes' own gradient, losses"  # which have no layer's scope
        return ("adam" if name.startswith("adam") else rest), ""
    return layer, "backward" if "gradient_tape" in name else "forward"


def main() -> None:
    """Profiles and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="capsule")
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--image", default="28x28x1")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    flags = parser.parse_args()
    shape = tuple(map(int, flags.image.split("x")))
    model = make_model(flags.model, shape, 10, HParams().override(PRESETS.get(flags.preset)))
    images = np.random.RandomState(0).uniform(size=(flags.batch, *shape)).astype(np.float32)
    step = train_step(model, images, np.arange(flags.batch, dtype=np.int32)[:, None] % 10)
    step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=2))
        start = time.perf_counter()
        for _ in range(flags.steps):
            step()
        seconds = (time.perf_counter() - start) / flags.steps
        tf.profiler.experimental.stop()
        found = {name: spent / flags.steps for name, spent in operations(Path(folder)).items()}
    layers = sorted((layer.name for layer in model.layers), key=len, reverse=True)  # conv_capsule1 before conv1
    by_place: collections.Counter = collections.Counter()
    for name, spent in found.items():
        by_place[place(name, layers)] += spent
    print(f"{device_name()}: {flags.model} {flags.image}, batch {flags.batch}: {seconds * 1e3:.0f} ms a step")
    for (layer, direction), spent in by_place.most_common():
        print(f"{spent:9.1f} ms  {layer} {direction}")
    print("\nThe largest operations:")
    for name, spent in sorted(found.items(), key=lambda pair: -pair[1])[:14]:
        print(f"{spent:9.1f} ms  {name.removeprefix('StatefulPartitionedCall/')[:110]}")


if __name__ == "__main__":
    main()
