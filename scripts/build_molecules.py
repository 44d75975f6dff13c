"""Write src/dsfunet_core/data/molecules.json: `python scripts/build_molecules.py`.

Needs RDKit and gemmi (build-time only). Fragments are embedded from SMILES with a fixed seed
and relaxed in a force field; atoms and perovskite cells are listed by hand.
"""

import json
from pathlib import Path

import gemmi
import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

SEED = 7
TARGET = Path(__file__).parents[1] / "src" / "dsfunet_core" / "data" / "molecules.json"

#: Fragments a crystallographer meets disordered: solvents, ions, ligands, groups. A star
#: marks those held out for validation.
FRAGMENTS = {
    "water": "O",
    "carbon dioxide": "C(=O)=O",
    "methanol": "CO",
    "acetonitrile": "CC#N",
    "formate": "[O-]C=O",
    "nitrate *": "[O-][N+](=O)[O-]",
    "dichloromethane": "ClCCl",
    "chloroform *": "ClC(Cl)Cl",
    "carbon tetrachloride": "ClC(Cl)(Cl)Cl",
    "nitromethane": "C[N+](=O)[O-]",
    "ethanol": "CCO",
    "acetone": "CC(C)=O",
    "urea": "NC(N)=O",
    "dimethyl sulfoxide *": "CS(C)=O",
    "carbon disulfide": "C(=S)=S",
    "perchlorate": "[O-][Cl+3]([O-])([O-])[O-]",
    "sulfate": "[O-]S(=O)(=O)[O-]",
    "tetrafluoroborate": "[B-](F)(F)(F)F",
    "hexafluorophosphate *": "[P-](F)(F)(F)(F)(F)F",
    "thiocyanate": "C([S-])#N",
    "triflate *": "[O-]S(=O)(=O)C(F)(F)F",
    "trifluoroacetate": "[O-]C(=O)C(F)(F)F",
    "dimethylformamide": "CN(C)C=O",
    "ethyl acetate *": "CCOC(C)=O",
    "diethyl ether": "CCOCC",
    "tetrahydrofuran": "C1CCOC1",
    "dioxane": "C1COCCO1",
    "tetramethylammonium": "C[N+](C)(C)C",
    "imidazole *": "c1c[nH]cn1",
    "thiophene": "c1ccsc1",
    "pyridine": "c1ccncc1",
    "benzene": "c1ccccc1",
    "cyclohexane": "C1CCCCC1",
    "toluene": "Cc1ccccc1",
    "phenol": "Oc1ccccc1",
    "chlorobenzene *": "Clc1ccccc1",
    "hexafluorobenzene": "Fc1c(F)c(F)c(F)c(F)c1F",
    "1,4-diiodobenzene": "Ic1ccc(I)cc1",
    "tosylate": "Cc1ccc(cc1)S(=O)(=O)[O-]",
    "benzoate *": "[O-]C(=O)c1ccccc1",
    "acetylacetonate": "C/C([O-])=C/C(C)=O",
    "hexane": "CCCCCC",
    "triethylamine": "CCN(CC)CC",
    "tetraethylammonium *": "CC[N+](CC)(CC)CC",
    "naphthalene *": "c1ccc2ccccc2c1",
    "tert-butylbenzene": "CC(C)(C)c1ccccc1",
    "bipyridine": "c1ccnc(c1)-c1ccccn1",
    "phenanthroline *": "c1cnc2c(c1)ccc1cccnc12",
    "adamantane": "C1C2CC3CC1CC(C2)C3",
    "camphor *": "CC1(C)C2CCC1(C)C(=O)C2",
    "pentamethylcyclopentadienide": "Cc1c(C)c(C)[c-](C)c1C",
    "glucose": "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "caffeine *": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "anthracene": "c1ccc2cc3ccccc3cc2c1",
    "terpyridine *": "c1ccnc(c1)-c1cccc(n1)-c1ccccn1",
    "azobenzene": "c1ccc(cc1)N=Nc1ccccc1",
    "pyrene": "c1cc2ccc3cccc4ccc(c1)c2c34",
    "1,3,5-tri-tert-butylbenzene": "CC(C)(C)c1cc(cc(c1)C(C)(C)C)C(C)(C)C",
    "18-crown-6 *": "C1COCCOCCOCCOCCOCCO1",
    "tetrabutylammonium": "CCCC[N+](CCCC)(CCCC)CCCC",
    "triphenylphosphine": "c1ccc(cc1)P(c1ccccc1)c1ccccc1",
    "tetraphenylphosphonium *": "c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1",
    "tetraphenylborate": "c1ccc(cc1)[B-](c1ccccc1)(c1ccccc1)c1ccccc1",
    "tri-tert-butylphosphine": "CC(C)(C)P(C(C)(C)C)C(C)(C)C",
    "dibenzylidene acetone *": "O=C(C=Cc1ccccc1)C=Cc1ccccc1",
    "maltose": (
        "OC[C@H]1O[C@H](O[C@H]2[C@H](O)[C@@H](O)[C@H](O)O[C@@H]2CO)[C@H](O)[C@@H](O)[C@@H]1O"
    ),
    "perylene": "c1cc2cccc3c4cccc5cccc(c(c1)c23)c45",
    "cholesterol": (
        "CC(C)CCC[C@@H](C)[C@H]1CC[C@H]2[C@@H]3CC=C4C[C@@H](O)CC[C@]4(C)[C@H]3CC[C@]12C"
    ),
}
#: Bond lengths [Å] that the force fields miss, from the first atom of the list outwards in
#: the directions that follow.
OCTAHEDRON = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
TETRAHEDRON = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
LINE = [[1, 0, 0], [-1, 0, 0]]
BY_HAND = {
    "carbon dioxide": ("C", [("O", 1.16)] * 2, LINE),
    "carbon disulfide": ("C", [("S", 1.553)] * 2, LINE),
    "thiocyanate": ("C", [("S", 1.65), ("N", 1.16)], LINE),
    "tetrafluoroborate": ("B", [("F", 1.39)] * 4, TETRAHEDRON),
    "hexafluorophosphate": ("P", [("F", 1.60)] * 6, OCTAHEDRON),
}
#: Longest edge of the box, with its van der Waals skin, at which a group ends [Å].
GROUPS = {"tiny": 5.9, "small": 7.0, "medium": 9.1, "large": 11.5, "very large": np.inf}

#: Diameter of the site [Å].
ATOMS = {"O": 3.6, "Cl": 3.9, "Fe *": 4.0, "Pb": 4.4}

#: A, B, X and the cubic lattice parameter [Å].
PEROVSKITES = [
    ("Sr", "Ti", "O", 3.905),
    ("Ba", "Ti", "O", 4.000),
    ("Ca", "Ti", "O", 3.840),
    ("La", "Al", "O", 3.790),
    ("K", "Nb", "O", 4.015),
    ("K", "Mg", "F", 3.989),
    ("Ba", "Zr", "O *", 4.192),
    ("Sr", "Fe", "O *", 3.850),
]


def placed(centre, neighbours, directions):
    """Elements and positions [Å] of a centre with atoms round it."""
    positions = [np.zeros(3)]
    for (_, length), direction in zip(neighbours, directions, strict=True):
        positions.append(length * np.array(direction) / np.linalg.norm(direction))
    return [centre, *(element for element, _ in neighbours)], on_axes(np.array(positions))


def embedded(smiles):
    """Elements and positions [Å] of a relaxed conformer on its principal axes."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=SEED) != 0:
        AllChem.EmbedMolecule(molecule, randomSeed=SEED, useRandomCoords=True)
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule, maxIters=5000)
    else:
        AllChem.UFFOptimizeMolecule(molecule, maxIters=5000)
    elements = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    positions = molecule.GetConformer().GetPositions()
    return elements, on_axes(positions)


def on_axes(positions):
    """Positions centred on their mean and turned to their principal axes."""
    positions -= positions.mean(axis=0)
    _, axes = np.linalg.eigh(positions.T @ positions)
    # Longest along x; a rotation, not a reflection; the first atom decides the signs.
    axes = axes[:, ::-1] * np.where(positions[0] @ axes[:, ::-1] < 0, -1, 1)
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return positions @ axes


def box(elements, positions):
    """Edges of the box that holds the molecule with its van der Waals skin [Å]."""
    radii = np.array([gemmi.Element(e).vdw_r for e in elements])[:, None]
    return (positions + radii).max(axis=0) - (positions - radii).min(axis=0)


def entry(name, group, elements, positions, cell, **more):
    return {
        "name": name.removesuffix(" *"),
        "group": group,
        "held_out": name.endswith(" *"),
        "cell": [round(float(x), 3) for x in cell],
        "elements": " ".join(elements),
        "positions": [[round(float(x), 4) for x in row] for row in positions],
        **more,
    }


def main():
    entries = []
    for name, smiles in FRAGMENTS.items():
        hand = BY_HAND.get(name.removesuffix(" *"))
        elements, positions = placed(*hand) if hand else embedded(smiles)
        cell = box(elements, positions)
        group = next(group for group, end in GROUPS.items() if max(cell) <= end)
        entries.append(entry(name, group, elements, positions, cell, smiles=smiles))
    for name, diameter in ATOMS.items():
        symbol = name.removesuffix(" *")
        entries.append(entry(name, "atoms", [symbol], np.zeros((1, 3)), [diameter] * 3))
    for a, b, x, edge in PEROVSKITES:
        star = " *" if x.endswith(" *") else ""
        x = x.removesuffix(" *")
        half = edge / 2
        positions = np.array([[half] * 3, [0] * 3, *np.eye(3) * half])
        name = f"{a}{b}{x}3{star}"
        entries.append(entry(name, "perovskites", [a, b, x, x, x], positions, [edge] * 3))
    lines = ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in entries)
    TARGET.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    for group in [*GROUPS, "atoms", "perovskites"]:
        members = [e for e in entries if e["group"] == group]
        held = [e["name"] for e in members if e["held_out"]]
        print(f"{group}: {len(members)}, held out: {', '.join(held)}")
        print("   ", ", ".join(f"{e['name']} {max(e['cell']):.1f}" for e in members))


if __name__ == "__main__":
    main()
