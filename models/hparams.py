"""Hyperparameters and their override string, `name=value,name=value`, as in 2017, and what they say of a network."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

# The recipe of Efficient-CapsNet (Mazzia et al. 2021), for --batch_size=16: an epoch of MNIST has 3750 steps.
_EFFICIENT = "loss_type=margin_sum,learning_rate=0.0005,learning_rate_floor=0.00005,decay_rate=0.97,staircase=true,"
_EFFICIENT += "preparation=efficient"
_MNIST = "learning_rate=0.003,schedule=linear,decay_steps=10000,warmup_steps=500,average=0.999"  # for 10,000 steps

# Hparams of recipes and published networks that differ from the defaults, by the names that --preset takes.
PRESETS = {
    "mnist": _MNIST,
    "sharp": f"{_MNIST},routing_scale=sqrt",
    "cifar10": "num_prime_capsules=64,padding=SAME,leaky=true,remake=false",
    "svhn": "conv_channels=64,num_prime_capsules=16,primary_atoms=6,class_atoms=8",
    # reconstruction_weight: 0.392 times the mean over the pixels, and half of that for each of two digits
    "efficient_mnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 28**2:.6g}",
    "efficient_multimnist": f"{_EFFICIENT},decay_steps=3750,reconstruction_weight={0.392 / 2 / 36**2:.6g}",
    "efficient_norb": f"{_EFFICIENT},decay_steps=1519,reconstruction_weight={0.392 / 2 / 48**2:.6g}",
}


@dataclass(frozen=True)
class HParams:
    """Hyperparameters of a network and its training. The defaults are those of 2017.

    A number is greater than 0 where 0 is not the default. A ValueError names an hparam that has another value.
    """

    decay_rate: float = 0.96  # factor of the learning rate ...
    decay_steps: int = 2000  # ... for this many steps, applied smoothly unless `staircase` is true
    leaky: bool = False  # an extra output takes part in the routing softmax, and its share is dropped
    learning_rate: float = 0.001
    loss_type: Literal["margin", "margin_sum", "softmax", "sigmoid", "spread"] = "margin"  # margin_sum is the paper's
    num_prime_capsules: int = 32  # types of primary capsules
    padding: Literal["VALID", "SAME"] = "VALID"  # of the convolutions
    remake: bool = True  # reconstruct the image and add its loss
    routing: int = 3  # routing iterations
    verbose: bool = False  # write image and histogram summaries
    conv_channels: int = 256  # channels of CapsNet's first convolution
    primary_atoms: int = 8  # length of a primary capsule
    class_atoms: int = 16  # length of a class capsule
    routing_gradient: Literal["all", "last"] = "all"  # the iterations through which the gradient flows
    learning_rate_floor: float = 1e-6  # the learning rate never falls below this
    staircase: bool = False  # the learning rate changes only at multiples of decay_steps
    reconstruction_weight: float = 0.0005  # weight of the sum of squared pixel differences in the loss
    preparation: Literal["2017", "efficient"] = "2017"  # how images are prepared, see `input_data.Options`
    routing_type: Literal["dynamic", "em", "inverted", "attention", "uniform"] = "dynamic"  # attention: self-attention
    routing_scale: float | Literal["sqrt", "learnt"] = 1.0  # see `capsules.DynamicRouting`
    schedule: Literal["exponential", "linear"] = "exponential"  # decay_rate each decay_steps, or to 0 at decay_steps
    warmup_steps: int = 0  # steps in which the learning rate rises from 0
    average: float = 0.0  # momentum of averaged weights, below 1

    def __post_init__(self):
        for each in fields(self):
            value, words = getattr(self, each.name), _words(each.type)
            kind: Any = type(each.default)
            if isinstance(value, np.generic):  # JSON has no numbers of NumPy
                object.__setattr__(self, each.name, value := value.item())
            below, limit = (1.0, " and less than 1") if each.name == "average" else (1e39, "")  # a float32 ends there
            fits = kind is not str and isinstance(value, (int, kind)) and 0 < value < below
            if not (fits or value in words + [True, False] * (kind is bool) or value == each.default):
                expected = [_NUMBERS[kind] + limit] if kind in _NUMBERS else []
                expected += [f"one of {', '.join(words)}"] if words else []
                raise ValueError(f"hparam {each.name} must be {' or '.join(expected)}. Received: {value!r}")

    def override(self, text: str | None) -> "HParams":
        """These hparams with the changes in an override string, `name=value,name=value`; None or "" changes nothing.

        Booleans are true or false in any case. ValueError: a name is unknown or given twice, or has no value.
        """
        types: dict[str, Any] = {each.name: type(each.default) for each in fields(self)}
        changes: dict[str, Any] = {}
        for pair in (text or "").split(",") if text else []:
            name, _, value = (part.strip() for part in pair.partition("="))
            if name not in types or name in changes or not value:
                form = f"hparams are given as name=value,name=value, each once, and not as {pair!r}"
                wrong = form if name in types or not value else f"Unknown hparam {name!r}"
                raise ValueError(f"{wrong}. The hparams are: {', '.join(sorted(types))}")
            changes[name] = value
            with suppress(KeyError, ValueError):  # the constructor refuses a text that it does not expect
                kind = types[name]
                changes[name] = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
        return replace(self, **changes)


_NUMBERS = {bool: "true or false", int: "a whole number greater than 0", float: "a number greater than 0"}


def _words(kind: Any) -> list[str]:
    """The words in a type of `Literal`s."""
    return [kind] if isinstance(kind, str) else [word for each in get_args(kind) for word in _words(each)]


# The hparams of networks' arguments and of routings' ones, and the routings by routing_type.
_ARGUMENTS = {
    "filters": "conv_channels",
    "primary_types": "num_prime_capsules",
    "primary_atoms": "primary_atoms",
    "atoms": "class_atoms",
    "decoder": "remake",
    "padding": "padding",  # in capitals in 2017
    "loss": "loss_type",
    "reconstruction_weight": "reconstruction_weight",
}
_OF_ROUTING = {"iterations": "routing", "leaky": "leaky", "gradient": "routing_gradient", "scale": "routing_scale"}
_ROUTINGS = {
    "dynamic": "DynamicRouting",
    "em": "EMRouting",
    "inverted": "InvertedAttentionRouting",
    "attention": "SelfAttentionRouting",
    "uniform": "UniformRouting",
}


def network_arguments(name: str, network: Any, hparams: HParams, strict: bool = False) -> dict[str, Any]:
    """The keyword arguments that hparams stand for, of a class of networks that messages call `name`.

    A ValueError names hparams that are not at their defaults: those of the routing if the network has a routing of its
    own and, if `strict`, all others that it lacks (older versions took them, and configs still have them).
    """
    accepted = (*inspect.signature(network).parameters, "loss", "reconstruction_weight")
    arguments = {ours: getattr(hparams, each) for ours, each in _ARGUMENTS.items() if ours in accepted}
    if strict:
        _refuse(f"The network {name}", hparams, {*_ARGUMENTS.values()} - {_ARGUMENTS[each] for each in arguments})
    if "routing" in accepted:
        return arguments | {"routing": make_routing(hparams)}
    if strict or network.has_capsules:
        arguments |= _of_routing(network, hparams, f"The network {name}")
    return arguments


def _of_routing(kind: Any, hparams: HParams, owner: str, *used: str) -> dict[str, Any]:
    """The arguments of a routing, or of a network that has one; a ValueError if others are not `used` nor default."""
    found = {ours: each for ours, each in _OF_ROUTING.items() if ours in inspect.signature(kind).parameters}
    _refuse(owner, hparams, {*_OF_ROUTING.values(), "routing_type"} - {*found.values(), *used})
    return {ours: getattr(hparams, each) for ours, each in found.items()}


def _refuse(owner: str, hparams: HParams, names: set[str]) -> None:
    if wrong := sorted(name for name in names if getattr(hparams, name) != getattr(HParams, name)):
        raise ValueError(f"{owner} has no hparam {', '.join(wrong)}. Leave it out, or give another --preset.")


def make_routing(hparams: HParams) -> Any:
    """The `capsules.Routing` of the hparams; a ValueError names hparams that belong to another routing."""
    import capsules

    kind = getattr(capsules, _ROUTINGS[hparams.routing_type])
    return kind(**_of_routing(kind, hparams, f"The routing {hparams.routing_type}", "routing_type"))


def describe_network(network: Any, config: Mapping[str, Any]) -> HParams:
    """The hparams that make a network of a class with these arguments; a ValueError if there are none."""
    from capsules.routing import as_routing

    values = {name: config[ours] for ours, name in _ARGUMENTS.items() if ours in config}
    values |= {"padding": values["padding"].upper()} if "padding" in values else {}
    routing = as_routing(config.get("routing", config.get("iterations", 3)))
    kind = type(routing).__name__
    values["routing_type"] = next((name for name, its in _ROUTINGS.items() if its == kind), "dynamic")
    values |= {_OF_ROUTING[ours]: value for ours, value in routing.get_config().items() if ours in _OF_ROUTING}
    hparams = HParams(**values)
    made, known = make_routing(hparams), (*_ARGUMENTS, *_OF_ROUTING, "routing")
    others = (each for each in inspect.signature(network).parameters.values() if each.name not in known)
    lost = [each.name for each in others if each.default not in (each.empty, config.get(each.name))]
    if type(made) is not type(routing) or made.get_config() != routing.get_config():
        lost.append(kind)
    if lost:
        raise ValueError(f"There are no hparams for {', '.join(lost)}. Keep the network with model.save(….keras).")
    return hparams
