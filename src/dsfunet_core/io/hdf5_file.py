"""Opening HDF5 files that are not trusted: links, sizes and filters are checked."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters)

from dsfunet_core.errors import DsfunetError, FileFormatError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["check_dataset", "children", "listed", "locate", "open_hdf5"]

#: Largest number of points along an axis that a reconstruction may have.
MAX_AXIS = 2**20
#: Largest piece that one compressed chunk may unpack to [bytes].
MAX_CHUNK_BYTES = 2**30
#: Most bytes that a stored one may stand for, chunks that were never written included, in
#: arrays too large to be anybody's small test.
MAX_PACKING, SMALL = 100_000, 2**20
#: Links followed before a chain of them is taken for a loop.
MAX_LINKS = 16


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, with errors that name it.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    h5py.File
        Closed again at the end of the block.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, damaged where it is read, or not HDF5.
    """
    try:
        h5 = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be opened as HDF5 ({error}). It may be truncated or still "
            "being written: copy it again, or check it with h5dump."
        ) from error
    with h5:
        try:
            yield h5
        except DsfunetError:
            raise
        # Names that are no text, types that NumPy has not: a damaged file brings them all.
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{path} cannot be read ({error}). It is truncated or damaged, or was "
                "changed since it was opened: copy it again."
            ) from error


def children(path: Path, group: str = "/") -> list[str]:
    """Names in a group; empty where there is no such group.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Path of the group in it.
    """
    parent, _, leaf = group.rstrip("/").rpartition("/")
    if leaf and leaf not in children(path, parent):
        return []
    file, name = locate(path, group, path.resolve().parent)
    with open_hdf5(file) as h5:
        return sorted(h5[name]) if isinstance(h5[name], h5py.Group) else []


def locate(file: Path, name: str, root: Path, links: int = 0) -> tuple[Path, str]:
    """Follow every link on the way to a node.

    Parameters
    ----------
    file : Path
        The file.
    name : str
        Path of the node in it.
    root : Path
        Folder in which the files that links point to must lie.
    links : int
        How many links led here.

    Returns
    -------
    tuple
        File that holds the node, and its path there.

    Raises
    ------
    FileFormatError
        If the node is missing, or a link leads outside ``root`` or nowhere.
    """
    if links > MAX_LINKS:
        raise FileFormatError(f"{name} in {file} is a chain of over {MAX_LINKS} links.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    with open_hdf5(file) as h5:
        node: Any = h5
        for depth, part in enumerate(parts):
            rest = "/".join(parts[depth + 1 :])
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                raise FileFormatError(f"{file} has no {name}; {listed(node)} is there.")
            if isinstance(link, h5py.ExternalLink):
                target = _inside(file, link.filename, root, f"{name} in {file}")
                return locate(target, f"{link.path}/{rest}", root, links + 1)
            if isinstance(link, h5py.SoftLink):
                start = "" if link.path.startswith("/") else f"{node.name}/"
                return locate(file, f"{start}{link.path}/{rest}", root, links + 1)
            node = node[part]
    return file, "/" + "/".join(parts)


def check_dataset(dataset: h5py.Dataset, file: Path, root: Path) -> None:
    """Refuse a dataset that is too large, cannot be unpacked, or is kept elsewhere.

    Parameters
    ----------
    dataset : h5py.Dataset
        Open dataset.
    file : Path
        The file it is in.
    root : Path
        Folder in which everything it refers to must lie.

    Raises
    ------
    FileFormatError
        Naming what was found and how to mend it.
    """
    _check_size(dataset, file)
    _check_filters(dataset, file)
    _check_storage(dataset, file, root)


def _inside(file: Path, target: str, root: Path, what: str) -> Path:
    """Resolve a file named inside another one; it must lie in the folder ``root``."""
    if PureWindowsPath(target).drive:
        found = Path(target)
    else:
        found = file.resolve().parent / target.replace("\\", "/")
    found = found.resolve()
    if not found.is_relative_to(root):
        raise FileFormatError(
            f"{what} points to {target}, outside the folder {root}; such links are not "
            "followed. Move both files into one folder and link them by a relative path."
        )
    if not found.is_file():
        raise FileFormatError(
            f"{what} is kept in {found}, which is missing. Copy that file there too."
        )
    return found


def _check_size(dataset: h5py.Dataset, path: Path) -> None:
    if any(n > MAX_AXIS for n in dataset.shape):
        raise FileFormatError(
            f"{dataset.name} in {path} claims the shape {dataset.shape}; no axis may have "
            f"over {MAX_AXIS} points, so the file is damaged or no reconstruction."
        )
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        raise FileFormatError(
            f"{dataset.name} in {path} is stored in chunks of {dataset.chunks}, more than "
            f"{MAX_CHUNK_BYTES / 2**30:.0f} GiB each. Store it in smaller ones (h5repack -l)."
        )
    claimed, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    elsewhere = dataset.is_virtual or dataset.external
    if not elsewhere and claimed > max(MAX_PACKING * stored, SMALL):
        raise FileFormatError(
            f"{dataset.name} in {path} claims the shape {dataset.shape}, {claimed:,} bytes, of "
            f"which {stored:,} were written; the writer did not come to its end, or the file "
            "is damaged: copy it again, or write it anew."
        )


def _check_filters(dataset: h5py.Dataset, path: Path) -> None:
    properties = dataset.id.get_create_plist()
    for position in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(position)
        if not h5py.h5z.filter_avail(code):
            raise FileFormatError(
                f"{dataset.name} in {path} is compressed with the HDF5 filter {code} "
                f"({label.decode(errors='replace') or 'nameless'}), which neither HDF5 nor "
                "hdf5plugin brings. Install its plugin, or rewrite the file with "
                "h5repack -f GZIP=4."
            )


def _check_storage(dataset: h5py.Dataset, file: Path, root: Path, links: int = 0) -> None:
    """Refuse data kept in raw files, or in virtual datasets outside the folder."""
    what = f"part of {dataset.name} in {file}"
    for name, _, _ in dataset.external or ():
        # HDF5 would look for it in the folder the program was started in.
        raise FileFormatError(
            f"{what} is kept in the raw file {name}, which is not read. Copy it into an "
            "ordinary dataset (h5repack -l CONTI)."
        )
    if not dataset.is_virtual:
        return
    for source in dataset.virtual_sources():
        if "%" in source.file_name or "%" in source.dset_name:
            raise FileFormatError(
                f"{what} is a virtual dataset over numbered files ({source.file_name}), "
                "which is not read. Copy it to a plain dataset (h5repack)."
            )
        target = (
            file if source.file_name == "." else _inside(file, source.file_name, root, what)
        )
        target, name = locate(target, source.dset_name, root, links + 1)
        with open_hdf5(target) as h5:
            _check_storage(h5[name], target, root, links + 1)


def listed(node: Any) -> str:
    """Names in a group for an error text, "nothing" for anything else.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        Open node.
    """
    names = sorted(node) if isinstance(node, h5py.Group) else []
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "nothing"
