"""Every error and warning of the package, and the exit code each one ends a command with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


def one_line(text: object) -> str:
    """Return `text` with control characters escaped, so that a hostile file name stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class SenseTrackError(Exception):
    """Base of every error that is not a bug of ours.

    Parameters
    ----------
    cause : str
        What rule was broken and the value found, one clause.
    path : path-like, optional
        The file the error is about; named first in the message.
    advice : str, optional
        What the user can do; named last.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, *, path: str | PathLike[str] | None = None, advice: str | None = None) -> None:
        super().__init__(cause)
        self.cause, self.path, self.advice = cause, path, advice

    def __str__(self) -> str:
        head = "" if self.path is None else f"{one_line(self.path)}: "
        tail = "" if self.advice is None else f"; {one_line(self.advice)}"
        return f"{head}{one_line(self.cause)}{tail}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders with their path and advice.
        return _rebuild, (type(self), self.cause, self.path, self.advice)


def _rebuild(
    cls: type[SenseTrackError], cause: str, path: str | PathLike[str] | None, advice: str | None
) -> SenseTrackError:
    return cls(cause, path=path, advice=advice)


class ConfigError(SenseTrackError, ValueError):
    """Unknown key (the known ones are named), bad value, or an output that exists already."""

    exit_code = 2


class MemoryLimitError(ConfigError):
    """A job that needs more memory than it may take."""


class InputError(SenseTrackError, ValueError):
    """An input that is unreadable or does not fit the job."""

    exit_code = 3


class ProductNameError(InputError):
    """A name that is not one of a product known here."""


class UnsafeInputError(InputError):
    """An input that asks for more than reading one local file of an expected format."""


class MetadataError(InputError):
    """A field of the metadata is missing or unreadable."""


class GridMismatchError(InputError):
    """Two images that do not share shape, transform and CRS."""


class NoOverlapError(InputError):
    """Two images with no ground in common."""


class NoMatchError(InputError):
    """There is nothing that could be matched."""


class BatchError(SenseTrackError):
    """Some pairs of a batch failed; the report names each."""

    exit_code = 4


class EnvironmentFault(SenseTrackError, RuntimeError):  # noqa: N818  EnvironmentError is OSError
    """Disk, permission, memory, network or another program failed us."""

    exit_code = 5


class EngineNotFoundError(EnvironmentFault):
    """Another program that was asked for is not installed."""


class EngineFailedError(EnvironmentFault):
    """Another program failed, or left no result.

    Parameters
    ----------
    cause, path, advice
        As for every error.
    command : sequence of str
        What was run.
    code : int, optional
        The exit code of the program; negative for a signal.
    log : path-like, optional
        The file with everything it has said.
    lines : sequence of str
        The last lines of it.
    """

    def __init__(
        self,
        cause: str,
        *,
        path: str | PathLike[str] | None = None,
        advice: str | None = None,
        command: Sequence[str] = (),
        code: int | None = None,
        log: str | PathLike[str] | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        super().__init__(cause, path=path, advice=advice)
        self.command, self.code, self.log, self.lines = tuple(command), code, log, tuple(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return *super().__reduce__(), {name: vars(self)[name] for name in ("command", "code", "log", "lines")}


class DownloadError(EnvironmentFault):
    """Something could not be fetched."""


class OutputError(EnvironmentFault):
    """A result cannot be written."""


class SenseTrackWarning(UserWarning):
    """Base of the warnings; each is recorded in the run record."""


class NoGeoreferenceWarning(SenseTrackWarning):
    """Results stay in pixels because the images do not say where they are."""


class ResampledWarning(SenseTrackWarning):
    """The secondary was warped onto the grid of the reference."""


class ComponentWarning(SenseTrackWarning):
    """A band that was chosen is one component of complex data, not an amplitude."""


class NameMismatchWarning(SenseTrackWarning):
    """The name of a product says something else than its metadata; the metadata count."""


class UnlikePairWarning(SenseTrackWarning):
    """Two scenes were paired that differ in something that can pass for motion."""


class MissingMaskWarning(SenseTrackWarning):
    """A mask that was asked for is not in the product."""


class OrbitWarning(SenseTrackWarning):
    """A better orbit than the one that is used was asked for or should be: positions on the ground suffer."""


class PlaceWarning(SenseTrackWarning):
    """A product is placed on the ground less well than its pixels are large."""


class NothingMatchedWarning(SenseTrackWarning):
    """Not one post passed every test."""
