"""Hyperparameters and their override string, `name=value,name=value`, as in 2017."""

from dataclasses import dataclass, fields, replace
from typing import Any

_CHOICES = {
    "loss_type": ("margin", "margin_sum", "softmax", "sigmoid"),
    "padding": ("VALID", "SAME"),
    "preparation": ("2017", "efficient"),
    "routing_gradient": ("all", "last"),
}
_POSITIVE = (
    *("decay_rate", "decay_steps", "learning_rate", "routing", "num_prime_capsules", "conv_channels"),
    *("primary_atoms", "class_atoms", "learning_rate_floor", "reconstruction_weight"),
)
_TOO_LARGE = 1e39  # for a float32

# The recipe of Efficient-CapsNet (Mazzia et al. 2021), for --batch_size=16: an epoch of MNIST has 3750 steps.
_EFFICIENT = "loss_type=margin_sum,learning_rate=0.0005,learning_rate_floor=0.00005,decay_rate=0.97,staircase=true,"
_EFFICIENT += "preparation=efficient"


# Hparams of published networks that differ from the defaults, by the names that --preset takes.
PRESETS = {
    "cifar10": "num_prime_capsules=64,padding=SAME,leaky=true,remake=false",
    "svhn": "conv_channels=64,num_prime_capsules=16,primary_atoms=6,class_atoms=8",
    # reconstruction_weight: 0.392 times the mean over the pixels, and half of that for each of two digits
    "efficient_mnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 28**2:.6g}",
    "efficient_multimnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 2 / 36**2:.6g}",
    "efficient_norb": f"{_EFFICIENT},decay_steps=1519,reconstruction_weight={0.392 / 2 / 48**2:.6g}",
}


@dataclass(frozen=True)
class HParams:
    """Hyperparameters of a network and its training. The defaults are those of 2017."""

    decay_rate: float = 0.96  # factor of the learning rate ...
    decay_steps: int = 2000  # ... for this many steps, applied smoothly unless `staircase` is true
    leaky: bool = False  # an extra output takes part in the routing softmax, and its share is dropped
    learning_rate: float = 0.001
    loss_type: str = "margin"  # margin (mean over the classes), margin_sum (the paper's sum), softmax or sigmoid
    num_prime_capsules: int = 32  # types of primary capsules
    padding: str = "VALID"  # of the convolutions, VALID or SAME
    remake: bool = True  # reconstruct the image and add its loss
    routing: int = 3  # routing iterations
    verbose: bool = False  # write image and histogram summaries
    conv_channels: int = 256  # channels of CapsNet's first convolution
    primary_atoms: int = 8  # length of a primary capsule
    class_atoms: int = 16  # length of a class capsule
    routing_gradient: str = "all"  # the gradient flows through all routing iterations, or only the last
    learning_rate_floor: float = 1e-6  # the learning rate never falls below this
    staircase: bool = False  # the learning rate changes only at multiples of decay_steps
    reconstruction_weight: float = 0.0005  # weight of the sum of squared pixel differences in the loss
    preparation: str = "2017"  # how images are prepared: 2017 or efficient (see `input_data.Options`)

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"hparam {name} is one of {', '.join(choices)}. Received: {getattr(self, name)!r}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not 0 < value < _TOO_LARGE:
                raise ValueError(f"hparam {name} must be greater than 0, less than {_TOO_LARGE:g}. Received: {value}")

    def override(self, text: str | None) -> "HParams":
        """These hparams with the changes in an override string.

        Args:
            text: `name=value,name=value`; booleans are true or false in any case; None or "" changes nothing.

        Raises:
            ValueError: a pair is malformed, a name is unknown or repeated, or a value has the wrong type.
        """
        types = {field.name: field.type for field in fields(self)}
        changes: dict[str, Any] = {}
        for pair in (text or "").split(",") if text else []:
            name, equals, value = (part.strip() for part in pair.partition("="))
            if not (name and equals and value) or "=" in value:
                raise ValueError(f"hparams are given as name=value,name=value. Received the part {pair!r} in {text!r}")
            if name not in types:
                raise ValueError(f"Unknown hparam {name!r}. The hparams are: {', '.join(sorted(types))}")
            if name in changes:
                raise ValueError(f"hparam {name} is given twice in {text!r}. Give it once.")
            changes[name] = _parse(name, value, types[name])
        return replace(self, **changes)


def _parse(name: str, value: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return kind(value)
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ValueError(f"hparam {name} takes {expected}. Received: {value!r}") from None
