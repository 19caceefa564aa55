"""The program as a user runs it: jobs, files, messages and exit codes."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiment
from conftest import assert_same, run_program, scalars, tensors
from input_data import evaluation_indices, open_split
from input_data.formats import idx

HERE = Path(__file__).parent
NETWORK = "--hparams_override=num_prime_capsules=1,conv_channels=4"
TINY = f"{NETWORK},remake=false,routing=1"
SMALL = ["--eval_size=50", "--batch_size=16"]


def run(capsys, *arguments):
    """(exit code, what was printed) of a run in this process."""
    code, out, errors = run_program(experiment.main, capsys, arguments)
    return code, out + errors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of six steps, and what it printed."""
    folder, out = tmp_path_factory.mktemp("once"), io.StringIO()
    tf.config.run_functions_eagerly(True)  # as the tests that compare with it
    with redirect_stdout(out):
        assert experiment.main([f"--summary_dir={folder}", TINY, *SMALL, "--max_steps=6", "--summary_step=3"]) == 0
    tf.config.run_functions_eagerly(False)
    return folder, out.getvalue()


def test_training_writes_curves_and_explains_itself(trained):
    folder, out = trained
    assert "embedded sample" in out and "trainable weights" in out
    wrong, percent = re.search(r"Total wrong predictions: (\d+), wrong percent: ([\d.]+)%", out).groups()
    assert float(percent) == int(wrong) / 50 * 100
    tags = "batch_classification_cost total_loss accuracy correct_prediction_batch almost_correct_batch"
    written = scalars(folder / "train")
    assert {step for _, step in written} == {3, 6}
    assert {tag for tag, _ in written} == {*tags.split(), "reconstruction_error", "learning_rate", "images_per_second"}
    assert scalars(folder / "test")["wrong_prediction", 6] == int(wrong)
    config = json.loads((folder / "train/config.json").read_text())
    assert config["hparams"]["num_prime_capsules"] == 1 and config["flags"]["seed"] == 0
    assert set(config["versions"]) == {"python", "tensorflow", "keras", "numpy"}


def test_a_run_in_two_parts_has_the_same_weights(trained, eagerly, tmp_path, capsys):
    flags = [f"--summary_dir={tmp_path}", TINY, *SMALL, "--save_step=2"]
    assert run(capsys, *flags, "--max_steps=3")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("train/*.index")) == ["model.ckpt-2.index", "model.ckpt-3.index"]
    code, out = run(capsys, *flags, "--max_steps=6")
    assert code == 0 and "Resuming at step 3 of 6" in out
    ours = tensors(trained[0] / "train/model.ckpt-6")
    assert ours["global_step"] == 6
    assert_same(ours, tensors(tmp_path / "train/model.ckpt-6"))


def test_a_checkpoint_is_evaluated_as_at_the_end_of_its_training(trained, eagerly, tmp_path, capsys):
    folder, printed = trained
    total = re.search(r"Total wrong predictions: (\d+), .*", printed)
    predictions = tmp_path / "new/p.npz"
    code, out = run(
        capsys, "--train=false", f"--summary_dir={tmp_path}", f"--checkpoint={folder}/train/model.ckpt-6",
        "--eval_size=50", "--eval_batch_size=20", f"--predictions={predictions}",
    )  # fmt: skip
    assert code == 0 and total[0] in out
    with np.load(predictions) as found:
        assert (found["logits"].shape, found["logits"].dtype) == ((50, 10), np.float32)
        assert found["labels"].shape == found["predictions"].shape == (50, 1)
        expected = open_split("mnist", "test", None).labels[evaluation_indices(1000, 50)]
        assert found["labels"][:, 0].tolist() == expected.tolist()
        assert (found["predictions"][:, 0] == found["logits"].argmax(axis=1)).all()
        assert (found["predictions"] != found["labels"]).sum() == int(total[1])


def test_another_run_and_a_cut_file_are_refused(trained, tmp_path, capsys):
    copy = shutil.copytree(trained[0], tmp_path / "copy")
    code, out = run(capsys, f"--summary_dir={copy}", *SMALL, f"{NETWORK},remake=false,routing=2", "--seed=3")
    assert code == 1 and "routing was 1 and is now 2" in out and "seed was 0 and is now 3" in out
    os.truncate(copy / "train/model.ckpt-6.data-00000-of-00001", 5000)
    code, out = run(capsys, "--train=false", f"--summary_dir={tmp_path}/out", f"--checkpoint={copy}")
    assert code == 1 and "model.ckpt-6 is cut short or damaged" in out and "Traceback" not in out


def test_reconstructions_are_drawn_and_verbose_summaries_written(eagerly, tmp_path, capsys):
    override = f"{NETWORK},routing=1,verbose=true"
    assert run(capsys, f"--summary_dir={tmp_path}", override, *SMALL, "--max_steps=2", "--summary_step=2")[0] == 0
    picture = tf.io.decode_png((tmp_path / "test/reconstructions-2.png").read_bytes()).numpy()
    assert picture.shape == (2 * 30 * 3, 16 * 30 * 3, 1) and picture.max() == 255
    tags = {tag for tag, _ in scalars(tmp_path / "train")}
    assert {"reconstruction", "conv1/weights", "capsule2/activation"} <= tags


def test_check_data_reports_counts_and_draws_sheets(tmp_path, capsys):
    code, out = run(capsys, "--check_data", f"--summary_dir={tmp_path}")
    assert code == 0
    assert "MNIST, train: 5,000 images 28x28x1, values 0 to 1" in out and "0 479, 1 563" in out
    assert "MNIST, test: 1,000 images" in out and "0 85, 1 126" in out
    for name in ("train", "test"):
        sheet = tf.io.decode_png((tmp_path / f"sheet-{name}.png").read_bytes()).numpy()
        assert sheet.shape == (6 * 30 * 2, 16 * 30 * 2, 1) and sheet.std() > 50


def test_own_images_give_their_classes_names_in_the_config(eagerly, tmp_path, capsys):
    for index in range(8):
        path = tmp_path / ("train" if index < 6 else "test") / ("cat", "dog")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(np.full((24, 24, 3), 30 * index, np.uint8)).numpy())
    flags = ["--dataset=folder", f"--data_dir={tmp_path}", f"--summary_dir={tmp_path}/out", TINY, "--batch_size=4"]
    code, out = run(capsys, *flags, "--max_steps=1", "--eval_size=99")
    assert code == 0 and "2 test examples" in out  # all there are
    assert json.loads((tmp_path / "out/train/config.json").read_text())["class_names"] == ["cat", "dog"]
    for part in ("train", "test"):
        (tmp_path / part / "cat").rename(tmp_path / part / "fox")
    code, out = run(capsys, *flags, "--max_steps=2")
    assert code == 1 and "classes was ['cat', 'dog'] and is now ['dog', 'fox']" in out


def test_every_job_takes_a_network_that_ships(eagerly, shipped, tmp_path, capsys):
    ships, picture = "--checkpoint=pretrained:capsnet_mnist_small", tmp_path / "seven.png"
    picture.write_bytes(tf.io.encode_png(255 * np.eye(28, dtype=np.uint8)[..., None]).numpy())
    code, out = run(capsys, ships, "--train=false", "--eval_size=50")
    assert code == 0 and "Step 2: 50 test examples" in out, out
    code, out = run(capsys, ships, "--train=false", "--num_trials=1", "--export=net.keras", f"--predict={picture}")
    assert code == 0 and "Keras: net.keras" in out and "seven.png: " in out and "No --checkpoint" not in out, out
    answer = next(line for line in out.splitlines() if "seven.png: " in line)
    code, out = run(capsys, f"--predict={picture}")
    assert code == 0 and answer in out
    assert "No --checkpoint given: using --checkpoint=pretrained:capsnet_mnist_small\n" in out
    code, out = run(capsys, ships, "--max_steps=3", "--batch_size=8", "--eval_size=8", "--summary_dir=more")
    assert code == 0 and "Resuming at step 2 of 3" in out, out  # from the network that ships, as from any checkpoint
    code, out = run(capsys, f"--predict={picture}", "--summary_dir=more")
    assert code == 0 and "using --checkpoint=more\n" in out and answer not in out, out
    code, out = run(capsys, "--checkpoint=pretrained:other", f"--predict={picture}")
    assert code == 1 and out.endswith("The networks are: capsnet_mnist_small.\n")


@pytest.mark.parametrize("flags", [("--save_step=1",), ("--save_step=10", "--summary_step=100")])
def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(flags, eagerly, tmp_path, capsys):
    override, small = f"{TINY},learning_rate=1e38,loss_type=softmax", ["--batch_size=4", "--eval_size=10"]
    code, out = run(capsys, f"--summary_dir={tmp_path}", override, *small, "--max_steps=50", *flags)
    step = int(re.search(r"(?:The loss became \S+ at|After) step (\d+)", out)[1])
    assert code == 1
    saved = {int(path.stem.rpartition("-")[2]) for path in tmp_path.glob("train/*.index")}
    assert max(saved, default=0) < step
    good = re.search(r"The last good checkpoint is \S+model.ckpt-(\d+)", out)
    assert bool(good) == any(each < step - 1 for each in saved)  # the weights that gave the loss are not good


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with data of several faults."""
    root = tmp_path_factory.mktemp("files")
    for name in ("small", "cut", "records", "empty"):
        (root / name).mkdir()
    for name in ("small", "cut"):
        for kind, array in (("images-idx3", np.zeros((6, 7, 7), np.uint8)), ("labels-idx1", np.zeros(6, np.uint8))):
            for part in ("train", "t10k"):
                idx.write(root / f"{name}/{part}-{kind}-ubyte.gz", array)
    os.truncate(root / "cut/train-images-idx3-ubyte.gz", 20)
    (root / "records/train_2shifted_mnist.tfrecords").write_bytes(b"\x40" + bytes(20))
    (root / "file").touch()
    return root


BAD = [
    (["--data_dir={}/small"], "CapsNet takes images of 17x17 or larger"),
    (["--data_dir={}/cut"], "is cut short or damaged"),
    (["--data_dir={}/records"], "damaged in record 0"),
    (["--data_dir={}/nowhere"], "nowhere does not exist"),
    (["--data_dir={}/empty"], "has no files of MNIST"),
    (["--checkpoint={}/none/model.ckpt-1", "--train=false"], "There is no checkpoint"),
    (["--summary_dir={}/file/s"], "Not a directory"),
    (["--train=false", "--eval_timeout=0.0001"], "no checkpoint appeared within"),
    (["--download"], "--download needs a --data_dir"),
    (["--hparams_override=primes=1"], "Unknown hparam 'primes'. The hparams are"),
]
BAD_FLAGS = [
    (["--dataset=letters"], "--dataset=letters: value should be one of <mnist|"),
    (["--model=vit"], "or FILE.py:CLASS. Received: vit"),
    (["--train=maybe"], "--train=maybe: expected true or false"),
    (["--max_step=1"], "Unknown command line flag 'max_step'. Did you mean: max_steps"),
    (["--predict=a.png", "--max_steps=5"], "--max_steps has no effect on this job (use)"),
    (["--train=false", "--num_trials=2", "--checkpoint=a"], "--checkpoint needs {}, the trial's number, in it"),
    (["--num_trials=2", "--predictions=a.csv"], "--predictions needs {}"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=str)
def test_bad_input_gets_one_sentence_and_exit_code_1(arguments, words, files, tmp_path, capsys):
    code, out = run(capsys, f"--summary_dir={tmp_path}/out", *(argument.format(files) for argument in arguments))
    errors = [line for line in out.splitlines() if line.startswith("experiment.py: error: ")]
    assert code == 1 and len(errors) == 1 and words in errors[0]


@pytest.mark.parametrize(("arguments", "words"), BAD_FLAGS, ids=str)
def test_wrong_flags_exit_with_2(arguments, words, capsys):
    code, out = run(capsys, *arguments)
    assert code == 2 and words in out


def test_help_is_quick_and_names_every_flag_of_2017():
    code = (
        "import sys, experiment\n"
        "try: experiment.main(['--help'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True, capture_output=True, text=True).stdout
    flags = """data_dir eval_size hparams_override max_steps model dataset num_gpus num_targets num_trials save_step
        summary_dir checkpoint train validate"""
    assert all(f"  --{flag}:" in out or f"  --[no]{flag}:" in out for flag in flags.split())
