"""What is wrong with a dataset, and what a library says of a file that it cannot read, in one line."""

MAX_LETTERS = 500  # of what a library says


class AVSDatasetError(ValueError):
    """The dataset on disk, or what was asked of it, is not as it must be."""


def reason_of(error: BaseException) -> str:
    """The error's type and the first line of what it says.

    Of torch's many paragraphs it is the second, which says what was found, not how to read it all the same.
    """
    paragraphs = [part.strip() for part in str(error).split("\n\n") if part.strip()] or [repr(error)]
    told = paragraphs[1] if paragraphs[0].startswith("Weights only load failed") and paragraphs[1:] else paragraphs[0]
    return f"{type(error).__name__}: {one_line(told.splitlines()[0])}"


def one_line(text: object) -> str:
    """A text that a file may have chosen, fit to be printed: no line ends, no control characters, not too long."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 2 * MAX_LETTERS])
    told = " ".join(printable.split())
    return told if len(told) <= MAX_LETTERS else f"{told[:MAX_LETTERS]}..."
