"""The machines of a job find each other, compare what they train, share weights, and name who is missing or gone."""

import numpy as np
import pytest

from runner import cluster
from runner.cluster import Cluster
from runner.conftest import on_all, places
from runner.rendezvous import meet


@pytest.fixture
def three():
    machines = on_all(lambda place: Cluster(place.names, place.number, meet(place)), places(3))
    yield machines
    for machine in machines:
        for connection in machine._connections.values():
            connection.close()


def test_all_get_the_values_of_all_in_order(three):
    for _ in range(2):
        assert (
            on_all(lambda machine: machine.gather([machine.number, "x"]), three) == [[[0, "x"], [1, "x"], [2, "x"]]] * 3
        )
    assert Cluster(["alone"]).gather((1, 2)) == [[1, 2]]


def test_what_differs_is_named_with_its_machine_everywhere(three):
    errors = on_all(
        lambda machine: cluster.check_same(machine, {"seed": 3, "rate": 0.1 * (machine.number == 2)}), three
    )
    for error in errors:
        assert f"rate is 0.0 on {three[0].names[0]} and 0.1 on {three[0].names[2]}." in str(error)
        assert "seed" not in str(error)
    assert on_all(lambda machine: cluster.check_same(machine, {"seed": 3, "shape": (1, 2)}), three) == [None] * 3


class Variable:
    def __init__(self, value):
        self.value = value

    def numpy(self):
        return self.value

    def assign(self, value):
        self.value = value


def test_the_chiefs_step_and_weights_reach_all(three):
    def share(machine):
        random = np.random.default_rng(machine.number)
        variables = {"a": Variable(random.normal(size=(3, 4)).astype("f")), "b": Variable(np.int64(machine.number + 7))}
        return (
            machine.share(10 * machine.number + 5, variables),
            variables["a"].value.tobytes(),
            int(variables["b"].value),
        )

    first, *others = on_all(share, three)
    assert first[0] == 5 and first[2] == 7 and others == [first, first]


@pytest.mark.parametrize("gone", [0, 1])
def test_a_machine_that_goes_away_is_named_by_the_others(three, gone):
    for connection in three[gone]._connections.values():
        connection.close()
    left = [machine for machine in three if machine.number != gone]
    for error in on_all(lambda machine: machine.gather(0), left):
        assert isinstance(error, ConnectionError) and f"{three[0].names[gone]} stopped answering" in str(error)
