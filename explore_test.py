"""`explore.py` as a user runs it: files, lines, exit codes and messages."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import explore
from conftest import run_program
from input_data import open_split
from input_data.formats import idx
from models import make_model, pretrained
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import checkpoints, config

HERE = Path(__file__).parent
LIMIT = 700_000  # bytes of a picture; those of untrained networks are noise, which hardly compresses


def run(capsys, *arguments):
    """(exit code, what was printed) of a run in this process."""
    code, out, errors = run_program(explore.main, capsys, arguments)
    return code, out + errors


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs with random weights of step 2: `single`, `double` (two digits an image) and `plain` (no decoder)."""
    root = tmp_path_factory.mktemp("runs")
    for name, num_targets, remake in (("single", 1, True), ("double", 2, True), ("plain", 1, False)):
        hparams = HParams(num_prime_capsules=1, conv_channels=4, class_atoms=3, remake=remake)
        shape = (36, 36, 1) if num_targets == 2 else (28, 28, 1)
        model, optimizer = make_model("capsule", shape, 10, hparams), make_optimizer(hparams)
        optimizer.build(model.trainable_variables)
        folder = root / name / "train"
        folder.mkdir(parents=True)
        checkpoints.save(folder, 2, model, optimizer)
        flags = {"num_targets": num_targets}
        config.write(folder, config.NetworkConfig(flags, hparams, shape, tuple("0123456789")))
    return root


@pytest.mark.parametrize("name", ["double", "plain"])
def test_all_pictures_that_fit_a_network_are_drawn(name, runs, capsys, eagerly):
    code, out = run(capsys, f"--checkpoint={runs}/{name}/train/model.ckpt-2", "--eval_size=50", "--dpi=50")
    assert code == 0, out
    names = ["routing", "confusion"]
    if name == "plain":
        assert all(f"No {each}.png: this capsnet has no decoder." in out for each in ("reconstructions", "dimensions"))
    else:
        names += ["reconstructions", *(f"dimensions-{label}" for label in range(10))]
    folder = runs / name / "pictures"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{each}.png" for each in names)
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < LIMIT and f"{path}\n" in out


def test_a_measurement_has_its_table_and_its_files_in_any_format(runs, capsys, tmp_path, eagerly):
    checkpoint = f"--checkpoint={runs}/plain/train/model.ckpt-2"
    code, out = run(capsys, checkpoint, "--diagnose", "--eval_size=50", f"--out={tmp_path}")
    assert code == 0 and "error in %, uniform couplings" in out, out
    code, out = run(capsys, checkpoint, "--robustness", "--eval_size=20", "--format=svg", f"--out={tmp_path}")
    names = ["diagnosis.json", "diagnosis.png", "robustness.csv", "robustness.svg"]
    assert code == 0 and sorted(path.name for path in tmp_path.iterdir()) == names, out


def test_the_page_is_written_into_the_runs_folder_and_served(runs, capsys, monkeypatch):
    calls = []
    monkeypatch.setattr("explorer.page.serve.serve", lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # the page does without
    code, out = run(capsys, f"--checkpoint={runs}/double/train/model.ckpt-2", "--serve", "--port=1234")
    page = runs / "double/page.html"
    assert code == 0 and f"{page} (" in out and calls == [(page, 1234)], out
    page.write_text("<title>the user's own</title>")
    code, out = run(capsys, f"--checkpoint={runs}/double/train/model.ckpt-2", "--serve")
    assert code == 1 and "exists and is not a page" in out and "own" in page.read_text() and len(calls) == 1
    page.unlink()
    code, out = run(capsys, f"--checkpoint={runs}/single/train/model.ckpt-2", f"--export_page={runs}/new/page.html")
    assert code == 0 and "double click" in out, out
    assert [each.name for each in (runs / "new").iterdir()] == ["page.html"]


def test_without_a_checkpoint_it_is_the_network_that_ships(shipped, capsys, monkeypatch):
    calls = []
    monkeypatch.setattr("explorer.page.serve.serve", lambda *arguments: calls.append(arguments))
    stub = types.SimpleNamespace(draw_all=lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, "explorer.pictures", stub)
    for flags in (["--serve"], ["--eval_size=50"]):
        code, out = run(capsys, *flags)
        assert code == 0 and "No --checkpoint given: using --checkpoint=pretrained:capsnet_mnist_small\n" in out, out
    folder = Path("runs/pretrained/capsnet_mnist_small")
    page, (examined, pictures, *_) = calls
    assert page == (folder / "page.html", 8000) and (folder / "page.html").is_file()
    assert (examined.trained.step, len(examined.labels), pictures) == (2, 50, folder / "pictures")
    code, out = run(capsys, "--checkpoint=pretrained:other")
    assert code == 1 and out.endswith("The networks are: capsnet_mnist_small.\n") and out.count("\n") == 1


def test_a_picture_is_classified_and_a_network_exported_here_too(capsys, tmp_path):
    digit = open_split("mnist", "test", None).images[0, :, :, 0]  # a 7
    Image.fromarray(digit).save(tmp_path / "digit.png")
    code, out = run(capsys, f"--predict={tmp_path}/digit.png")
    assert code == 0 and f"{tmp_path}/digit.png: 7 (length " in out
    code, out = run(capsys, f"--export={tmp_path}/net.keras")
    assert code == 0 and f"Keras: {tmp_path}/net.keras. Largest difference" in out


def test_make_serves_the_page_and_writes_one_of_each_network_that_ships():
    def make(target, run):
        command = ["make", "-s", "-o", "here/ready", "VENV=here", f"RUN={run}", target]
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True)

    assert make("page", "echo").stdout == "explore.py --serve\n"
    assert make("page-files", "echo").stdout.splitlines() == [
        f"explore.py --checkpoint=pretrained:{name} --export_page=dist/page/{name}.html" for name in pretrained.names()
    ]
    assert make("page-files", "false").returncode  # a failure is not passed over


def test_bad_input_gets_one_sentence_and_exit_code_1(runs, capsys, tmp_path, monkeypatch):
    checkpoint = f"--checkpoint={runs}/single/train/model.ckpt-2"
    for part, array in (("images-idx3", np.zeros((6, 20, 20), np.uint8)), ("labels-idx1", np.zeros(6, np.uint8))):
        idx.write(tmp_path / f"t10k-{part}-ubyte.gz", array)
    (tmp_path / "file").touch()
    cases = [
        ([f"--checkpoint={runs}/single/train/model.ckpt-3"], "There is no checkpoint"),
        ([f"--checkpoint={tmp_path}/model.ckpt-3"], "There is no checkpoint"),
        ([checkpoint, "--data_dir=/not/there"], "/not/there does not exist"),
        ([checkpoint, f"--data_dir={tmp_path}"], f"MNIST in {tmp_path}: images is 28x28x1 there and 20x20x1 here"),
        ([checkpoint, "--eval_size=2", f"--out={tmp_path}/file"], "File exists"),
        ([checkpoint, "--robustness", f"--compare={runs}/double/train/model.ckpt-2"], "for the same images and"),
    ]
    for arguments, words in cases:
        code, out = run(capsys, *arguments)
        errors = [line for line in out.splitlines() if line.startswith("explore.py: error: ")]
        assert code == 1 and len(errors) == 1 and words in errors[0], out
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out = run(capsys, checkpoint)
    assert code == 1 and "Pictures need matplotlib: pip install matplotlib\n" in out and out.count("\n") == 1


def test_wrong_flags_exit_with_2(capsys):
    cases = [
        (["--checkpoint="], "--checkpoint=: expected a path"),
        (["--checkpoint=x", "--compare=y"], "--compare has no effect on this job (draw)"),
        (["--checkpoint=x", "--serve", "--robustness"], "--serve has no effect on this job (robustness)"),
    ]
    for arguments, words in cases:
        code, out = run(capsys, *arguments)
        assert code == 2 and words in out


def test_help_is_quick():
    code = (
        "import sys, explore\n"
        "try: explore.main(['--help'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True, capture_output=True)
