"""Computes a convolution of few channels as one matrix product, in the order in which the next convolution reads it.

Each output of a convolution is the product of a patch of its inputs with the kernel. All outputs together are one
matrix product, whose rows may have any order. `rectified_phases` gives them the order that the short transforms of the
next convolution need. This saves transposing the largest array of the network, forward and backward. Each patch ends
with a one, which is multiplied by the bias, so that the bias's gradient is part of the kernel's.
"""

from typing import Any

import keras
from keras import ops

from capsules.short_dft import Layout, fit


def are_small(convolution: keras.layers.Conv2D) -> bool:
    """Whether the patches of a layer can be formed here and are small beside its outputs.

    With a third of the numbers, a training step gains more than the patches cost. Only the paper's kind of first layer
    is formed here: without padding and with stride 1, a bias and ReLU.
    """
    rows, columns = convolution.kernel_size
    return (
        3 * rows * columns * convolution.kernel.shape[2] <= convolution.filters
        and (convolution.padding, convolution.strides, convolution.dilation_rate) == ("valid", (1, 1), (1, 1))
        and (convolution.data_format, convolution.groups, convolution.use_bias) == ("channels_last", 1, True)
        and convolution.activation is keras.activations.relu
    )


def rectified_phases(images: Any, kernel: Any, bias: Any, layout: Layout) -> Any:
    """ReLU(images ∗ kernel + bias) as the phases that `convolve_phases` takes.

    Positions behind the last output see zeros behind the images. They are finite, and the next convolution meets them
    with taps that are zero or not at all.

    Args:
        images: [batch, rows, columns, channels].
        kernel: [kernel rows, kernel columns, channels, filters].
        bias: [filters].
        layout: that of the next convolution, without padding.

    Returns:
        [rows, columns, batch, row phases, column phases·filters].
    """
    filters = kernel.shape[3]
    patches = _patches(images, kernel.shape[:2], layout)
    weights = ops.concatenate([ops.reshape(kernel, (-1, filters)), ops.reshape(bias, (1, filters))])
    features = ops.relu(ops.matmul(ops.transpose(patches), weights))  # [rows·columns·batch·phases, filters]
    return ops.reshape(features, (*layout.points, -1, layout.strides[0], layout.strides[1] * filters))


def _patches(images: Any, kernel_size: tuple[int, int], layout: Layout) -> Any:
    """The patch of each position and a one, [kernel rows·kernel columns·channels + 1, rows·columns·batch·phases]."""
    (rows, columns), (row_step, column_step) = layout.points, layout.strides
    taps, channels = kernel_size, images.shape[3]
    height, width = rows + (taps[0] - 1) // row_step, columns + (taps[1] - 1) // column_step  # of all taps in a phase
    images = fit(images, (0, 0), ((height + 1) * row_step - 1, (width + 1) * column_step - 1))
    images = ops.transpose(images, (3, 1, 2, 0))  # [channels, rows, columns, batch]
    shifted = {}
    for down in range(min(row_step, taps[0])):
        for right in range(min(column_step, taps[1])):
            part = images[:, down : down + height * row_step, right : right + width * column_step]
            part = ops.reshape(part, (channels, height, row_step, width, column_step, -1))
            shifted[down, right] = ops.transpose(part, (0, 1, 3, 5, 2, 4))  # [channels, rows, columns, batch, phases]
    patches = []
    for row in range(taps[0]):
        for column in range(taps[1]):
            part = shifted[row % row_step, column % column_step]
            top, left = row // row_step, column // column_step
            patches.append(ops.reshape(part[:, top : top + rows, left : left + columns], (channels, -1)))
    return ops.concatenate([*patches, ops.ones_like(patches[0][:1])])
