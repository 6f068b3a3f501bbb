"""The shipped configs by their names, as in Detectron2's model zoo: wherever the package is installed."""

import difflib
from pathlib import Path

from detectron2.config import CfgNode, get_cfg

from .config import add_transavs_config

_PACKAGE = Path(__file__).resolve().parent


def get_config_file(config_path: str) -> str:
    """
    Args:
        config_path: a name relative to the configs folder, such as "avs_s4_R101.yaml" or "toy/toy_s4_R18.yaml".

    Returns:
        The path of that file on this machine.

    Raises:
        ValueError: there is no such config; the message names those with similar names.
        FileNotFoundError: the package was installed without its configs.
    """
    folder = _configs_folder()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    if config_path not in names:
        raise ValueError(f"no config is called {config_path!r}; {_suggestion(config_path, names)}")
    return str(folder / config_path)


def get_config(config_path: str) -> CfgNode:
    """The config that one of the shipped files gives, with the files that it builds upon.

    Args:
        config_path: as of `get_config_file`.

    Returns:
        A new config, to be changed at will.

    Raises:
        ValueError, FileNotFoundError: as of `get_config_file`.
    """
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(get_config_file(config_path))
    return cfg


def _configs_folder() -> Path:
    """Inside the package when it was installed from a wheel; in a checkout, the repository's own."""
    candidates = [_PACKAGE / "configs", _PACKAGE.parent.parent.parent / "configs"]
    for folder in candidates:
        if (folder / "Base-TransAVS.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no configs folder at {' or '.join(map(str, candidates))}: install the package again")


def _suggestion(config_path: str, names: list[str]) -> str:
    """What was probably meant: names that are similar, or end in the same file name."""
    same_file = [name for name in names if Path(name).name == Path(config_path).name]
    close = same_file or difflib.get_close_matches(config_path, names, n=4, cutoff=0.5)
    return f"close to it: {', '.join(close)}" if close else f"there are: {', '.join(names)}"
