class LakeError(ValueError):
    """A lake that cannot be read or written; the message is one line and names the address."""
