"""What `gpu.py` runs on the device with JAX: batches made there, forms of the convolution, and training steps.

A sampler is a function of (data, key, numbers [batch]). It gives images [batch, rows, columns, 1] in [0, 1], labels
[batch, targets] and, for pairs, the images to reconstruct [batch, 2, rows, columns, 1]. The uint8 digits lie on the
device, so that a training step needs only the numbers of its digits.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import ops

from capsules.votes import StoredVotes
from models import make_model

KERNEL, STRIDE = 9, 2  # of the large convolution
MARGIN, SIDE, FRAME = 10, 28, 36  # pixels around a stored digit; of a digit; of a pair
CONV = ops.conv


def store(images: np.ndarray, labels: np.ndarray) -> dict:
    """Digits uint8 [n, 28, 28] and their labels [n] on the device, with a margin, and sorted by class."""
    counts = np.bincount(labels, minlength=10)
    data = {"images": np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))), "labels": labels, "counts": counts}
    data |= {"by_class": np.argsort(labels, kind="stable"), "starts": np.cumsum(counts) - counts}
    return {name: jnp.asarray(array, array.dtype if name == "images" else "int32") for name, array in data.items()}


def placed(data: dict, numbers, moves, side: int):
    """Digits in the middle of a frame, moved down and right by `moves` [n, 2]: uint8 [n, side, side]."""
    first = MARGIN - (side - SIDE) // 2 - moves
    rows, columns = (first[:, axis, None] + jnp.arange(side) for axis in (0, 1))  # [n, side]
    return data["images"][numbers[:, None, None], rows[:, :, None], columns[:, None, :]]


def shifted(data: dict, key, numbers, reach: int = 2):
    """Digits shifted by up to `reach` pixels each way (paper, section 5)."""
    moves = jax.random.randint(key, (len(numbers), 2), -reach, reach + 1)
    return placed(data, numbers, moves, SIDE)[..., None] / 255.0, data["labels"][numbers, None], None


def pairs(data: dict, key, numbers):
    """Each digit with one of another class, both shifted by up to 4 pixels each way (paper, section 6)."""
    own, keys = data["labels"][numbers], jax.random.split(key)
    others = len(data["labels"]) - data["counts"][own]
    choice = (jax.random.uniform(keys[0], own.shape) * others).astype(jnp.int32)
    choice += jnp.where(choice >= data["starts"][own], data["counts"][own], 0)  # jumps over the digit's own class
    both = jnp.stack([numbers, data["by_class"][choice]], axis=1)  # [batch, 2]
    moves = jax.random.randint(keys[1], (both.size, 2), -4, 5)
    digits = placed(data, both.ravel(), moves, FRAME).reshape(-1, 2, FRAME, FRAME, 1)
    return jnp.minimum(digits.astype("int32").sum(axis=1), 255) / 255.0, data["labels"][both], digits / 255.0


# Forms of the large convolution: of images [batch, side, side, C] and a kernel [9, 9, C, D], with stride 2.


def direct(images, kernel):
    """The convolution of the backend."""
    return CONV(images, kernel, STRIDE, "valid", data_format="channels_last")


def space_to_depth(images, kernel):
    """Blocks of 2x2 pixels become channels, so that the kernel has 5x5 taps and stride 1."""
    batch, side, _, channels = images.shape
    half = (side + 1) // 2
    blocks = ops.pad(images, ((0, 0), (0, side % 2), (0, side % 2), (0, 0)))
    blocks = ops.transpose(ops.reshape(blocks, (batch, half, 2, half, 2, channels)), (0, 1, 3, 2, 4, 5))
    taps = ops.reshape(ops.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0))), (5, 2, 5, 2, channels, -1))
    taps = ops.reshape(ops.transpose(taps, (0, 2, 1, 3, 4, 5)), (5, 5, 4 * channels, -1))
    return CONV(ops.reshape(blocks, (batch, half, half, -1)), taps, 1, "valid", data_format="channels_last")


def patches(images, kernel):
    """Each patch is copied, so that one matrix product remains."""
    last = images.shape[1] - KERNEL + 1
    columns = ops.stack([images[:, :, tap : tap + last : STRIDE] for tap in range(KERNEL)], axis=3)
    rows = ops.stack([columns[:, tap : tap + last : STRIDE] for tap in range(KERNEL)], axis=3)
    batch, grid, *_ = rows.shape  # [batch, grid, grid, 9, 9, C]
    total = ops.matmul(ops.reshape(rows, (batch * grid * grid, -1)), ops.reshape(kernel, (-1, kernel.shape[-1])))
    return ops.reshape(total, (batch, grid, grid, -1))


FORMS = {"direct": direct, "space_to_depth": space_to_depth, "patches": patches}


def computed(model, form: str, votes: str) -> ExitStack:
    """A context in which a network is traced with another form of its large convolution, or with stored votes."""

    def conv(inputs, kernel, *arguments, **keywords):
        large = kernel.shape[0] == KERNEL and kernel.shape[2] > 1
        return FORMS[form](inputs, kernel) if large else CONV(inputs, kernel, *arguments, **keywords)

    def stored(inputs):
        kernel = ops.reshape(ops.cast(layer.kernel, inputs.dtype), (*inputs.shape[1:], layer.num_capsules, layer.atoms))
        return StoredVotes(ops.einsum("bia,iajd->bijd", inputs, kernel))

    layer, context = model.classes, ExitStack()
    context.enter_context(patch.object(ops, "conv", conv))
    if votes == "stored":
        context.enter_context(patch.object(layer, "votes", stored))
    return context


class Training:
    """A CapsNet whose training steps run on the device, many in one call.

    Args:
        examples: uint8 digits [n, 28, 28] and their labels [n].
        sample: a sampler, see above.
        hparams: those of the network that differ from the defaults.
        side: rows and columns of the images that the sampler makes.
    """

    def __init__(self, examples: tuple, sample: Callable, hparams: dict, side: int = SIDE):
        self.data, self.sample, self.hparams, self.shape = store(*examples), sample, hparams, (side, side, 1)
        self.model = self.new()
        self.optimizer = keras.optimizers.Adam(1.0, epsilon=1e-8)
        self.optimizer.build(self.model.trainable_variables)
        self.rate = [variable.name for variable in self.optimizer.variables].index("learning_rate")

    def new(self):
        """A network with fresh weights."""
        return make_model("capsule", self.shape, 10, self.hparams)

    def start(self, seed: int) -> tuple:
        """The state of a training that begins: weights, Adam's variables, averages of the weights, and a key."""
        keras.utils.set_random_seed(seed)
        weights = [variable.value for variable in self.new().trainable_variables]
        slots = [variable.value for variable in self.optimizer.variables]
        return *(list(map(jnp.copy, each)) for each in (weights, slots, weights)), jax.random.key(seed)

    def step(self, data: dict, state: tuple, inputs: tuple) -> tuple:
        """One step, for `lax.scan`: of a state and (numbers of digits [batch], learning rate)."""
        weights, slots, averages, key = state
        key, own = jax.random.split(key)
        images, labels, targets = self.sample(data, own, inputs[0])

        def cost(weights):
            with keras.StatelessScope(list(zip(self.model.trainable_variables, weights, strict=True))):
                return self.model.costs(self.model(images, training=True), images, labels, targets)["total"]

        loss, gradients = jax.value_and_grad(cost)(weights)
        slots = [*slots[: self.rate], inputs[1], *slots[self.rate + 1 :]]
        decay = jnp.minimum(0.999, (1.0 + slots[0]) / (10.0 + slots[0]))  # slot 0 counts the steps
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        averages = [old + (1 - decay) * (new - old) for old, new in zip(averages, weights, strict=True)]
        return (weights, slots, averages, key), loss

    def compiled(self, steps: int, batch: int, form: str, votes: str) -> tuple[Callable, dict]:
        """A function of a state, numbers [steps, batch] and rates [steps] → (state, losses [steps]); facts about it.

        The state that is given to the function cannot be used again.
        """
        begin = time.monotonic()

        @partial(jax.jit, donate_argnums=0)
        def call(state, data, *inputs):
            return jax.lax.scan(partial(self.step, data), state, inputs)

        with computed(self.model, form, votes):
            lowered = call.lower(self.start(0), self.data, jnp.zeros((steps, batch), jnp.int32), jnp.zeros(steps))
        program = lowered.compile()
        memory = program.memory_analysis()
        megabytes = (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20
        facts = {"form": form, "votes": votes, "megabytes": megabytes, "compile_seconds": time.monotonic() - begin}
        return lambda state, *inputs: program(state, self.data, *inputs), facts
