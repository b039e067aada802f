"""The hyper-parameters that a user gives, and the names of sets of them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from hooktune.contract.fields import allowed_in_words, reason_in_words
from hooktune.errors import RequestError, did_you_mean


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


def run_name(params: BaseModel | None, code: str | None) -> str:
    """Name a run by what tells it apart from the others of its iteration.

    Args:
        params: Its hyper-parameters.
        code: The digest of a method in a file, which changes with every edit; None for others.
    """
    return describe_params(params) + ("" if code is None else f" ({code})")


def describe_params(params: BaseModel | None) -> str:
    """Name a set of hyper-parameters by what differs from the defaults."""
    if params is None:
        return "defaults"
    fields = type(params).model_fields
    changed = [
        f"{name}={getattr(params, name)}"
        for name, info in fields.items()
        if getattr(params, name) != info.get_default(call_default_factory=True, validated_data={})
    ]
    return ", ".join(changed) or "defaults"
