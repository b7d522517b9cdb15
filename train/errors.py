"""What ends a command of `python -m train` with one sentence."""


class CommandError(Exception):
    """A command cannot be carried out; the message is one sentence for the user."""
