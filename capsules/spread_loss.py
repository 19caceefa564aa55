"""The spread loss of matrix capsules (Hinton, Sabour, Frosst 2018, section 4.1)."""

from typing import Any

import keras
from keras import ops

from capsules.losses import _Loss, _rows_and_predictions
from capsules.ops import number


@keras.saving.register_keras_serializable("capsules")
def spread_loss(y_true: Any, y_pred: Any, margin: Any = 0.9) -> Any:
    """Spread loss of activations, one number for each example: Σ_t T_t Σ_i (1 − T_i)·max(0, m − (a_t − a_i))².

    Arguments, result and errors as `margin_loss`, with activations a in place of lengths, and with the margin m, by
    which the activation of a target must exceed every other one.

    Example:
        >>> loss = spread_loss([0, 1], keras.ops.convert_to_tensor([[0.9, 0.1], [0.9, 0.1]]), margin=0.2)
        >>> print(keras.ops.convert_to_numpy(loss).round(2))
        [0. 1.]
    """
    targets, activations = _rows_and_predictions(y_true, y_pred)
    lead = activations[:, :, None] - activations[:, None]  # a_t − a_i [batch, t, i]
    pairs = targets[:, :, None] * (1.0 - targets[:, None])
    return ops.sum(pairs * ops.square(ops.relu(ops.cast(margin, lead.dtype) - lead)), axis=(1, 2))


@keras.saving.register_keras_serializable("capsules")
class SpreadLoss(_Loss):
    """`spread_loss` as a Keras loss object, whose margin can be raised while it trains.

    In the paper it rises from 0.2 to 0.9, so that few capsules die early. `loss.set_margin(0.5)` changes it between two
    calls of `fit`; a function that JAX has compiled sees the change after `model.make_train_function(force=True)`.

    Args:
        margin: the margin at the start.
        reduction, name, dtype: see `keras.losses.Loss`.

    Example:
        >>> loss = SpreadLoss(0.2)
        >>> loss.set_margin(0.9)
        >>> print(f"{float(loss([0], keras.ops.convert_to_tensor([[0.6, 0.1]]))):.2f}")
        0.16
    """

    function = spread_loss

    def __init__(
        self,
        margin: float = 0.9,
        reduction: str | None = "sum_over_batch_size",
        name: str = "spread_loss",
        dtype: Any = None,
    ):
        self.margin = keras.Variable(number("SpreadLoss: margin", margin), trainable=False, name="margin")
        super().__init__(reduction, name, dtype, margin=self.margin)

    def set_margin(self, margin: float) -> None:
        """Sets the margin."""
        self.margin.assign(number("SpreadLoss: margin", margin))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": round(float(self.margin), 6)}
