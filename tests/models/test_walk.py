"""Folders: what is walked, what a series is, and that one bad file never stops the others."""

import os

import numpy as np
import pytest

from suture_models.series import stack
from suture_models.walk import Series, find_inputs, group_series, read_file, read_series
from suture_protocol.errors import InputRefused

AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.fixture
def write_slice(make_dicom, tmp_path):
    def write(name, z, **attributes):
        pixels = np.full((6, 5), 100 + int(z or 0), dtype=np.int16)
        defaults = {"ImageOrientationPatient": AXIAL, "PixelSpacing": [0.5, 0.5]}
        if z is not None:
            defaults["ImagePositionPatient"] = [-10, -20, z]
        path = tmp_path / name
        path.write_bytes(make_dicom(pixels, **{**defaults, **attributes}))
        return path

    return write


def only(items):
    (item,) = list(items)
    return item


def test_folders_are_walked_in_order_without_hidden_files_and_dicomdir(tmp_path):
    for name in ("b/2.dcm", "b/.hidden", "b/DICOMDIR", "a/1.dcm", ".cache/3.dcm", "c.txt", "b/Thumbs.db"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_inputs([tmp_path])]
    assert found == ["a/1.dcm", "b/2.dcm", "c.txt"]


def test_named_files_are_always_tried(tmp_path):
    hidden, missing = tmp_path / ".hidden", tmp_path / "missing.dcm"
    hidden.write_bytes(b"x")
    assert list(find_inputs([hidden, missing])) == [hidden, missing]
    with pytest.raises(InputRefused, match="cannot be read: No such file"):
        read_file(missing)


def test_links_to_folders_are_not_followed(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "1.dcm").write_bytes(b"x")
    assert list(find_inputs([tmp_path])) == [tmp_path / "1.dcm"]


def test_pipes_and_folders_are_refused_rather_than_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputRefused, match="not a regular file"):
        read_file(pipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "1.dcm").write_bytes(b"x")
    secret.chmod(0)
    try:
        (path,) = find_inputs([tmp_path])
        with pytest.raises(InputRefused, match="folder that cannot be listed"):
            read_file(path)
    finally:
        secret.chmod(0o700)


def test_a_series_is_ordered_along_its_normal_whatever_the_names_say(write_slice):
    paths = [write_slice(name, z, InstanceNumber=n) for name, z, n in (("c", 0, 9), ("a", 5, 1), ("b", 2.5, 7))]
    series = only(group_series(paths))
    assert isinstance(series, Series)
    assert [p.name for p in series.paths] == ["c", "b", "a"]
    volume = read_series(series)
    assert (volume.kind, volume.values.shape) == ("volume", (3, 6, 5))
    assert volume.values[:, 0, 0].tolist() == [100, 102, 105]
    assert volume.value_range == (100, 105)


def test_without_positions_instance_numbers_order_a_series(write_slice):
    paths = [write_slice(name, None, InstanceNumber=number) for name, number in (("a", 3), ("b", 1), ("c", 2))]
    assert [p.name for p in only(group_series(paths)).paths] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        ([(0, {}), (2, {}), (4, {}), (8, {})], "lacks slices"),
        ([(0, {}), (2, {}), (2, {}), (4, {})], "too close together"),
        ([(0, {}), (2, {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]})], "different orientation"),
        ([(0, {}), (2, {"PixelSpacing": [0.7, 0.7]})], "different pixel spacing"),
        ([(0, {}), (2, {"Columns": 3})], "different size"),
        ([(0, {})], "single slice"),
        ([(None, {}), (None, {})], "cannot be ordered"),
        ([(0, {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]})] * 2, "right angles"),
    ],
)
def test_slices_that_make_no_volume_are_refused_with_the_reason(write_slice, slices, words):
    paths = [write_slice(f"{index}.dcm", z, **attributes) for index, (z, attributes) in enumerate(slices)]
    refused = only(group_series(paths))
    assert isinstance(refused, InputRefused)
    assert words in refused.reason


def test_a_bad_file_does_not_stop_the_series_beside_it(write_slice, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"not an image")
    results = list(group_series([junk, write_slice("a", 0), write_slice("b", 1)]))
    assert [type(r) for r in results] == [InputRefused, Series]


def test_two_series_in_one_folder_stay_apart(write_slice):
    paths = [write_slice(f"{uid}-{z}", z, SeriesInstanceUID=f"1.2.{uid}") for uid in (1, 2) for z in (0, 1, 2)]
    assert [s.series_instance_uid for s in group_series(paths)] == ["1.2.1", "1.2.2"]


def test_pictures_of_different_series_do_not_stack(write_slice):
    pictures = [read_file(write_slice(str(z), z, SeriesInstanceUID=f"1.2.{z}")) for z in (0, 1)]
    with pytest.raises(InputRefused, match="several series"):
        stack(pictures, "both")


def test_a_real_head_ct_series_becomes_one_volume(data_dir):
    series = only(group_series(find_inputs([data_dir / "dicom" / "ct_head_series"])))
    assert isinstance(series, Series), series
    volume = read_series(series)
    assert volume.values.shape[0] == len(series.paths)
    assert volume.modality == "CT"
