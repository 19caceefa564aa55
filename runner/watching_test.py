"""The checkpoints of another process come once each, in order, until training has ended."""

import threading

from runner.watching import new_checkpoints


def save(folder, step):
    for ending in (".index", ".data-00000-of-00001"):
        (folder / f"model.ckpt-{step}{ending}").touch()


def test_each_checkpoint_comes_once_in_order_also_while_it_waits(tmp_path):
    for step in (30, 10, 20):
        save(tmp_path, step)
    later = threading.Timer(0.2, save, (tmp_path, 40))
    later.start()
    assert list(new_checkpoints(tmp_path, lambda: {10}, timeout=1.5)) == [20, 30, 40]


def test_a_folder_that_never_comes_is_given_up(tmp_path):
    assert list(new_checkpoints(tmp_path / "train", set, timeout=0.01)) == []
