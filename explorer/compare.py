"""Two trained networks side by side: whether they can be compared, and what to call each."""

from runner.loader import Trained


def check_comparable(one: Trained, other: Trained) -> None:
    """Raises ValueError where two networks do not answer the same question."""
    facts = [(net.model.image_shape, net.num_targets, net.class_names) for net in (one, other)]
    if facts[0] != facts[1]:
        raise ValueError(
            "Both networks should be of the same images and classes. Received one of "
            f"{facts[0][0]} with {len(facts[0][2])} classes and {facts[0][1]} label(s) an image, and one of "
            f"{facts[1][0]} with {len(facts[1][2])} and {facts[1][1]}. Give --compare another checkpoint."
        )


def network_names(networks: list[Trained]) -> list[str]:
    """What to call each network in a table: its kind and its steps, numbered where these are the same."""
    names = [f"{each.model.name}, {each.step:,} steps" for each in networks]
    return names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, start=1)]
