"""Files are replaced whole or not at all, and what a killed process left is removed."""

import os
import subprocess
import sys

import pytest

from input_data.formats.files import atomic_write


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as (draft,):
        draft.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"


def test_drafts_of_a_killed_process_are_removed_by_the_next_write_and_those_of_a_living_one_kept(tmp_path):
    code = """
import os, sys
from pathlib import Path
from input_data.formats.files import atomic_write
with atomic_write(Path(os.fsdecode(bytes.fromhex(sys.argv[1])))) as (draft,):
    draft.write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""
    name = "é" * 115 + "a b@c[1]*{}?\udcff.csv"
    path = tmp_path / name
    path.write_text("old")
    command = [sys.executable, "-c", code, os.fsencode(path).hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with atomic_write(path) as (draft,):
            draft.write_text("new")
            assert path.read_text() == "old"
        assert len(os.listdir(tmp_path)) == 2  # the other process still writes its draft
        process.kill()
        process.wait()
    with atomic_write(path) as (draft,):
        draft.write_text("newer")
    assert os.listdir(tmp_path) == [name] and path.read_text() == "newer"


def test_an_error_leaves_every_file_as_it_was_and_one_between_the_files_never_mixes_old_and_new(tmp_path, monkeypatch):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(*paths) as (draft, _):
        draft.write_text("new")
        raise ZeroDivisionError
    assert [path.read_text() for path in paths] == ["old", "old"] and len(os.listdir(tmp_path)) == 2
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), atomic_write(*paths):
        pass
    assert not os.listdir(tmp_path)  # the old ones go before a new one comes
