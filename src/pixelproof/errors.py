"""All errors that a person's input, or the place where this runs, can cause.

    PixelproofError
    ├── PipelineError    1   a stage of the pipeline failed
    ├── ParameterError   2   a parameter or the usage
    ├── DataError        3   an image, a data folder, weights
    ├── ServiceError     4   MLflow, Prefect, a remote
    ├── IntegrityError   5   bytes that are not those that were written
    └── NumericalError   6   NaN, infinity

The number is the exit code of the command line, which prints the message alone.
A message says what was expected, what came, where, and what to do.
"""


class PixelproofError(Exception):
    """Base class; never raised directly."""

    exit_code = 1


class PipelineError(PixelproofError):
    """A stage of the pipeline failed."""


class ParameterError(PixelproofError, ValueError):
    """A key of `params.yaml` or an argument is not what it must be."""

    exit_code = 2


class DataError(PixelproofError):
    """An image, a folder of images or a file of weights cannot be used."""

    exit_code = 3


class ServiceError(PixelproofError):
    """A service that the work needs does not answer as it should."""

    exit_code = 4


class IntegrityError(PixelproofError):
    """A file does not hold what its checksum says was written."""

    exit_code = 5


class NumericalError(PixelproofError):
    """A loss, a gradient or a metric is not finite."""

    exit_code = 6


def one_line(message: str) -> str:
    """The message with what would break the line or the terminal, as in odd names, escaped."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in message)
