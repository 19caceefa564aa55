"""The reader of checkpoint files: what TensorFlow writes is read as it is; anything else is an error that says so."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

from input_data.formats.records import checksums
from runner import bundle
from runner.bundle import Bundle, CheckpointError, DamagedCheckpoint

RANDOM = np.random.default_rng(0)
TENSORS = {
    f"layer{i}/weights{'/Adam' * (i % 2)}": RANDOM.normal(size=(i % 5 + 1, 3)).astype("f") for i in range(60)
} | {
    "global_step": np.int64(7),
    "empty": np.zeros((0, 3), "f"),
    "unsigned": np.arange(5, dtype="u4"),
    "half": RANDOM.normal(size=4).astype("f2"),
}


def write(path, tensors=TENSORS):
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
    )
    return str(path)


def varint(number):
    content = b""
    while number > 127:
        content, number = content + bytes([number & 127 | 128]), number >> 7
    return content + bytes([number])


def block(pairs, kind=0):
    """A block of a table, with its trailer."""
    content = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
    content += struct.pack("<II", 0, 1) + bytes([kind])
    return content + struct.pack("<I", checksums([content])[0])


def sealed(pairs, kind=0):
    """A table with right checksums, whatever is in it."""
    first = block(pairs, kind)
    second = block([(b"\xff", varint(0) + varint(len(first) - 5))])
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(second) - 5)
    return first + second + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def pairs_of(path):
    """The keys and values of a small index."""
    content = Path(f"{path}.index").read_bytes()
    handle = content[-48:]
    place = bundle._skip_varints(handle, 0, 2)
    (index,) = list(bundle._entries(bundle._block(content, handle[place:])))
    return list(bundle._entries(bundle._block(content, index[1])))


def test_every_variable_is_read_as_tensorflow_wrote_it(tmp_path):
    read = Bundle(write(tmp_path / "model.ckpt-7"))
    assert read.entries.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(read.read(name), value)
        assert read.read(name).dtype == value.dtype


def test_text_and_types_that_numpy_lacks_are_listed(tmp_path):
    tensors = {"text": np.array(["a", "b"]), "brain": tf.constant([1.5, 2.5], tf.bfloat16)}
    read = Bundle(write(tmp_path / "model", tensors))
    assert read.entries["text"].dtype is None
    with pytest.raises(DamagedCheckpoint, match="text holds no numbers"):
        read.read("text")
    assert read.read("brain").astype("f").tolist() == [1.5, 2.5]


def test_a_missing_one_is_told_from_a_damaged_one(tmp_path):
    with pytest.raises(bundle.MissingCheckpoint, match="There is no checkpoint .*none"):
        Bundle(str(tmp_path / "none"))
    path = write(tmp_path / "model")
    (tmp_path / "model.data-00000-of-00001").unlink()
    with pytest.raises(DamagedCheckpoint, match="data-00000-of-00001 does not exist"):
        Bundle(path).read("global_step")


def read_all(path):
    read = Bundle(path)
    return {name: read.read(name).tobytes() for name in read.entries}


def test_no_damage_is_read_as_something_else(tmp_path):
    """A thousand files with bytes flipped, cut off, put in, swapped or zeroed, drawn from a seed."""
    path = write(tmp_path / "model")
    right = read_all(path)
    draw, refused = random.Random(3), 0
    for ending in ("index", "data-00000-of-00001"):
        whole = (tmp_path / f"model.{ending}").read_bytes()
        for _ in range(500):
            content, place = bytearray(whole), draw.randrange(len(whole))
            kind = draw.randrange(5)
            if kind == 0:
                content[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del content[place:]
            elif kind == 2:
                content[place:place] = draw.randbytes(draw.randrange(1, 9))
            elif kind == 3:
                content[place : place + 8] = draw.randbytes(8)
            else:
                content[place : place + 64] = bytes(len(content[place : place + 64]))
            (tmp_path / f"model.{ending}").write_bytes(content)
            try:
                read = read_all(path)
            except CheckpointError:
                refused += 1
            else:
                assert read == right
        (tmp_path / f"model.{ending}").write_bytes(whole)
    assert refused > 800


def change(message, draw):
    """Changes a field of an entry of the index at random."""
    number = draw.choice([-(2**63), -1, 0, 1, 3, 2**31, 2**40, 2**62])
    field = draw.choice(["dtype", "shard_id", "offset", "size", "crc32c", "dim", "rank", "slices"])
    if field == "dim":
        message.shape.dim.add().size = number
    elif field == "rank":
        message.shape.unknown_rank = True
    elif field == "slices":
        message.slices.add().extent.add().start = number
    elif field == "crc32c":
        message.crc32c = number % 2**32
    elif field == "dtype":
        message.dtype = draw.choice([0, 2, 7, 14, 20, 21, 101, 120])
    else:
        setattr(message, field, number if field in ("offset", "size") else max(-(2**31), min(number, 2**31 - 1)))


def test_an_index_of_odd_content_under_right_checksums_is_refused(tmp_path):
    """TensorFlow's own reader ends the process at some of these."""
    path = write(tmp_path / "model", {"a": np.arange(6, dtype="f"), "b": np.int64(3)})
    right, pairs = read_all(path), pairs_of(path)
    (tmp_path / "model.index").write_bytes(sealed(pairs))
    assert read_all(path) == right
    draw, refused = random.Random(4), 0
    for _ in range(500):
        odd = list(pairs)
        place = draw.randrange(len(odd))
        key, value = odd[place]
        kind = draw.randrange(6)
        if kind == 0:
            odd[place] = key, draw.randbytes(draw.randrange(40))
        elif kind == 1:
            odd[place] = draw.randbytes(draw.randrange(4)), value
        elif kind == 2:
            odd.insert(place, odd[draw.randrange(len(odd))])
        elif kind == 3:
            del odd[place]
        elif key:
            message = BundleEntryProto.FromString(value)
            change(message, draw)
            odd[place] = key, message.SerializeToString()
        else:
            message = BundleHeaderProto(num_shards=draw.choice([-1, 0, 2, 10**6]), endianness=draw.randrange(2))
            odd[place] = key, message.SerializeToString()
        (tmp_path / "model.index").write_bytes(sealed(odd, kind=draw.choice([0, 0, 0, 1])))
        try:
            read = read_all(path)
        except CheckpointError:
            refused += 1
        else:
            assert set(read.values()) <= set(right.values())  # a name may be another
    assert refused > 400


def test_files_that_claim_to_be_huge_are_not_read(tmp_path):
    path = write(tmp_path / "model")
    with open(f"{path}.data-00000-of-00001", "r+b") as file:
        file.truncate(1 << 40)  # a sparse file
    assert read_all(path)["global_step"] == np.int64(7).tobytes()
    with open(f"{path}.index", "r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(DamagedCheckpoint, match="is larger than any"):
        Bundle(path)
