"""The file of codec tables: what is written is read, equal tables give equal bytes, and damage is told."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from suture_protocol.codecs.tables import ChannelSteps, ContextTables, TensorTables
from suture_protocol.codecs.tablesfile import MAGIC, MOST_ENTRY_BYTES, TablesFile, tables_to_bytes
from suture_protocol.codecs.zstdframe import deflate
from suture_protocol.errors import CodecError
from tests.protocol.tables_samples import contexts, tensor_tables

SHAPE = (1, 3, 8, 8)


def sample() -> dict[str, TensorTables]:
    tables = tensor_tables(SHAPE)
    assert tables is not None
    bare = TensorTables(shape=(1, 40), methods=("zstd",), window_log=0, contexts=None)
    return {"conv": tables, "cut:añadir": bare}


def written(**changes: int) -> bytes:
    """A file of one entry whose content is what `sample` writes for a vector without contexts, some fields changed."""
    fields = {"axes": 2, "batch": 1, "size": 40, "methods": 1, "method": 0, "window": 0, "contexts": 0, "points": 0}
    content = struct.pack("<BIIBBBBB", *{**fields, **changes}.values())
    frame = deflate(content, 3)
    return MAGIC + struct.pack("<HHH", 1, 1, 1) + b"x" + struct.pack("<II", len(content), len(frame)) + frame


def test_tables_come_back_as_they_were_written():
    content = tables_to_bytes(sample())
    assert content == tables_to_bytes(dict(reversed(sample().items())))
    found = TablesFile(content)
    assert found.keys == ("conv", "cut:añadir")
    assert found.tensor("elsewhere") is None
    bare = found.tensor("cut:añadir")
    assert (bare.shape, bare.methods, bare.window_log, bare.contexts, bare.points) == ((1, 40), ("zstd",), 0, None, ())
    whole, wanted = found.tensor("conv"), sample()["conv"]
    assert (whole.shape, whole.methods, whole.window_log) == (SHAPE, ("contexts", "jpegls"), 14)
    for one, other in ((whole, wanted), *zip(whole.points, wanted.points, strict=True)):
        for name in ("home", "jumps", "sum_bins", "spread_bins", "costs"):
            np.testing.assert_array_equal(getattr(one.contexts, name), getattr(other.contexts, name))
    for one, other in zip(whole.points, wanted.points, strict=True):
        np.testing.assert_array_equal(one.channels.steps, other.channels.steps)
        np.testing.assert_array_equal(one.channels.centres, other.channels.centres)
    assert tables_to_bytes({key: found.tensor(key) for key in found.keys}) == content


def test_a_file_that_is_cut_short_anywhere_is_refused():
    content = tables_to_bytes(sample())
    for size in range(0, len(content), 13):
        with pytest.raises(CodecError):
            TablesFile(content[:size])


def test_any_changed_byte_is_refused_or_gives_tables_that_hold():
    content, rng = tables_to_bytes(sample()), np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 400):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        try:
            found = TablesFile(bytes(damaged))
            tables = [found.tensor(key) for key in found.keys]
        except CodecError:
            refused += 1
            continue
        assert all(isinstance(one, TensorTables) for one in tables)
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SUTUREXX" + b"\0" * 8, "no file of codec tables"),
        (MAGIC + struct.pack("<HH", 2, 0), "version 2, this version of Suture reads 1"),
        (MAGIC + struct.pack("<HH", 1, 60_000), "60000 entries"),
        (MAGIC + struct.pack("<HH", 1, 0) + b"x", "behind its end"),
        (MAGIC + struct.pack("<HHH", 1, 1, 1) + b"x" + struct.pack("<II", MOST_ENTRY_BYTES + 1, 0), "at most"),
        (MAGIC + struct.pack("<HHH", 1, 1, 2) + b"\xff\xff" + struct.pack("<II", 0, 0), "no text"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(content, message):
    with pytest.raises(CodecError, match=message):
        TablesFile(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": 9}, "9 axes"),
        ({"size": 1 << 31}, "shape"),
        ({"method": 7}, "method"),
        ({"window": 40}, "window of 2\\^40"),
        ({"window": 9}, "window of 2\\^9"),
        ({"contexts": 1}, "cut short"),
        ({"points": 1}, "cut short"),
    ],
)
def test_an_entry_with_impossible_fields_is_refused(changes, message):
    assert TablesFile(written()).tensor("x").shape == (1, 40)
    with pytest.raises(CodecError, match=message):
        TablesFile(written(**changes)).tensor("x")


def test_an_entry_that_goes_on_behind_its_end_is_refused():
    content = struct.pack("<BIIBBBBB", 2, 1, 40, 1, 0, 0, 0, 0) + b"x"
    frame = deflate(content, 3)
    file = MAGIC + struct.pack("<HHH", 1, 1, 1) + b"x" + struct.pack("<II", len(content), len(frame)) + frame
    with pytest.raises(CodecError, match="behind its end"):
        TablesFile(file).tensor("x")


def test_a_key_longer_than_any_tensors_name_is_refused():
    with pytest.raises(CodecError, match="too long"):
        TablesFile(MAGIC + struct.pack("<HHH", 1, 1, 5000) + b"x" * 5000 + struct.pack("<II", 0, 0))


def test_tables_of_another_number_of_channels_than_the_tensors_are_refused():
    whole, other = sample()["conv"], tensor_tables((1, 5, 8, 8))
    assert other is not None
    for wrong in (replace(whole, contexts=contexts(5), points=()), replace(whole, contexts=None, points=other.points)):
        with pytest.raises(CodecError, match="another number of channels"):
            TablesFile(tables_to_bytes({"x": wrong})).tensor("x")


@pytest.mark.parametrize(
    "change",
    [
        {"home": np.array([0, 2, 0], np.uint8)},
        {"jumps": np.zeros((2, 3), np.uint8)},
        {"sum_bins": np.array([5, 5], np.uint16)},
        {"sum_bins": np.zeros(15, np.uint16)},
        # As many bins as there are costs for, but two alike, descending, from 0 on, or above what four codes add up to.
        {"sum_bins": np.maximum(contexts(3).sum_bins, 128)},
        {"sum_bins": contexts(3).sum_bins[::-1]},
        {"sum_bins": contexts(3).sum_bins - np.uint16(64)},
        {"sum_bins": contexts(3).sum_bins + np.uint16(61)},
        {"spread_bins": np.array([0], np.uint8)},
        {"costs": np.zeros((2, 4, 256), np.uint8)},
    ],
)
def test_contexts_that_do_not_fit_together_cannot_be_made(change):
    whole = contexts(3)
    fields = {name: getattr(whole, name) for name in ("home", "jumps", "sum_bins", "spread_bins", "costs")}
    with pytest.raises(ValueError):
        ContextTables(**{**fields, **change})


def test_more_contexts_in_all_classes_than_16_bits_number_cannot_be_made():
    with pytest.raises(ValueError, match="16 bits"):
        ContextTables(
            home=np.zeros(3, np.uint8),
            jumps=np.zeros((256, 256), np.uint8),
            sum_bins=np.arange(1, 255, dtype=np.uint16),
            spread_bins=np.zeros(0, np.uint8),
            costs=np.zeros((256, 256, 256), np.uint8),
        )


@pytest.mark.parametrize("steps", [[0, 1], [1, 513], [1], []])
def test_steps_that_no_channel_has_cannot_be_made(steps):
    with pytest.raises(ValueError):
        ChannelSteps(centres=np.zeros(2, np.uint8), steps=np.array(steps, np.uint16))
