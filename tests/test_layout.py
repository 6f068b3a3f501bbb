"""The rooms of the house: what may import what, and how long a file may be."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "projects" / "TransAVS" / "transavs"

# From the top to the bottom. A module imports from its own room and from lower layers only, so that there is no circle.
LAYERS = (
    ("web", "benchmarks", "lake"),
    ("command_line", "model_zoo"),
    ("engine",),
    ("export", "weights"),
    ("model",),
    ("visualization", "data.synthetic"),
    ("evaluation",),
    ("modeling", "losses", "inference", "tracking"),
    ("config", "data", "video"),
)
LAYER_OF = {room: number for number, rooms in enumerate(reversed(LAYERS)) for room in rooms}
MAX_LINES = 300


def python_files():
    folders = (PACKAGE.parent, ROOT / "tools", ROOT / "datasets", ROOT / "tests")
    return [ROOT / "setup.py", *(path for folder in folders for path in folder.rglob("*.py"))]


def module_of(path):
    """A module's name inside the package: "data.audio" of transavs/data/audio.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(module):
    """The longest part of a module's name that is a room; None where there is none."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in LAYER_OF), None)


def imports_of(path):
    """Full names of all that a file imports, wherever in the file: "transavs.data.audio.read_waveform"."""
    package = ("transavs", *path.relative_to(PACKAGE).parent.parts) if path.is_relative_to(PACKAGE) else ()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, node.module) if node.module else above)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_a_room():
    modules = [module_of(path) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"]
    assert len(modules) > 30
    assert [module for module in modules if room_of(module) is None] == []


def test_imports_run_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = room_of(module_of(path))
        for name in imports_of(path):
            other = room_of(name.removeprefix("transavs.")) if name.startswith("transavs.") else None
            if room and other and other != room and LAYER_OF[other] >= LAYER_OF[room]:
                wrong.append(f"{module_of(path)} imports {name}")
    assert wrong == []


def test_the_order_is_that_of_the_design():
    """Losses and metrics are used without a model, a model without a trainer, all of it without a command."""
    for upper, lower in [
        ("web", "engine"),
        ("benchmarks", "engine"),
        ("lake", "engine"),
        ("engine", "model"),
        ("weights", "model"),
        ("model", "modeling"),
        ("model", "losses"),
        ("model", "inference"),
        ("engine", "visualization"),
        ("engine", "video"),
        ("engine", "evaluation"),
    ]:
        assert LAYER_OF[upper] > LAYER_OF[lower]


def test_nothing_imports_a_command():
    commands = {path.stem for folder in ("tools", "datasets") for path in (ROOT / folder).glob("*.py")}
    importing = [path for path in python_files() if not path.is_relative_to(ROOT / "tests")]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in importing
        for name in imports_of(path)
        if name.split(".")[0] in commands
    ]
    assert wrong == []


def test_no_file_is_too_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
