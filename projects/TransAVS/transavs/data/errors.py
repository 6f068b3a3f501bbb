"""What a library says of a file that it cannot read, in one line."""


def reason_of(error: BaseException) -> str:
    """The error's type and the first line of what it says.

    Of torch's many paragraphs it is the second, which says what was found, not how to read it all the same.
    """
    paragraphs = [part.strip() for part in str(error).split("\n\n") if part.strip()] or [repr(error)]
    told = paragraphs[1] if paragraphs[0].startswith("Weights only load failed") and paragraphs[1:] else paragraphs[0]
    return f"{type(error).__name__}: {told.splitlines()[0]}"
