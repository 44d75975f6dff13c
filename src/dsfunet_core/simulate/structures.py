"""Molecules from files: CIF, XYZ, SDF and MOL."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import existing_file
from dsfunet_core.simulate.molecules import Molecule

__all__ = ["disorder_groups", "read_molecule"]

#: Two atoms nearer than the sum of their covalent radii and this [Å] are bonded.
BOND_TOLERANCE = 0.3
#: Images of an atom nearer than this [Å] are that atom, on a special position.
SAME_ATOM = 0.1
#: Atoms of a completed molecule nearer than this [Å] overlap: disorder, not a bond.
OVERLAP = 0.5
#: Atoms at which a molecule that symmetry completes is taken for a framework.
MAX_ATOMS = 1000


def read_molecule(
    path: str | Path, *, disorder_group: int | None = None, complete: bool = True
) -> Molecule:
    """Read a molecule.

    Parameters
    ----------
    path : path-like
        ``.cif`` (small molecule), ``.xyz`` (the first frame), ``.sdf`` or ``.mol``
        (V2000, the first record).
    disorder_group : int, optional
        Of a disordered CIF, the part to keep (with the ordered rest): 1 for A, 2 for B.
    complete : bool
        Complete the molecule of a CIF by symmetry: images bonded to it are added until
        no more join. Atoms of a negative disorder group (disorder about a symmetry
        element) are joined by lattice translations alone.

    Returns
    -------
    Molecule
        Cartesian [Å]; a CIF's in its own cell, in gemmi's frame (a along x, b in the xy
        plane), with B = 8π²U.

    Raises
    ------
    FileFormatError
        If the file cannot be read as what its name says: the text gives the line.
    ParameterError
        If the CIF has several disorder groups and none was chosen, or has not the chosen.
    """
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix == ".cif":
        return _from_cif(path, disorder_group, complete)
    if disorder_group is not None:
        raise ParameterError(
            f"disorder_group = {disorder_group} with {path.name}: only a CIF has disorder "
            "groups; leave it out."
        )
    readers = {".xyz": _from_xyz, ".sdf": _from_mol, ".mol": _from_mol}
    if suffix not in readers:
        raise FileFormatError(
            f"{path}: molecules are read from .cif, .xyz, .sdf and .mol, not from "
            f"{suffix or 'files without a suffix'}."
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not a text file ({error}).") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error}.") from error
    elements, positions = readers[suffix](path, lines)
    return Molecule(tuple(elements), np.array(positions), name=path.stem)


def disorder_groups(path: str | Path) -> list[int]:
    """Disorder groups (PARTs) of a CIF, other than 0, in rising order.

    Parameters
    ----------
    path : path-like
        The CIF.
    """
    structure = _small_structure(existing_file(path))
    return sorted({site.disorder_group for site in structure.sites} - {0})


def _element(symbol: str, where: str) -> str:
    element = gemmi.Element(symbol)
    if element.atomic_number == 0:
        raise FileFormatError(f"{where}: {symbol!r} is not a chemical symbol.")
    return str(element.name)


def _atom(symbol: str, numbers: list[str], where: str) -> tuple[str, list[float]]:
    try:
        x = [float(number) for number in numbers]
    except ValueError as error:
        raise FileFormatError(f"{where}: three coordinates in Å expected ({error}).") from error
    if len(x) != 3 or not np.isfinite(x).all():
        raise FileFormatError(f"{where}: three finite coordinates in Å expected.")
    return _element(symbol, where), x


def _count(text: str, where: str) -> int:
    if not text.strip().isdecimal() or int(text) == 0:
        raise FileFormatError(f"{where}: the number of atoms expected, not {text.strip()!r}.")
    return int(text)


def _from_xyz(path: Path, lines: list[str]) -> tuple[list[str], list[list[float]]]:
    n = _count(lines[0] if lines else "", f"{path}, line 1")
    if len(lines) < n + 2:
        raise FileFormatError(f"{path}: {n} atoms announced, but the file ends before them.")
    atoms = []
    for i, line in enumerate(lines[2 : n + 2], start=3):
        words = line.split()
        atoms.append(_atom(words[0] if words else "", words[1:4], f"{path}, line {i}"))
    return [e for e, _ in atoms], [x for _, x in atoms]


def _from_mol(path: Path, lines: list[str]) -> tuple[list[str], list[list[float]]]:
    counts = lines[3] if len(lines) > 3 else ""
    if "V3000" in counts:
        raise FileFormatError(
            f"{path} is an SDF of version V3000; V2000 or XYZ is read. Convert it."
        )
    n = _count(counts[:3], f"{path}, line 4")
    if len(lines) < n + 4:
        raise FileFormatError(f"{path}: {n} atoms announced, but the file ends before them.")
    atoms = []
    for i, line in enumerate(lines[4 : n + 4], start=5):
        numbers = [line[0:10], line[10:20], line[20:30]]
        atoms.append(_atom(line[31:34].strip(), numbers, f"{path}, line {i}"))
    return [e for e, _ in atoms], [x for _, x in atoms]


def _from_cif(path: Path, disorder_group: int | None, complete: bool) -> Molecule:
    structure = _small_structure(path)
    sites = list(structure.sites)
    if not sites or not structure.cell.is_crystal():
        raise FileFormatError(f"{path} has no atom sites, or no unit cell.")
    groups = sorted({site.disorder_group for site in sites} - {0})
    if disorder_group is None and len(groups) > 1:
        raise ParameterError(
            f"{path} has disorder groups {', '.join(map(str, groups))}, which overlap; choose "
            "one with disorder_group (one for A, another for B)."
        )
    if disorder_group is not None and disorder_group not in groups:
        raise ParameterError(
            f"{path} has no disorder group {disorder_group}; it has: "
            f"{', '.join(map(str, groups)) or 'none'}."
        )
    sites = [s for s in sites if s.disorder_group in (0, disorder_group or s.disorder_group)]
    elements, fractional, b_iso = [], [], []
    for site in sites:
        where = f"{path}, atom {site.label}"
        elements.append(_element(site.element.name, where))
        x = np.array(site.fract.tolist())
        if not np.isfinite(x).all():
            raise FileFormatError(f"{where}: coordinates are missing.")
        fractional.append(x)
        u = structure.cell.calculate_u_eq(site.aniso) if site.aniso.nonzero() else site.u_iso
        b_iso.append(8 * np.pi**2 * u if np.isfinite(u) else 0.0)
    kinds, x = np.arange(len(sites)), np.array(fractional)
    if complete:
        kinds, x = _completed(path, structure, elements, [s.disorder_group for s in sites], x)
        _refuse_overlap(path, structure, [sites[k].label for k in kinds], x)
    to_cartesian = np.array(structure.cell.orth.mat.tolist())
    return Molecule(
        tuple(elements[k] for k in kinds),
        x @ to_cartesian.T,
        np.array(b_iso)[kinds],
        name=structure.name or path.stem,
        labels=tuple(sites[k].label for k in kinds),
    )


def _small_structure(path: Path) -> gemmi.SmallStructure:
    """The one structure of a CIF, which may have further blocks without atoms."""
    try:
        document = gemmi.cif.read(str(path))
        blocks = [b for b in document if len(b.find_values("_atom_site_fract_x"))]
        if len(document) == 0:
            raise ValueError("it has no data block")
        if not blocks:
            raise FileFormatError(f"{path} has no atom sites with fractional coordinates.")
        structure = gemmi.make_small_structure_from_block(blocks[0])
    except FileFormatError:
        raise
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise FileFormatError(f"{path} is not a readable CIF: {error}.") from error
    if len(blocks) > 1:
        raise FileFormatError(
            f"{path} has {len(blocks)} structures, {', '.join(b.name for b in blocks)}; keep "
            "the data block of one in a file of its own."
        )
    for code in blocks[0].find_values("_atom_site_disorder_group"):
        if code not in (".", "?") and not code.lstrip("+-").isdecimal():
            raise FileFormatError(
                f"{path}: disorder group {gemmi.cif.as_string(code)!r}; groups are whole "
                "numbers. Write 1, 2, ... in _atom_site_disorder_group."
            )
    return structure


def _operations(path: Path, structure: gemmi.SmallStructure) -> list[gemmi.Op]:
    """Symmetry operations that the CIF lists, or those of its space group."""
    try:
        listed = [gemmi.Op(symbol) for symbol in structure.symops]
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{path}: a symmetry operation is none: {error}.") from error
    if listed:
        return listed
    if structure.spacegroup:
        return list(structure.spacegroup.operations())
    name = structure.spacegroup_hm or structure.spacegroup_hall or structure.spacegroup_number
    if name:
        raise FileFormatError(
            f"{path}: space group {name!r} is not known. List the symmetry operations in "
            "_space_group_symop_operation_xyz, or read it with complete=False."
        )
    return [gemmi.Op("x,y,z")]


def _completed(
    path: Path,
    structure: gemmi.SmallStructure,
    elements: list[str],
    groups: list[int],
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Add symmetry images bonded to the atoms until no more join (fractional)."""
    to_cartesian = np.array(structure.cell.orth.mat.tolist())
    operations = _operations(path, structure)
    identity = gemmi.Op("x,y,z")
    images, kinds = [], []
    for number, (position, group) in enumerate(zip(start, groups, strict=True)):
        allowed = [identity] if group < 0 else operations
        orbit: list[np.ndarray] = []
        for operation in allowed:
            image = np.mod(operation.apply_to_xyz(position.tolist()), 1)
            apart = np.array(orbit).reshape(-1, 3) - image
            apart = (apart - np.round(apart)) @ to_cartesian.T
            if not (np.linalg.norm(apart, axis=1) < SAME_ATOM).any():
                orbit.append(image)
        images += orbit
        kinds += [number] * len(orbit)
    images_x, images_kind = np.array(images), np.array(kinds)
    shifts = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    radius = np.array([gemmi.Element(e).covalent_r for e in elements])
    x: list[np.ndarray] = list(start)
    kind = list(range(len(start)))
    reached = 0
    while reached < len(x):
        # Images in the 27 cells round the atom whose neighbours are looked for.
        near = (images_x + np.floor(x[reached]))[:, None] + shifts
        vectors = (near - x[reached]) @ to_cartesian.T
        distance = np.linalg.norm(vectors, axis=2)
        limit = radius[images_kind] + radius[kind[reached]] + BOND_TOLERANCE
        bonded = (distance > SAME_ATOM) & (distance < limit[:, None])
        for image, shift in np.argwhere(bonded):
            candidate = near[image, shift]
            known = np.linalg.norm((np.array(x) - candidate) @ to_cartesian.T, axis=1)
            if known.min() > SAME_ATOM:
                x.append(candidate)
                kind.append(int(images_kind[image]))
        reached += 1
        if len(x) > MAX_ATOMS:
            raise FileFormatError(
                f"{path}: the bonded atoms never end (more than {MAX_ATOMS}): a polymer or "
                "framework. Read it with complete=False and choose the atoms yourself."
            )
    return np.array(kind), np.array(x)


def _refuse_overlap(
    path: Path, structure: gemmi.SmallStructure, labels: list[str], x: np.ndarray
) -> None:
    cartesian = x @ np.array(structure.cell.orth.mat.tolist()).T
    for i in range(1, len(x)):
        distance = np.linalg.norm(cartesian[:i] - cartesian[i], axis=1)
        j = int(distance.argmin())
        if distance[j] < OVERLAP:
            raise FileFormatError(
                f"{path}: {labels[j]} and {labels[i]}, or images of them, are "
                f"{distance[j]:.2f} Å apart. If the molecule is disordered about a symmetry "
                "element, give its atoms a negative _atom_site_disorder_group; if two kinds "
                "share a site, keep one; or read it with complete=False."
            )
