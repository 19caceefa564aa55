"""Two replicas train as one device does: statistics of normalisation are averaged over the whole batch, without XLA."""

import subprocess
import sys
from pathlib import Path

TWO_AND_ONE = """
import sys
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner.devices import Machines
from runner.steps import make_train_step
random = np.random.RandomState(0)
batch = {"images": random.uniform(size=(8, 14, 14, 1)).astype("float32"),
         "labels": random.randint(0, 10, (8, 1)).astype("int32")}
results = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = make_model("efficient", (14, 14, 1), 10, HParams(remake=False))
        optimizer = make_optimizer(model.hparams)
        optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, Machines(strategy))
    for _ in range(2):
        step([batch])
    results.append([model.get_layer("norm1").moving_mean.numpy(), model.get_layer("norm4").moving_variance.numpy()])
try:
    make_train_step(model, optimizer, Machines(strategy), jit=True)
    sys.exit("XLA would be tried on replicas that meet amid a step")
except ValueError as error:
    assert "Leave --xla out" in str(error)
for one, other in zip(*results):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
"""


def test_statistics_of_normalisation_are_those_of_the_whole_batch():
    done = subprocess.run(
        [sys.executable, "-c", TWO_AND_ONE], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
