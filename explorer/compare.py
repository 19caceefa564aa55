"""Checks whether two trained networks can be compared, and names them."""

from runner.flags import UserError
from runner.loader import Trained


def check_comparable(one: Trained, other: Trained) -> None:
    """Raises UserError if two networks have different images or classes."""
    facts = [(net.model.image_shape, net.num_targets, net.class_names) for net in (one, other)]
    if facts[0] != facts[1]:
        raise UserError(
            "Both networks must be for the same images and classes. Received one for images "
            f"{facts[0][0]} with {len(facts[0][2])} classes and {facts[0][1]} label(s) per image, and one for images "
            f"{facts[1][0]} with {len(facts[1][2])} and {facts[1][1]}. Give --compare another checkpoint."
        )


def network_names(networks: list[Trained]) -> list[str]:
    """The name of each network in a table: its kind and its steps, with a number if these are the same."""
    names = [f"{each.model.name}, {each.step:,} steps" for each in networks]
    return names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, start=1)]
