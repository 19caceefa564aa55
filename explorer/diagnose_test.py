"""The diagnosis of networks whose answers are known, and what is made of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from explorer.diagnose import deviations, diagnose
from explorer.report import report
from input_data import evaluation_batches, evaluation_indices, open_split
from models import make_model
from models.hparams import HParams
from runner.config import NetworkConfig
from runner.loader import Trained, load

NAMES = tuple(map(str, range(10)))
TINY = HParams(num_prime_capsules=2, conv_channels=4, remake=False)
pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="module")
def split():
    return open_split("mnist", "test", None)


def hand_made(name="capsule", hparams=TINY):
    saved = NetworkConfig(image_shape=(28, 28, 1), class_names=NAMES)
    return Trained(make_model(name, saved.image_shape, 10, hparams), 1, saved)


def test_classes_with_equal_weights_have_uniform_couplings(split):
    trained = hand_made()
    kernel = trained.model.classes.kernel
    same = kernel.numpy().reshape(-1, 8, 10, 16)[:, :, :1].repeat(10, axis=2)  # every class gets the same votes
    kernel.assign(same.reshape(kernel.shape))
    own = diagnose(trained, split, 120)  # two batches
    np.testing.assert_allclose(own.entropy, 1.0, atol=1e-5)
    np.testing.assert_allclose([*own.logit_change, own.between_classes, own.within_classes], 0.0, atol=1e-5)
    assert len(own.entropy) == 3 and len(own.logit_change) == 2
    assert len(set(own.errors.values())) == 1 and own.size == 120


def test_large_votes_for_one_class_take_all_of_the_couplings(split):
    trained = hand_made()
    kernel, bias = trained.model.classes.kernel, trained.model.primary.bias
    large = np.zeros((*kernel.shape[:2], 10, 16), np.float32)
    large[:, :, 3] = 20.0
    kernel.assign(large.reshape(kernel.shape))
    bias.assign(np.full(bias.shape, 3.0))
    own = diagnose(trained, split, 100)
    assert own.entropy[0] == pytest.approx(1.0, abs=1e-5) and own.entropy[2] < 0.01 and own.logit_change[0] > 1
    threes = (split.labels[evaluation_indices(len(split), 100)] == 3).sum()
    assert own.errors["learnt"] == own.errors["uniform"] == 100 - threes


def test_a_capsule_made_dead_is_counted_dead(split):
    trained = hand_made()
    layer = trained.model.primary
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    kernel[..., 8:], bias[1], bias[0] = 0, 0, 1.0  # the second type of two never answers, the first always
    layer.kernel.assign(kernel * 0.01)
    layer.bias.assign(bias)
    own = diagnose(trained, split, 20)
    assert (own.dead, own.always_on) == (0.5, 0.5)


def test_the_error_of_each_way_to_route_is_that_of_a_network_made_so(split):
    trained, random = load("pretrained:capsnet_mnist_small"), np.random.RandomState(0)
    kernel = trained.model.conv1.kernel
    kernel.assign(kernel + 0.5 * np.std(kernel) * random.standard_normal(kernel.shape))  # so that it makes errors
    own, batch = diagnose(trained, split, 100), next(evaluation_batches(split, 100, 100))
    for iterations in (1, 5):
        other = make_model("capsule", (28, 28, 1), 10, replace(trained.model.hparams, routing=iterations))
        other.set_weights(trained.model.get_weights())
        wrong = (np.argmax(other(batch["images"])["logits"], axis=1) != batch["labels"][:, 0]).mean()
        assert own.errors["uniform" if iterations == 1 else f"{iterations} iterations"] == pytest.approx(100 * wrong)
    assert 0 < own.errors["learnt"] == own.errors["3 iterations"] < 90
    assert own.length_right > own.length_wrong


def test_the_votes_for_the_winner_are_those_of_plain_numpy(network, split):
    own, model, found = diagnose(network, split, 10), network.model, []
    for image in next(evaluation_batches(split, 10, 10))["images"]:
        primary = np.asarray(model.primary_capsules(image[None]))[0].astype(float)  # [in, atoms_in]
        kernel = np.asarray(model.classes.kernel).reshape(*primary.shape, 10, -1)
        votes, logits = np.einsum("ia,iajd->ijd", primary, kernel), np.zeros((len(primary), 10))
        for _ in range(3):
            c = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            s = np.einsum("ij,ijd->jd", c, votes) + np.asarray(model.classes.routing.bias)
            norm = np.linalg.norm(s, axis=1, keepdims=True)
            v = s * norm / (1 + norm**2)
            before, logits = logits, logits + np.einsum("ijd,jd->ij", votes, v)
        winner = np.linalg.norm(v, axis=1).argmax()
        along = votes[:, winner] @ v[winner] / np.linalg.norm(v[winner])
        size = np.linalg.norm(votes[:, winner], axis=1)
        push = c[:, winner] @ along
        found.append([
            (along > 0).mean(), (along < 0).mean(), push / (c[:, winner] @ size), (along / size).mean(),
            np.linalg.norm(primary, axis=1).mean(), before.var(axis=1).mean(), push, (c[:, winner] - 0.1) @ along,
        ])  # fmt: skip
    *expected, variance, total, added = np.mean(found, axis=0)
    iterated = (own.votes_towards, own.votes_away, own.net_push, own.mean_cosine)
    np.testing.assert_allclose([*(each[-1] for each in iterated), own.mean_primary_length], expected, atol=1e-4)
    np.testing.assert_allclose([own.push_of_routing[0], own.push_of_routing[-1]], [0, added / total], atol=1e-4)
    assert own.logit_spread[-1] == pytest.approx(np.sqrt(variance), rel=1e-3)
    assert own.predicted_decision == pytest.approx(variance / 2 / np.log(10), rel=1e-3)
    assert own.predicted_decision == pytest.approx(1 - own.entropy[-1], rel=0.5)


def test_self_attention_is_diagnosed_too(split):
    own = diagnose(hand_made("efficient", HParams(remake=False)), split, 20)
    assert len(own.entropy) == 1 and own.logit_change == [] and list(own.errors) == ["learnt", "uniform"]
    assert 0 < own.entropy[0] <= 1 and own.within_classes > 0


@pytest.mark.parametrize("routing", ["em", "inverted", "uniform"])
def test_other_routings_are_diagnosed_as_the_network_computes_them(routing, split):
    trained = hand_made(hparams=HParams(num_prime_capsules=2, conv_channels=8, remake=False, routing_type=routing))
    own = diagnose(trained, split, 30)
    assert own.errors["learnt"] == own.errors["uniform" if routing == "uniform" else "3 iterations"]
    assert own.entropy[0] == pytest.approx(1.0, abs=1e-5)
    assert (own.entropy[-1] < 0.99999) == (routing != "uniform") and len(own.net_push) == len(own.entropy)
    assert own.votes_towards[-1] + own.votes_away[-1] == pytest.approx(1, abs=1e-3)


def test_couplings_that_differ_between_classes_alone_have_no_deviation_within():
    counts = np.array([2.0, 2.0, 0.0])
    first = np.array([[[2.0]], [[0.0]], [[0.0]]])  # coefficients 1, 1 in the first class and 0, 0 in the second
    assert deviations(counts, first, np.array([[2.0]])) == (0.5, 0.0)


def test_two_networks_are_reported_side_by_side(network, split, tmp_path, monkeypatch):
    networks, said = [network, hand_made("efficient", HParams(remake=False))], []
    monkeypatch.setattr("explorer.report.say", said.append)
    report("diagnosis", networks, split, 20, tmp_path)
    assert said[1:] == [f"{tmp_path}/diagnosis.json", f"{tmp_path}/diagnosis.png"]
    assert (tmp_path / "diagnosis.png").read_bytes().startswith(b"\x89PNG")
    head, *lines = said[0].splitlines()
    assert "capsnet, 10,000 steps" in head and "efficient, 1 steps" in head
    assert next(line for line in lines if "iteration 3" in line).split()[-1] == "-"
    first, second = json.loads((tmp_path / "diagnosis.json").read_text())["networks"]
    assert first["size"] == second["size"] == 20 and len(first["entropy"]) == 3


def test_a_network_without_capsules_is_refused(split):
    with pytest.raises(ValueError, match="baseline has none"):
        diagnose(hand_made("baseline"), split, 10)
