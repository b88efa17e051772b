"""The dispatcher of the first release: filters by name, as one call. A thin layer over the one registry."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, create_model

from sensetrack.errors import ConfigError, InputError, one_line
from sensetrack.ot.image_processing.base import PREPROCESSORS, Preprocessor, get_preprocessor, register
from sensetrack.ot.interfaces import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["PreprocessDispatcher", "dispatcher", "whole_image"]


class WholeImage(Preprocessor):
    """A function that filters an image as a whole; its result is kept in memory and cut."""

    function: ClassVar[Callable[..., Any]]
    """Called with the image and the parameters."""

    def fit(self, image: Image) -> NDArray[np.float64]:
        """Call the function on a copy of the image, NaN where not valid."""
        values, valid = image.read(slice(0, image.height), slice(0, image.width))
        pixels = np.where(valid, values, np.nan).astype(np.float64)
        function = type(self).function
        first = _parameters(function)[0]
        given = image.with_data(pixels) if _wants_image(first) else pixels
        options = {name: getattr(self, name) for name in type(self).model_fields}
        by_name = first.kind is inspect.Parameter.KEYWORD_ONLY
        result = function(**{first.name: given}, **options) if by_name else function(given, **options)
        out = np.asarray(result.image if isinstance(result, Image) else result, np.float64)
        if out.shape != values.shape:
            message = f"{self.name} must return an array of shape {values.shape}, instead got {out.shape}"
            raise InputError(message)
        if bad := int(np.count_nonzero(valid & ~np.isfinite(out))):
            message = f"{self.name} must return a number for every usable pixel, instead got none for {bad} of them"
            raise InputError(message)
        return out

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Cut the first window of this size from the result."""
        return self.apply_at(values, valid, fitted, (0, 0))

    def apply_at(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_],  # noqa: ARG002
        fitted: Any,
        origin: tuple[int, int],
    ) -> NDArray[Any]:
        """Cut the window from the result."""
        rows, cols = (slice(start, start + size) for start, size in zip(origin, values.shape, strict=True))
        return np.asarray(fitted[rows, cols])


def whole_image(name: str, function: Callable[..., Any]) -> type[Preprocessor]:
    """Make a filter of a function.

    Parameters
    ----------
    name : str
        What the filter is called.
    function : callable
        Takes an image as its first parameter and returns an array (rows, cols) or an `Image`. It gets an `Image`
        where that parameter is called ``array`` or ``image`` or annotated as one, else an array (rows, cols) of
        float64, NaN where not valid. All its other parameters are parameters of the filter.
    """
    fields: dict[str, Any] = {}
    for other in _parameters(function)[1:]:
        if hasattr(WholeImage, other.name) or other.name.startswith("_"):
            message = f"a parameter of the filter {one_line(name)} cannot be called {other.name}"
            raise ConfigError(message)
        default = ... if other.default is inspect.Parameter.empty else other.default
        title = f"{other.name} of {getattr(function, '__name__', name)}"
        fields[other.name] = (Any, Field(default, description=title))
    made = create_model(
        name,
        __base__=WholeImage,
        __doc__=inspect.getdoc(function) or f"{name}, a function that filters an image as a whole.",
        __module__=getattr(function, "__module__", __name__),
        **fields,
    )
    made.name, made.function = name, staticmethod(function)
    return made


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the image's parameter and those that can be given by name."""
    try:
        first, *others = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        message = f"a filter must be a function of an image, instead got {one_line(repr(function))[:80]}"
        raise ConfigError(message) from error
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return [first, *(other for other in others if other.kind in named)]


def _wants_image(parameter: inspect.Parameter) -> bool:
    said = parameter.annotation
    if said is inspect.Parameter.empty:
        return parameter.name in ("array", "image")
    return said is Image or str(said).rpartition(".")[2] == "Image"


class PreprocessDispatcher:
    """Runs filters by name.

    Everything in `sensetrack.ot.image_processing.PREPROCESSORS` can be run, and what is registered here is there.
    """

    @property
    def processes(self) -> dict[str, type[Preprocessor]]:
        """The known filters by name."""
        return dict(PREPROCESSORS)

    def register(self, name: str, process: type[Preprocessor] | Callable[..., Any]) -> None:
        """Make a filter known by a name.

        Parameters
        ----------
        name : str
        process : type[Preprocessor] or callable
            A filter class, or a function that filters an image as a whole (see `whole_image`).

        Raises
        ------
        ConfigError
            `process` is neither.
        """
        key = name.lower()
        if isinstance(process, type) and issubclass(process, Preprocessor):
            known = process.__dict__.get("name", "")
            register(process if known.lower() == key else type(process.__name__, (process,), _alias(process, key)))
        elif callable(process) and not isinstance(process, type):
            register(whole_image(key, process))
        else:
            message = f"process must be a Preprocessor class or a function, instead got {one_line(repr(process))[:80]}"
            raise ConfigError(message)

    def dispatch_process(self, name: str, *, array: Image, **parameters: Any) -> Image:
        """Filter an image.

        Parameters
        ----------
        name : str
            Of the filter; upper and lower case are the same.
        array : Image
            One band. Never changed.
        **parameters
            Of the filter.

        Returns
        -------
        Image
            float32 in memory, on the same grid, with the same valid pixels; NaN where not valid.

        Raises
        ------
        ConfigError
            No such filter (the known ones are named), no such parameter, or a bad value.
        """
        filtered = get_preprocessor(name).from_dict(parameters)(array)
        return array.with_data(filtered.image)


def _alias(process: type[Preprocessor], name: str) -> dict[str, Any]:
    return {"name": name, "__doc__": process.__doc__, "__module__": process.__module__}


dispatcher = PreprocessDispatcher()
"""The dispatcher that scripts import."""
