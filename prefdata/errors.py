"""The errors that users see, and the exit code each one ends a command with.

PrefdataError                the message is the whole story; it is printed without a traceback
├── UsageError        exit 2 an option, a mapping or a configuration is wrong
├── InputError        exit 3 an input cannot be read at all (a row that cannot be read is a reject, not an error)
├── ProviderError     exit 4 the servers gave up (key, quota, circuit open): what was paid is in the journal, the command resumes
├── BudgetError       exit 4 the budget is spent: as above
└── AccountError      exit 70 the counts do not balance: a bug in prefdata, and no output is written
"""

EXIT_INTERRUPTED = 130


class PrefdataError(Exception):
    """Base of every error that is reported as one message."""

    exit_code = 70


class UsageError(PrefdataError):
    """Something on the command line or in a configuration is wrong; the message says what to type next."""

    exit_code = 2


class InputError(PrefdataError):
    """An input cannot be read; the message names the file and the reason."""

    exit_code = 3


class ProviderError(PrefdataError):
    """No server will answer: a wrong key, no quota, all circuits open. Replies so far are in the journal."""

    exit_code = 4


class BudgetError(PrefdataError):
    """The next request does not fit into the budget. Replies so far are in the journal."""

    exit_code = 4


class AccountError(PrefdataError):
    """read != kept + dropped + rejected: nothing is written, because a row would be lost or invented."""

    exit_code = 70
