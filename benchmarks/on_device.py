"""What `gpu.py` runs on the device: batches made there, ways to compute the convolution and votes, and training steps.

A sampler is a function of (data, key, numbers [batch]) for JAX. It gives images [batch, rows, columns, 1] in [0, 1],
labels [batch, targets] and, for pairs, the images to reconstruct [batch, 2, rows, columns, 1]. The uint8 digits lie on
the device, so that a training step needs only the numbers of its digits.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import keras
import numpy as np
from keras import ops

from benchmarks import backends
from capsules.ops import precise
from capsules.votes import StoredVotes, Votes
from models import make_model

if backends.BACKEND == "jax":
    import jax
    import jax.numpy as jnp
    from jax.scipy.ndimage import map_coordinates
else:
    import torch

    torch.backends.cudnn.benchmark = True  # cuDNN times its algorithms and takes the fastest, as XLA does

KERNEL, STRIDE = 9, 2  # of the large convolution
MARGIN = 10  # pixels around a stored digit
SIDE, FRAME = 28, 36  # of a digit and of a pair
CONV = ops.conv


def store(images: np.ndarray, labels: np.ndarray) -> dict:
    """Digits uint8 [n, 28, 28] and their labels [n] on the device, with a margin, and sorted by class."""
    counts = np.bincount(labels, minlength=10)
    data = {
        "images": np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))),
        "labels": labels.astype(np.int32),
        "by_class": np.argsort(labels, kind="stable").astype(np.int32),
        "counts": counts.astype(np.int32),
        "starts": (np.cumsum(counts) - counts).astype(np.int32),
    }
    return {name: jnp.asarray(array) for name, array in data.items()}


def placed(data: dict, numbers, moves, side: int):
    """Digits in the middle of a frame, moved down and right by `moves` [n, 2]: uint8 [n, side, side]."""
    first = MARGIN - (side - SIDE) // 2 - moves
    rows, columns = (first[:, axis, None] + jnp.arange(side) for axis in (0, 1))  # [n, side]
    return data["images"][numbers[:, None, None], rows[:, :, None], columns[:, None, :]]


def shifted(data: dict, key, numbers, reach: int = 2):
    """Digits shifted by up to `reach` pixels each way (paper, section 5)."""
    moves = jax.random.randint(key, (len(numbers), 2), -reach, reach + 1)
    return placed(data, numbers, moves, SIDE)[..., None] / 255.0, data["labels"][numbers, None], None


def varied(data: dict, key, numbers):
    """Digits varied as in `input_data.mnist.varied_digits`."""
    images = placed(data, numbers, jnp.zeros((len(numbers), 2), jnp.int32), SIDE) / 256.0
    images = jax.vmap(vary)(jax.random.split(key, len(numbers)), images)
    return images[..., None], data["labels"][numbers, None], None


def vary(key, image):
    """Rotates, shifts and squeezes an image [28, 28], and erases a square of it."""
    keys = jax.random.split(key, 3)
    turn, *shares, narrow = jnp.clip(0.33 * jax.random.normal(keys[0], (4,)), -1, 1)
    is_turned, *backwards = jax.random.bernoulli(keys[1], shape=(3,))
    middle = (SIDE - 1) / 2
    rows, columns = jnp.mgrid[:SIDE, :SIDE] - middle
    sin, cos = (function(jnp.radians(30.0) * turn * is_turned) for function in (jnp.sin, jnp.cos))
    image = map_coordinates(image, [sin * columns + cos * rows + middle, cos * columns - sin * rows + middle], order=1)
    for axis, (share, back) in enumerate(zip(shares, backwards, strict=True)):
        ink = (image > 0).any(axis=1 - axis)  # it moves by a share of the free margin, so nothing leaves the frame
        move = jnp.round(jnp.abs(share) * jnp.where(back, ink.argmax(), ink[::-1].argmax())).astype(jnp.int32)
        image = jnp.roll(image, jnp.where(back, -move, move), axis)
    removed = 1 + jnp.floor(7 * jnp.minimum(jnp.abs(narrow), 0.9999))
    place, kept = jnp.arange(SIDE) - removed // 2 + 0.5, SIDE - removed
    source = jnp.where((place > 0) & (place < kept), place * SIDE / kept - 0.5, -2.0)
    image = map_coordinates(image, [rows + middle, jnp.broadcast_to(source, image.shape)], order=1)
    corner = jax.random.randint(keys[2], (2, 1), 4, 23)
    down, across = (jnp.arange(SIDE) >= corner) & (jnp.arange(SIDE) < corner + 4)  # [2, 28]
    return jnp.where(down[:, None] & across, 0.0, image)


def pairs(data: dict, key, numbers):
    """Each digit with one of another class, both shifted by up to 4 pixels each way (paper, section 6)."""
    own, keys = data["labels"][numbers], jax.random.split(key)
    others = len(data["labels"]) - data["counts"][own]
    choice = (jax.random.uniform(keys[0], own.shape) * others).astype(jnp.int32)
    choice += jnp.where(choice >= data["starts"][own], data["counts"][own], 0)  # jumps over the digit's own class
    both = jnp.stack([numbers, data["by_class"][choice]], axis=1)  # [batch, 2]
    moves = jax.random.randint(keys[1], (both.size, 2), -4, 5)
    digits = placed(data, both.ravel(), moves, FRAME).reshape(-1, 2, FRAME, FRAME, 1)
    merged = jnp.minimum(digits.astype(jnp.int32).sum(axis=1), 255)
    return merged / 255.0, data["labels"][both], digits / 255.0


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
VOTES = ("library", "stored", "together")


def passes(form: Callable, images, kernel, change) -> dict[str, Callable]:
    """Functions that compute the outputs and, from a change of the outputs, the gradients of kernel and images."""
    if backends.BACKEND == "jax":

        def gradient(index: int) -> Callable:
            run = jax.jit(lambda images, kernel, change: jax.vjp(form, images, kernel)[1](change)[index])
            return lambda: run(images, kernel, change)

        forward = jax.jit(form)
        return {"forward": lambda: forward(images, kernel), "kernel": gradient(1), "images": gradient(0)}

    def gradient(index: int) -> Callable:
        tensors = [images.clone(), kernel.clone()]
        tensors[index].requires_grad_()
        outputs = form(*tensors)
        return lambda: torch.autograd.grad(outputs, tensors[index], change, retain_graph=True)[0]

    return {"forward": lambda: form(images, kernel), "kernel": gradient(1), "images": gradient(0)}


class TogetherVotes(Votes):
    """The library's votes with the products of all atoms of the input capsules in one call, not one atom at a time."""

    def _weighted_sum(self, coefficients):
        shares = ops.cast(coefficients, self.inputs.dtype)[None] * ops.transpose(self.inputs, (2, 0, 1))[:, None]
        sums = ops.matmul(shares, ops.transpose(self.kernel, (1, 2, 0, 3)))  # [atoms_in, out, batch, atoms]
        return ops.transpose(ops.sum(precise(sums), axis=0), (1, 0, 2))

    def _agreement(self, capsules):
        vectors = ops.transpose(ops.cast(capsules, self.inputs.dtype), (1, 0, 2))[None]  # [1, out, batch, atoms]
        moved = ops.matmul(vectors, ops.transpose(self.kernel, (1, 2, 3, 0)))  # [atoms_in, out, batch, in]
        return ops.sum(precise(moved * ops.transpose(self.inputs, (2, 0, 1))[:, None]), axis=0)


@contextmanager
def computed(model, form: str, votes: str) -> Iterator[None]:
    """Computes a network's large convolution and its votes in other ways, if the network is traced in the block.

    This is all that the measurements know of the library's inside: that `keras.ops.conv(inputs, kernel, …)` computes
    the convolution, and that the layer `model.classes` has `kernel`, `num_capsules` and `atoms` and gets the votes that
    it routes from its method `votes(inputs)`. The library computes the votes of one atom at a time.
    """
    used, layer = [], model.classes

    def conv(inputs, kernel, *arguments, **keywords):
        if kernel.shape[0] != KERNEL or kernel.shape[2] == 1:
            return CONV(inputs, kernel, *arguments, **keywords)
        used.append(form)
        return FORMS[form](inputs, kernel)

    def other_votes(inputs):
        shape = (*inputs.shape[1:], layer.num_capsules, layer.atoms)
        kernel = ops.reshape(ops.cast(layer.kernel, inputs.dtype), shape)
        if votes == "together":
            return TogetherVotes(inputs, kernel)
        return StoredVotes(ops.einsum("bia,iajd->bijd", inputs, kernel))

    if votes != "library":
        layer.votes = other_votes
    ops.conv = conv
    try:
        yield
    finally:
        ops.conv = CONV
    if form != "direct" and not used:
        raise RuntimeError("The network does not compute its large convolution by keras.ops.conv.")


class Training:
    """A CapsNet whose training steps run on the device, many in one call; for JAX.

    Args:
        examples: uint8 digits [n, 28, 28] and their labels [n].
        sample: a sampler, see above.
        hparams: those of the network that differ from the defaults.
        side: rows and columns of the images that the sampler makes.
        averaged: whether to keep a moving average of the weights.
    """

    def __init__(self, examples: tuple, sample: Callable, hparams: dict, side: int = SIDE, averaged: bool = False):
        self.data, self.sample, self.hparams = store(*examples), sample, hparams
        self.shape, self.averaged = (side, side, 1), averaged
        self.model = self.new()
        self.optimizer = keras.optimizers.Adam(1.0, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
        self.optimizer.build(self.model.trainable_variables)
        self.rate = [variable.name for variable in self.optimizer.variables].index("learning_rate")

    def new(self):
        """A network with fresh weights."""
        return make_model("capsule", self.shape, 10, self.hparams)

    def start(self, seed: int) -> tuple:
        """The state of a training that begins: weights, Adam's variables, averages of the weights, and a key."""
        keras.utils.set_random_seed(seed)
        weights = [jnp.copy(variable.value) for variable in self.new().trainable_variables]
        slots = [jnp.copy(variable.value) for variable in self.optimizer.variables]
        return weights, slots, [jnp.copy(weight) for weight in weights] if self.averaged else [], jax.random.key(seed)

    def step(self, data: dict, state: tuple, inputs: tuple) -> tuple:
        """One step, for `lax.scan`: of a state and (numbers of digits [batch], learning rate)."""
        weights, slots, averages, key = state
        key, own = jax.random.split(key)
        images, labels, targets = self.sample(data, own, inputs[0])

        def cost(weights):
            def total():
                return self.model.costs(self.model(images, training=True), images, labels, targets)["total"]

            return with_weights(self.model, weights, total)

        loss, gradients = jax.value_and_grad(cost)(weights)
        slots = [*slots[: self.rate], inputs[1], *slots[self.rate + 1 :]]
        decay = jnp.minimum(0.999, (1.0 + slots[0]) / (10.0 + slots[0]))  # slot 0 counts the steps
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        averages = [old + (1 - decay) * (new - old) for old, new in zip(averages, weights, strict=False)]
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


def measure(run: Callable, least: float) -> tuple:
    """The result of `run`, and the seconds of a call, from calls that follow one another for `least` seconds."""
    result = run()
    backends.wait(result)
    once = backends.seconds(lambda: backends.wait(run()))
    count = max(1, min(200, int(least / max(once, 1e-6))))
    return result, backends.seconds(lambda: backends.wait([run() for _ in range(count)])) / count


def flop(model) -> int:
    """Floating point operations of the two convolutions for an image: forward, and the gradients that a step needs."""
    kernels = (model.named_variables()[f"{name}/weights"].shape for name in ("conv1", "conv_capsule1"))
    (*_, depth, channels), (*_, last) = kernels
    first = model.image_shape[0] - KERNEL + 1
    grid = (first - KERNEL) // STRIDE + 1
    return 2 * KERNEL**2 * channels * (2 * first**2 * depth + 3 * grid**2 * last)


def with_weights(model, weights: list, function: Callable):
    """What `function` returns if a network has these weights in place of its own."""
    with keras.StatelessScope(list(zip(model.trainable_variables, weights, strict=True))):
        return function()


def has_accelerator() -> bool:
    """Whether the backend computes on something else than the processor."""
    return jax.default_backend() != "cpu" if backends.BACKEND == "jax" else torch.cuda.is_available()
