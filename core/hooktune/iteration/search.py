"""The hyper-parameters of the next runs, and the reading of those that a user gives."""

import json
import logging
import math
import random
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hooktune.contract.fields import allowed_in_words, reason_in_words
from hooktune.contract.search_space import SearchChoices, SearchMark, search_mark
from hooktune.errors import RequestError, did_you_mean

logger = logging.getLogger(__name__)

_SIGNIFICANT_DIGITS: Final = 3
_DRAWS_PER_SET: Final = 50


def first_params(
    model_class: type[BaseModel], count: int, seed: int, fixed: Mapping[str, Any]
) -> list[BaseModel]:
    """Return the sets of hyper-parameters that an iteration tries when nothing is known yet.

    The first one holds the defaults, the others random draws of what is marked `SearchRange` or
    `SearchChoices`; a draw that a validator of the class refuses is made again. A longer list
    begins with the shorter one of the same seed.

    Args:
        model_class: What a method's `hyper_parameters` returned.
        count: How many sets.
        seed: The seed of the draws.
        fixed: Parameters that have the same value in every set, as `parse_params` returns them.

    Returns:
        Different sets; fewer than asked for where no more were found, in so many draws.
    """
    generator = random.Random(seed)
    searched = {
        name: mark
        for name, field in model_class.model_fields.items()
        if name not in fixed and (mark := search_mark(field)) is not None
    }
    found, refusal = [model_class(**fixed)][:count], ""
    for _ in range(_DRAWS_PER_SET * count if searched else 0):
        if len(found) == count:
            break
        drawn = {
            name: _draw(mark, model_class.model_fields[name], generator)
            for name, mark in searched.items()
        }
        try:
            params = model_class(**fixed, **drawn)
        except ValidationError as error:
            refusal = "; ".join(reason_in_words(problem) for problem in error.errors())
            continue
        if params not in found:
            found.append(params)
    if refusal and len(found) < count:
        logger.warning(
            "only %d of %d sets of hyper-parameters were found, as %s refuses many draws, such as "
            "one for this reason: %s. Narrow its search ranges to what fits together.",
            len(found), count, model_class.__name__, refusal,
        )  # fmt: skip
    return found


def _draw(mark: SearchMark, field: FieldInfo, generator: random.Random) -> Any:
    if isinstance(mark, SearchChoices):
        return generator.choice(mark.values)
    if mark.log:
        value = math.exp(generator.uniform(math.log(mark.low), math.log(mark.high)))
    else:
        value = generator.uniform(mark.low, mark.high)
    if field.annotation is int or field.annotation == int | None:
        return min(max(round(value), math.ceil(mark.low)), math.floor(mark.high))
    rounded = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    return min(max(rounded, mark.low), mark.high)


def parse_params(model_class: type[BaseModel] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the hyper-parameters that a user gave, and bring each to its field's type.

    Args:
        model_class: What a method's `hyper_parameters` returned; None for a method without any.
        given: Values by name. A text is read as the field's type; `none` stands for no value, and
            a list is written as JSON.

    Raises:
        RequestError: There is no such parameter, or a value is ill-typed or out of bounds.
    """
    if model_class is None:
        if given:
            raise RequestError(f"The method has no parameters, but {_named(given)} was given.")
        return {}
    for name in given:
        if name not in model_class.model_fields:
            raise RequestError(
                f"There is no parameter {name!r}. {did_you_mean(name, model_class.model_fields)}"
            )
    parsed = {name: _parse(model_class, name, value) for name, value in given.items()}
    try:
        model = model_class(**parsed)
    except ValidationError as error:
        reason = "; ".join(reason_in_words(problem) for problem in error.errors())
        raise RequestError(
            f"The parameters {_named(given)} do not fit together: {reason}"
        ) from error
    return {name: getattr(model, name) for name in parsed}


def _parse(model_class: type[BaseModel], name: str, given: Any) -> Any:
    """Return the first reading of a value that its field accepts."""
    problems = []
    for value in _readings(given):
        try:
            model_class(**{name: value})
        except ValidationError as error:
            of_field = [problem for problem in error.errors() if problem["loc"][:1] == (name,)]
            if of_field:
                problems.append(" or ".join(map(reason_in_words, of_field)))
                continue
        return value
    raise RequestError(
        f"The parameter {name} cannot be {given!r}: {problems[0]}."
        f" {allowed_in_words(model_class.model_fields[name])}"
    )


def _readings(given: Any) -> list[Any]:
    if not isinstance(given, str):
        return [given]
    if given.casefold() in ("none", "null"):
        return [given, None]
    try:
        return [given, json.loads(given)]
    except ValueError:
        return [given]


def _named(given: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in given)
