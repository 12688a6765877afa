"""A small folder of installed packages that stands for an environment."""

from __future__ import annotations

SIZES = {"max_documents": 100, "min_train_queries": 2, "n_test_queries": 4}

BOAT = '''
"""Boats."""
raise RuntimeError("sources are read, not imported")

def row_boat(oars, *, river="Thames"):
    """Move the boat over the water by muscle.

    Parameters
    ----------
    oars : int
        How many of them row_boat may use; an odd number makes circles.
    """
    return [river] * oars

def moor(rope, post, *, knots=("bowline", "clove hitch", "cleat hitch"), strength_of_rope_in_newton=10): return post

class Anchor(object):
    """A heavy thing that keeps ships in their place. Made of iron, with two arms and a chain of forty rusty links."""

    def drop(self, depth):
        """Let it go down to the ground of the sea. The chain must be three times as long as the water is deep."""
        return self.chain - depth
'''

KITE = '''
def fly(wind, line):
    """Keep a kite in the air for an hour. The line must be stronger than the wind, or else the kite is lost."""
    return wind < line

def fold(paper, corners):
    """Make a kite from a sheet of paper. Corners go to the middle first, and afterwards the sticks are glued on."""
    return paper * corners

def land(kite, field):
    """Get the toy down without a scratch. Walk towards it while winding up the line, slowly at the very end."""
    return kite in field

def mend(kite, tape):
    """Repair a hole in the sail with tape. Dry the cloth before this, and cut round corners so that nothing peels."""
    return kite + tape
'''

DRUM = '''
def beat(drum, sticks):
    """Hit the skin with two sticks. Left and right take turns, sixteen times in each bar, louder on the first."""
    return drum * sticks
'''

GONG = '''
def strike(gong, hammer):
    """Hit the skin with two sticks. The author had copied the first sentence and corrected only this second one."""
    return hammer.swing(gong)
'''


def install(site, name, version, files):
    """Write the files of a package, and the metadata by which it is found."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for place, source in files.items():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        (site / place).write_text(source)
    (info / "RECORD").write_text("".join(f"{place},,\n" for place in files))


def small_site(folder):
    """Six packages: three queries are about boats, one is about a drum, and four are about kites."""
    install(folder, "Boat", "1.0", {"boat/__init__.py": BOAT, "boat/tests/test_boat.py": KITE})
    install(folder, "drum", "2.0", {"drum.py": DRUM, "drum_data.txt": "bang"})
    for name, function in (("kite", "fly"), ("kite_a", "fold"), ("kite_b", "land"), ("kite_c", "mend")):
        parts = [part for part in KITE.split("\n\n") if f"def {function}" in part]
        install(folder, name, "0.1", {f"{name}/__init__.py": "", f"{name}/core.py": parts[0]})
    return folder
