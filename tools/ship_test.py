"""From a run to a folder that ships, and from there back to the network."""

import hashlib
import re
import shutil

import numpy as np
import pytest

from input_data import evaluation_batches, open_split
from models import pretrained
from models.optimizer import make_optimizer
from runner import checkpoints
from runner.evaluation import count
from runner.flags import UserError
from runner.loader import load
from tools import ship


@pytest.fixture(scope="module")
def run(made_to_ship):
    return made_to_ship.parent / "run"


@pytest.fixture(scope="module")
def folder(made_to_ship):
    """The folder that is made of the run."""
    return made_to_ship / "capsnet_mnist_small"


def test_the_folder_has_the_network_its_card_and_checksums(folder, run):
    assert sorted(path.name for path in folder.parent.rglob("*")) == [
        *("README.md", "SHA256SUMS", "capsnet_mnist_small", "config.json", "weights.npz")
    ]
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    card = (folder / "README.md").read_text()
    wrong = int(card.split("| Test error, float32 | ")[1].split(" of 1,000 wrong")[0])
    split, model = open_split("mnist", "test", None), load(str(run)).model
    batch = split.batch(np.arange(1000), np.zeros((1000, split.noise)))
    assert wrong == (model.predict_on_batch(batch["images"])["logits"].argmax(axis=1) != batch["labels"][:, 0]).sum()
    command = "experiment.py --data_dir=D --summary_dir=S --hparams_override=num_prime_capsules=1,conv_channels=4"
    assert f"`python {command} --validate=true --max_steps=2 --batch_size=16`" in card
    for words in ("CapsNet", "5,000 training examples", "2 steps of 16", "predictions that differ", "Apache 2.0"):
        assert words in card
    assert "/secret" not in card + (folder / "config.json").read_text()


def test_the_name_of_what_ships_is_a_checkpoint_that_begins_a_training(folder, run, shipped):
    trained, own = load("pretrained:capsnet_mnist_small"), load(str(run))
    assert (trained.step, trained.config.dataset, trained.model.hparams) == (2, "mnist", own.model.hparams)
    for name, variable in own.model.named_variables().items():
        loaded, before = trained.model.named_variables()[name].numpy(), variable.numpy()
        np.testing.assert_array_equal(loaded, np.float16(before), err_msg=name)
    optimizer = make_optimizer(own.model.hparams)
    optimizer.build(own.model.trainable_variables)
    assert checkpoints.restore(str(folder / pretrained.WEIGHTS), own.model, optimizer) == 2
    assert int(optimizer.iterations) == 2


def test_damaged_weights_are_refused(folder, monkeypatch, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy/weights.npz").write_bytes((folder / "weights.npz").read_bytes()[:-9] + b"123456789")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="weights.npz does not match its checksum"):
        load("pretrained:copy")


def test_float16_weights_that_change_predictions_are_refused_unless_it_is_allowed(run, monkeypatch):
    monkeypatch.setattr(ship.np, "float16", lambda values: np.round(values, 2))
    trained, split = load(str(run)), open_split("mnist", "test", None)
    split.images, split.labels = split.images[:200], split.labels[:200]
    own = {name: variable.numpy() for name, variable in trained.model.named_variables().items()}
    with pytest.raises(
        UserError, match=r"float16 changes (\d+) predictions. Allow it with --max_changed=\1\."
    ) as error:
        ship.to_half(trained.model, split, max_changed=0)
    changed = int(str(error.value).split()[2])
    for name, variable in trained.model.named_variables().items():
        variable.assign(own[name])
    _, facts = ship.to_half(trained.model, split, max_changed=changed)
    assert facts["Test error of this file"].endswith(f" differ from float32's: {changed}")


def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(run, folder, tmp_path, capsys):
    cases = [
        ([run, folder], "exists. Remove it first"),
        ([tmp_path / "none", tmp_path / "new"], "There is no checkpoint"),
        ([run, tmp_path / "new", "--data_dir=/not/there"], "/not/there does not exist"),
    ]
    for arguments, words in cases:
        assert ship.main([str(argument) for argument in arguments]) == 1
        errors = capsys.readouterr().err
        assert errors.startswith("tools.ship: error: ") and words in errors and errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", pretrained.names())
def test_a_network_that_ships_is_as_good_as_its_card_and_the_docs_say(name):
    card = (pretrained.FOLDER / name / "README.md").read_text(encoding="utf-8")
    wrong, size = re.search(r"\| Test error of this file \| ([\d,]+) of ([\d,]+) wrong", card).groups()
    docs = (pretrained.FOLDER.parent / "docs/networks.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \| .* \| {wrong} of {size} \|$", docs, re.MULTILINE)
    network = load(f"pretrained:{name}")
    batch = next(evaluation_batches(open_split("mnist", "test", None, network.config.options()), 100, 100))
    logits = network.model(batch["images"])["logits"].numpy()
    rate = int(wrong.replace(",", "")) / int(size.replace(",", ""))
    wrong = count(logits, batch["labels"], 0.0).wrong
    assert wrong <= 100 * rate + 4 * (100 * rate) ** 0.5 + 1  # four standard deviations, and one
