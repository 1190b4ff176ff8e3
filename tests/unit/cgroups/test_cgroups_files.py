"""The one door to control files: every refusal of the kernel says what, why and how to fix it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cgroups import errors, files


def test_an_absent_file_in_a_cgroup_that_is_there(tmp_path: Path) -> None:
    """`read_or_none` gives `None`, `read` an error with the file's path."""
    assert files.read_or_none(tmp_path / "memory.peak") is None
    with pytest.raises(errors.FileAbsent, match=r"memory\.peak"):
        files.read(tmp_path / "memory.peak")


def test_a_removed_cgroup_is_no_absent_file(tmp_path: Path) -> None:
    """The same ENOENT with its directory gone says that the cgroup is gone."""
    with pytest.raises(errors.CgroupGone):
        files.read_or_none(tmp_path / "gone" / "memory.peak")


def test_writing_creates_no_file(tmp_path: Path) -> None:
    """A control file that is not there is not made, wherever the path leads."""
    with pytest.raises(errors.FileAbsent):
        files.write(tmp_path / "memory.max", "max")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENODEV, errors.CgroupGone),
        (errno.ENOENT, errors.FileAbsent),
        (errno.EOPNOTSUPP, errors.FileAbsent),
        (errno.EACCES, errors.Forbidden),
        (errno.EPERM, errors.Forbidden),
        (errno.EROFS, errors.Forbidden),
        (errno.EINVAL, errors.BadValue),
        (errno.ERANGE, errors.BadValue),
        (errno.EBUSY, errors.CgroupBusy),
        (errno.EIO, errors.CgroupError),
    ],
)
def test_each_answer_of_the_kernel_has_its_error(tmp_path: Path, number: int, kind: type[errors.CgroupError]) -> None:
    """One errno, one kind of error, with the kernel's number kept."""
    error = files.explain(OSError(number, os.strerror(number)), tmp_path / "memory.max", "cannot")
    assert type(error) is kind
    assert error.errno == number
    assert error.what and error.why and error.fix
