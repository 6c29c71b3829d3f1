"""The one exception that the command line turns into a sentence."""


class UserMistake(ValueError):
    """Something the user can mend.

    The message is one sentence: what is wrong, where, what is allowed, how to mend it. The command line prints it
    without a traceback and exits with code 2; every other exception is a defect of ours and keeps its traceback.
    """
