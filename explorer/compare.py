"""Checks whether two trained networks can be compared, and names them."""

from runner.config import conflicts
from runner.flags import UserError
from runner.loader import Trained


def check_comparable(one: Trained, other: Trained) -> None:
    """Raises UserError if two networks have different images or classes."""
    facts: list[dict] = [
        {"images": net.model.image_shape, "labels of an image": net.num_targets, "classes": list(net.class_names)}
        for net in (one, other)
    ]
    if words := conflicts(*facts, "The {} of one are {}, of the other {}"):
        raise UserError(
            f"Both networks must be for the same images and classes. {words}. Give --compare another checkpoint."
        )


def network_names(networks: list[Trained]) -> list[str]:
    """The name of each network in a table: its kind and its steps, with a number if these are the same."""
    names = [f"{each.model.name}, {each.step:,} steps" for each in networks]
    return names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, start=1)]
