"""Hyperparameters and their override string, `name=value,name=value`, as in 2017, and what they say of a network."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any

_SCALES = ("sqrt", "learnt")  # what routing_scale may be besides a number
_TOO_LARGE = 1e39  # for a float32


# The recipe of Efficient-CapsNet (Mazzia et al. 2021), for --batch_size=16: an epoch of MNIST has 3750 steps.
_EFFICIENT = "loss_type=margin_sum,learning_rate=0.0005,learning_rate_floor=0.00005,decay_rate=0.97,staircase=true,"
_EFFICIENT += "preparation=efficient"


# Hparams of recipes and published networks that differ from the defaults, by the names that --preset takes.
PRESETS = {
    "mnist": "learning_rate=0.003,schedule=linear,decay_steps=10000,warmup_steps=500,average=0.999",  # for 10,000 steps
    "cifar10": "num_prime_capsules=64,padding=SAME,leaky=true,remake=false",
    "svhn": "conv_channels=64,num_prime_capsules=16,primary_atoms=6,class_atoms=8",
    # reconstruction_weight: 0.392 times the mean over the pixels, and half of that for each of two digits
    "efficient_mnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 28**2:.6g}",
    "efficient_multimnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 2 / 36**2:.6g}",
    "efficient_norb": f"{_EFFICIENT},decay_steps=1519,reconstruction_weight={0.392 / 2 / 48**2:.6g}",
}


def _limited(default: Any, valid: Callable[[Any], bool], words: str) -> Any:
    return field(default=default, metadata={"valid": valid, "words": words})


def _positive(default: float) -> Any:
    return _limited(default, lambda x: 0 < x < _TOO_LARGE, f"greater than 0, less than {_TOO_LARGE:g}")


def _one_of(*choices: str) -> Any:
    return _limited(choices[0], choices.__contains__, f"one of {', '.join(choices)}")


def _is_scale(value: Any) -> bool:
    return value in _SCALES if isinstance(value, str) else 0 <= value < _TOO_LARGE


@dataclass(frozen=True)
class HParams:
    """Hyperparameters of a network and its training. The defaults are those of 2017."""

    decay_rate: float = _positive(0.96)  # factor of the learning rate ...
    decay_steps: int = _positive(2000)  # ... for this many steps, applied smoothly unless `staircase` is true
    leaky: bool = False  # an extra output takes part in the routing softmax, and its share is dropped
    learning_rate: float = _positive(0.001)
    loss_type: str = _one_of("margin", "margin_sum", "softmax", "sigmoid", "spread")  # margin_sum is the paper's
    num_prime_capsules: int = _positive(32)  # types of primary capsules
    padding: str = _one_of("VALID", "SAME")  # of the convolutions
    remake: bool = True  # reconstruct the image and add its loss
    routing: int = _positive(3)  # routing iterations
    verbose: bool = False  # write image and histogram summaries
    conv_channels: int = _positive(256)  # channels of CapsNet's first convolution
    primary_atoms: int = _positive(8)  # length of a primary capsule
    class_atoms: int = _positive(16)  # length of a class capsule
    routing_gradient: str = _one_of("all", "last")  # the iterations through which the gradient flows
    learning_rate_floor: float = _positive(1e-6)  # the learning rate never falls below this
    staircase: bool = False  # the learning rate changes only at multiples of decay_steps
    reconstruction_weight: float = _positive(0.0005)  # weight of the sum of squared pixel differences in the loss
    preparation: str = _one_of("2017", "efficient")  # how images are prepared, see `input_data.Options`
    routing_type: str = _one_of("dynamic", "em", "inverted", "attention", "uniform")  # attention is self-attention
    routing_scale: float | str = _limited(1.0, _is_scale, "a number of 0 or more, sqrt or learnt")  # see DynamicRouting
    schedule: str = _one_of("exponential", "linear")  # decay_rate for each decay_steps, or to 0 at step decay_steps
    warmup_steps: int = _limited(
        0, lambda x: 0 <= x < _TOO_LARGE, f"0 or more, less than {_TOO_LARGE:g}"
    )  # from rate 0
    average: float = _limited(0.0, lambda x: 0 <= x < 1, "at least 0 and less than 1")  # momentum of averaged weights

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Real) and not isinstance(value, bool) and each.type is not bool:
                value = int(value) if isinstance(value, Integral) else float(value)  # from NumPy's, for JSON
                object.__setattr__(self, each.name, value)
            if each.metadata and not each.metadata["valid"](value):
                raise ValueError(f"hparam {each.name} must be {each.metadata['words']}. Received: {value!r}")

    def override(self, text: str | None) -> "HParams":
        """These hparams with the changes in an override string, `name=value,name=value`; None or "" changes nothing.

        Booleans are true or false in any case.

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
    if kind == float | str:
        return value if value in _SCALES else _parse(name, value, float)
    try:
        return {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ValueError(f"hparam {name} takes {expected}. Received: {value!r}") from None


# The arguments of networks, and of `DynamicRouting`, by the names of their hparams. Padding is in capitals in 2017.
_ARGUMENTS = {
    "conv_channels": "filters",
    "num_prime_capsules": "primary_types",
    "primary_atoms": "primary_atoms",
    "class_atoms": "atoms",
    "remake": "decoder",
    "padding": "padding",
    "loss_type": "loss",
    "reconstruction_weight": "reconstruction_weight",
}
_ROUTINGS: dict[str, tuple[str, dict[str, str]]] = {  # by routing_type: the class, and its arguments by their hparams
    "dynamic": (
        "DynamicRouting",
        {"routing": "iterations", "leaky": "leaky", "routing_gradient": "gradient", "routing_scale": "scale"},
    ),
    "em": ("EMRouting", {"routing": "iterations"}),
    "inverted": ("InvertedAttentionRouting", {"routing": "iterations"}),
    "attention": ("SelfAttentionRouting", {}),
    "uniform": ("UniformRouting", {}),
}


def network_arguments(name: str, network: type, hparams: HParams) -> dict[str, Any]:
    """The keyword arguments that hparams stand for, of a class of networks that messages call `name`.

    An hparam of the routing is a ValueError if it is not the default and the network has a routing of its own.
    """
    accepted = inspect.signature(network).parameters
    always = ("loss", "reconstruction_weight")
    arguments = {ours: getattr(hparams, each) for each, ours in _ARGUMENTS.items() if ours in (*accepted, *always)}
    if "padding" in arguments:
        arguments["padding"] = arguments["padding"].lower()
    if "routing" in accepted:
        scale = 1.0 / (hparams.num_prime_capsules + hparams.leaky)
        return arguments | {"routing": make_routing(hparams), "primary_scale": scale}
    if "iterations" in accepted:
        _refuse_unused(hparams, f"The network {name}", ("routing",))
        return arguments | {"iterations": hparams.routing}
    if "atoms" in accepted:  # capsules with a routing of their own
        _refuse_unused(hparams, f"The network {name}", ())
    return arguments


def _refuse_unused(hparams: HParams, owner: str, used: Collection[str]) -> None:
    """Raises ValueError for hparams of a routing that are not `used` and differ from the defaults."""
    names = (*_ROUTINGS["dynamic"][1], "routing_type")
    wrong = [name for name in names if name not in used and getattr(hparams, name) != getattr(HParams, name)]
    if wrong:
        raise ValueError(f"{owner} has no hparam {', '.join(wrong)}. Leave it out of --hparams_override.")


def make_routing(hparams: HParams) -> Any:
    """The `capsules.Routing` of the hparams; a ValueError names hparams that belong to another routing."""
    import capsules

    kind, arguments = _ROUTINGS[hparams.routing_type]
    _refuse_unused(hparams, f"The routing {hparams.routing_type}", ("routing_type", *arguments))
    return getattr(capsules, kind)(**{ours: getattr(hparams, name) for name, ours in arguments.items()})


def describe_network(config: Mapping[str, Any]) -> HParams:
    """The hparams that make a network with these arguments; a ValueError if its routing has none."""
    values = {name: config[ours] for name, ours in _ARGUMENTS.items() if ours in config}
    if "padding" in values:
        values["padding"] = values["padding"].upper()
    routing = config.get("routing", config.get("iterations", 3))
    if isinstance(routing, int):
        return HParams(**values, routing=routing)
    kind = type(routing).__name__
    for name, (ours, arguments) in _ROUTINGS.items():
        if kind == ours:
            values |= {"routing_type": name} | {each: getattr(routing, its) for each, its in arguments.items()}
    made = make_routing(HParams(**values))
    if type(made) is not type(routing) or made.get_config() != routing.get_config():
        raise ValueError(f"{kind} has no hparams. Keep the network with model.save(….keras).")
    return HParams(**values)
