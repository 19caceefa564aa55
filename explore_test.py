"""`explore.py` as a user runs it: files, lines, exit codes and messages."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import explore
from conftest import run_program
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
        (root / name / "test").mkdir()
        (root / name / "test/results.csv").write_text(
            "step,split,size,wrong,almost_wrong,percent,loss\n2,test,10,9,0,90,0.5\n"
        )
    return root


def check_pictures(folder, out, names):
    """The folder has these pictures and no more, each is a small PNG, and each has its line."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.png" for name in names)
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < LIMIT
        assert f"{path}\n" in out


def test_all_pictures_of_a_network_of_single_digits(runs, capsys):
    code, out = run(capsys, f"--checkpoint={runs}/single/train/model.ckpt-2", "--eval_size=100", "--dpi=50")
    assert code == 0, out
    names = ["reconstructions", "routing", "confusion", *(f"dimensions-{label}" for label in range(10))]
    check_pictures(runs / "single/pictures", out, names)
    assert "No multimnist.png: an image of this network has one label." in out


def test_all_pictures_of_a_network_of_two_digits(runs, capsys, tmp_path):
    code, out = run(
        capsys, f"--checkpoint={runs}/double/train/model.ckpt-2", "--eval_size=100", f"--out={tmp_path}/new"
    )
    assert code == 0, out
    names = ["multimnist", "routing", "confusion", *(f"dimensions-{label}" for label in range(10))]
    check_pictures(tmp_path / "new", out, names)
    assert "No reconstructions.png: the picture multimnist has the reconstructions of two digits." in out


def test_pictures_that_do_not_fit_are_left_out(runs, capsys, tmp_path):
    code, out = run(capsys, f"--checkpoint={runs}/plain/train/model.ckpt-2", "--eval_size=20", f"--out={tmp_path}/new")
    assert code == 0, out
    check_pictures(tmp_path / "new", out, ["routing", "confusion"])
    assert all(f"No {name}.png: this capsnet has no decoder." in out for name in ("reconstructions", "dimensions"))


def test_a_diagnosis_has_its_table_and_files(runs, capsys, tmp_path):
    checkpoint = f"--checkpoint={runs}/plain/train/model.ckpt-2"
    code, out = run(capsys, checkpoint, "--diagnose", "--eval_size=50", f"--out={tmp_path}")
    assert code == 0 and "error in %, uniform couplings" in out, out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diagnosis.json", "diagnosis.png"]


def test_robustness_is_drawn_in_any_format_with_its_finding(runs, capsys, tmp_path):
    flags = ["--robustness", "--eval_size=20", "--format=svg", f"--out={tmp_path}"]
    code, out = run(capsys, f"--checkpoint={runs}/plain/train/model.ckpt-2", *flags)
    assert code == 0 and sorted(path.name for path in tmp_path.iterdir()) == ["robustness.csv", "robustness.svg"], out


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


def test_the_page_becomes_a_file_with_another_network_beside(runs, capsys, tmp_path):
    one, other = f"{runs}/single/train/model.ckpt-2", f"{runs}/plain/train/model.ckpt-2"
    page = tmp_path / "new/page.html"
    code, out = run(capsys, f"--checkpoint={one}", f"--compare={other}", f"--export_page={page}")
    assert code == 0 and f"{page} (" in out and "double click" in out, out
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    code, out = run(capsys, f"--checkpoint={one}", f"--export_page={tmp_path}")
    assert code == 1 and "exists and is not a page" in out


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


def test_every_job_takes_a_network_that_ships(shipped, runs, capsys, monkeypatch):
    own, ships, files = f"{runs}/plain", "pretrained:capsnet_mnist_small", sorted(shipped.rglob("*"))
    code, out = run(capsys, f"--checkpoint={own}", f"--compare={ships}", "--export_page=page.html")
    assert code == 0 and Path("page.html").is_file() and "No --checkpoint" not in out, out
    reports = []
    monkeypatch.setattr("explorer.report.report", lambda _, nets, *rest: reports.append([net.step for net in nets]))
    for job in ("robustness", "diagnose"):
        assert run(capsys, f"--checkpoint={ships}", f"--compare={ships}", f"--{job}")[0] == 0
    assert reports == [[2, 2], [2, 2]]
    assert sorted(shipped.rglob("*")) == files  # nothing is written there
    code, out = run(capsys, "--checkpoint=pretrained:other")
    assert code == 1 and out.endswith("The networks are: capsnet_mnist_small.\n") and out.count("\n") == 1


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint="], "--checkpoint=: expected a path"),
        (["--checkpoint=x", "--compare=y"], "--compare has no effect on this job (draw)"),
        (["--checkpoint=x", "--serve", "--robustness"], "--serve has no effect on this job (robustness)"),
        (["--checkpoint=x", "--eval_size=0"], "--eval_size=0: 0 is not an integer in the range [1, "),
    ],
)
def test_wrong_flags_exit_with_2(arguments, words, capsys):
    code, out = run(capsys, *arguments)
    assert code == 2 and words in out


@pytest.mark.parametrize("name", ["eval_size", "port", "dpi", "image_size", "num_targets"])
def test_a_number_out_of_range_is_refused_for_every_flag(name, capsys):
    for value in ("-1", "nan", "1e400", str(2**63), "x", ""):
        code, out = run(capsys, "--checkpoint=x", f"--{name}={value}")
        assert code == 2 and f"--{name}=" in out and out.count("\n") == 1


def test_help_is_quick():
    code = (
        "import sys, explore\n"
        "try: explore.main(['--help'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True, capture_output=True)
