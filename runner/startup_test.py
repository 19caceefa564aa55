"""The start of a program: quiet, and on TensorFlow whatever the user's settings are."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from input_data.startup import stderr_held_back
from runner.startup import keep_memory

ROOT = Path(__file__).parents[1]


ALL = """
import sys
sys.modules |= dict.fromkeys(["matplotlib", "onnx", "tf2onnx", "jax", "torch"])
import experiment, explore, runner.startup
runner.startup.use_tensorflow()
from keras import backend, config
print("Keras:", backend.backend(), config.image_data_format(), config.floatx(), config.epsilon())
run, picture = f"{sys.argv[1]}/run", f"{sys.argv[1]}/1.png"
tiny = ["--hparams_override=num_prime_capsules=1,conv_channels=2,routing=1,remake=false", "--eval_size=20"]
codes = [experiment.main([f"--summary_dir={run}", "--max_steps=1", "--batch_size=4", *tiny])]
codes.append(explore.main([f"--checkpoint={run}", f"--export_page={sys.argv[1]}/page.html"]))
from PIL import Image
Image.new("L", (6, 20), 255).crop((-9, -4, 15, 24)).save(picture)
codes.append(experiment.main([f"--checkpoint={run}", f"--predict={picture}"]))
print("Codes:", codes)
"""


def test_programs_need_only_the_requirements_and_print_no_warning_whatever_the_users_settings_are(tmp_path):
    settings = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax",
                                "MPLBACKEND": "module://no_such_backend", "TF_USE_LEGACY_KERAS": "1"}  # fmt: skip
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-c", ALL, tmp_path]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    out, errors = done.stdout, done.stderr
    assert "Keras: tensorflow channels_last float32 1e-07\n" in out and "Codes: [0, 0, 0]\n" in out, out + errors
    assert (done.returncode, errors) == (0, "")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_freed_memory_is_kept():
    keep_memory()
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    size = 50 << 20  # 12,800 pages

    def new_pages():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(size)))
        library.memset(block, 1, ctypes.c_size_t(size))
        library.free(block)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    new_pages()
    assert new_pages() < 1000


def test_what_is_held_back_is_shown_when_loading_fails(capfd):
    with stderr_held_back():
        os.write(2, b"noise")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), stderr_held_back():
        os.write(2, b"the reason")
        raise ImportError
    assert capfd.readouterr().err == "the reason"
    os.write(2, b"as before")
    assert capfd.readouterr().err == "as before"
