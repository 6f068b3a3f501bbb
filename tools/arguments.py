"""Checks of the command line that several scripts share; each ends the script with the parser's own one-line error."""

import os


def require_config_file(parser, path):
    if not os.path.isfile(path):
        parser.error(f"--config-file: no such file: {path!r}")


def require_new_output(parser, path):
    if os.path.exists(path):
        parser.error(f"--output {path}: is already there; remove it or name another")
