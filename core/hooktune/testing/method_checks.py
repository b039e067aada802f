"""The checks of a method, each told by its name, in the order in which they are run."""

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from hooktune.contract.sessions import Sessions
from hooktune.errors import HooktuneError
from hooktune.processes import scratch_folder
from hooktune.testing import sessions_to_survive
from hooktune.testing.params_check import check_params
from hooktune.testing.report import Check, Fault, check_of
from hooktune.testing.shared_checks import light_import, surroundings_left_alone
from hooktune.testing.trial import SEED, Trial, embeddings
from hooktune.tracking.models.loading import quiet_loading

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_PICKLES: Final = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_STEPS_TO_STOP: Final = 2
_QUESTIONS_TO_STOP: Final = 5
_TOLERANCE: Final = 1e-5


def hooks(trial: Trial) -> None:
    """Have all required hooks, with arguments that the host hands over."""
    _ = trial.host


def hyper_parameters(trial: Trial) -> None:
    """Describe hyper-parameters that can be searched, validated and recorded."""
    space = trial.host.hyper_parameters()
    if space is not None:
        check_params(space)
    _ = trial.params


def initial_model(trial: Trial) -> None:
    """Return the initial model that the user named."""
    try:
        trial.starting_model = trial.initial_model()
    except HooktuneError as error:
        raise Fault(
            f"upload_initial_model has to load the model that the user named, a folder in "
            f"settings.initial_model, and failed: {error} Load `settings.initial_model or` your "
            "own choice; a method that cannot tune the tiny model is checked with model=... and "
            "skip=['initial_model']."
        ) from error


def fit_batch(trial: Trial) -> None:
    """Tune a model and return it."""
    try:
        _ = trial.first_fit
    except HooktuneError as error:
        raise Fault(
            f"fit_batch has to tune a tiny model on {len(trial.parts[0])} made-up sessions and "
            f"return it. {error} Mend what it raises, and end with `return model`."
        ) from (error.__cause__ or error)


def main_metric(trial: Trial) -> None:
    """Be judged by a metric that is computed."""
    name, metrics = trial.main_metric.name, trial.first_fit.metrics
    if name not in metrics:
        raise Fault(
            f"the main metric {name!r} is not among those of the returned model: "
            f"{', '.join(sorted(metrics))}. Compute it in the method's compute_metrics, without "
            "its prefix test_, or declare another one in main_metric."
        )


def weights_changed(trial: Trial) -> None:
    """Return another model than was given."""
    # A method may keep the starting model where a batch has too few queries to learn from.
    if _is_unchanged(trial, trial.first_fit.model) and _is_unchanged(
        trial, trial.fit(sessions_to_survive.many_queries()).model
    ):
        raise Fault(
            "the returned model gives the same embeddings as the starting model. Return the model "
            "that was trained, and see that the optimizer is given its weights, that backward() "
            "reaches them and that the learning rate is above zero in the first steps."
        )


def _is_unchanged(trial: Trial, model: "SentenceTransformer") -> bool:
    test = trial.parts[1]
    return np.array_equal(embeddings(trial.starting_model, test), embeddings(model, test))


def deterministic(trial: Trial) -> None:
    """Give the same weights for the same seed."""
    import torch

    first = trial.first_fit.model.state_dict()
    second = trial.fit(trial.parts[0]).model.state_dict()
    differing = [
        name
        for name in first | second
        if name not in first or name not in second or not torch.equal(first[name], second[name])
    ]
    if differing:
        raise Fault(
            f"two runs with the seed {SEED} gave other weights ({_few(differing)}). Let all that "
            "is random follow run.seed, give every generator a seed, keep nothing from one run to "
            "the next, and sort what comes out of a set."
        )


def batch_unchanged(trial: Trial) -> None:
    """Leave the batch's arrays alone."""
    changed = trial.first_fit.changed_columns
    if changed:
        raise Fault(
            f"fit_batch changed {_few(changed)} of its batch, which all runs of an iteration "
            "share. Work on a copy: array.copy()."
        )


def metric_names(trial: Trial) -> None:
    """Log numbers by names that the store takes, at steps."""
    for problem in trial.first_fit.refused:
        raise Fault(f"run.log refuses what it was given: {problem}.")


def metrics_finite(trial: Trial) -> None:
    """Log no NaN and nothing infinite."""
    for metrics, step in trial.first_fit.points:
        for name, value in metrics.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise Fault(
                    f"the metric {name!r} is {value} at step {step}. Leave out a metric that is "
                    "undefined, divide by no count that may be 0, and lower a learning rate that "
                    "lets the loss overflow; a model with a NaN is never kept."
                )


def observers(trial: Trial) -> None:
    """Wrap hooks without failing and without changing their results."""
    failures = trial.host.failures
    if failures:
        raise Fault(
            f"{failures[0]} A wrapper has one `yield`, returns what it gave and never fails."
        )


def stable_scores(trial: Trial) -> None:
    """Return a model that embeds a text in the same way each time."""
    model, test = trial.first_fit.model, trial.parts[1]
    if not np.array_equal(embeddings(model, test), embeddings(model, test)):
        raise Fault(
            "the returned model, in eval mode, embeds the same texts differently each time. Use "
            "nn.Dropout, which eval mode switches off, instead of functional.dropout, and remove "
            "hooks that add noise in training before the model is returned."
        )


def saves_and_loads(trial: Trial) -> None:
    """Return a model that is stored as safetensors and loads again without the plugin."""
    model, test = trial.first_fit.model, trial.parts[1]
    own = [type(module) for module in model if not _is_known(type(module))]
    if own:
        raise Fault(
            f"the returned model holds {own[0].__module__}.{own[0].__qualname__}, without which "
            "nobody can load it from the store. Build it of sentence-transformers' own modules, "
            "such as Dense, or fold its work into their weights."
        )
    with scratch_folder() as folder, quiet_loading():
        model.save_pretrained(str(folder))
        pickles = [path.name for path in folder.rglob("*") if path.suffix in _PICKLES]
        if pickles:
            raise Fault(
                f"the returned model is stored with a pickle, {pickles[0]}, which runs code when "
                "it is loaded. Use modules that save safetensors."
            )
        loaded = _loaded(str(folder))
        now, then = embeddings(loaded, test), embeddings(model, test)
    if now.shape != then.shape or not np.allclose(now, then, atol=_TOLERANCE):
        raise Fault(
            "the returned model, saved and loaded again, gives other embeddings. Whatever "
            "save_pretrained() does not write is lost: merge adapters into the weights they adapt "
            "(with peft: merge_and_unload()) and remove hooks and patched methods."
        )


def stops(trial: Trial) -> None:
    """Return the model soon when the user asks to stop."""
    sessions = sessions_to_survive.many_sessions()
    fit = trial.fit(sessions, stopped=True)
    steps = len({step for _, step in fit.points})
    mend = "Ask run.should_stop() at every step, and return the model when it says True."
    if not fit.asked:
        raise Fault(f"fit_batch never asks whether the user wants to stop. {mend}")
    if steps > _STEPS_TO_STOP or fit.asked > _QUESTIONS_TO_STOP:
        raise Fault(
            f"run.should_stop() said True from the first step on, and fit_batch logged {steps} "
            f"steps and asked {fit.asked} times. {mend}"
        )


def one_session(trial: Trial) -> None:
    """Survive a batch with one session."""
    _survives(
        trial,
        sessions_to_survive.one_session(),
        "with one session",
        "Mind what divides by a count less one, or needs a full mini-batch.",
    )


def unicode_texts(trial: Trial) -> None:
    """Survive texts in many scripts."""
    _survives(
        trial,
        sessions_to_survive.unicode_texts(),
        "with texts in many scripts, emoji and invisible characters",
        "Keep texts as str, open files with encoding='utf-8' and leave all characters in.",
    )


def long_texts(trial: Trial) -> None:
    """Survive texts that are longer than the model reads."""
    _survives(
        trial,
        sessions_to_survive.long_texts(),
        "with texts longer than the model reads",
        "Let model.preprocess() or model.encode() cut them to model.max_seq_length.",
    )


def duplicate_queries(trial: Trial) -> None:
    """Survive a query that many sessions share."""
    _survives(
        trial,
        sessions_to_survive.duplicate_queries(),
        "with one query in all sessions",
        "Tell sessions apart by their places, never by the texts of their queries.",
    )


def single_results(trial: Trial) -> None:
    """Survive sessions that show nothing but one clicked result."""
    _survives(
        trial,
        sessions_to_survive.single_results(),
        "in which some sessions show one result only, a clicked one",
        "Pass over a session that has no other result to compare with.",
    )


def _survives(trial: Trial, sessions: Sessions, what: str, mend: str) -> None:
    try:
        metrics = trial.fit(sessions).metrics
    except HooktuneError as error:
        raise Fault(f"fit_batch fails on a batch {what}: {error} {mend}") from error
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise Fault(
            f"after a batch {what}, {_few(broken)} of the returned model is no finite number. "
            f"{mend}"
        )


def _loaded(folder: str) -> "SentenceTransformer":
    from hooktune.parts import load_sentence_transformer

    try:
        return load_sentence_transformer(folder, device="cpu", local_files_only=True)
    except Exception as error:
        raise Fault(
            f"the returned model is saved, but cannot be loaded again: {type(error).__name__}: "
            f"{error}. Return a whole model: merge adapters into the weights they adapt (with "
            "peft: merge_and_unload())."
        ) from error


def _is_known(module: type) -> bool:
    from hooktune.parts import OWN_MODULES

    return module in OWN_MODULES or module.__module__.partition(".")[0] == "sentence_transformers"


def _few(names: "list[str] | tuple[str, ...]") -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


METHOD_CHECKS: Final[tuple[Check[Trial], ...]] = (
    check_of(hooks),
    Check("light_import", light_import),
    check_of(hyper_parameters, "hooks"),
    check_of(initial_model, "hooks"),
    check_of(fit_batch, "hooks", "hyper_parameters", "initial_model"),
    check_of(main_metric, "fit_batch"),
    check_of(weights_changed, "fit_batch"),
    check_of(deterministic, "fit_batch"),
    *surroundings_left_alone("fit_batch"),
    check_of(batch_unchanged, "fit_batch"),
    check_of(metric_names, "fit_batch"),
    check_of(metrics_finite, "fit_batch"),
    check_of(observers, "fit_batch"),
    check_of(stable_scores, "fit_batch"),
    check_of(saves_and_loads, "fit_batch", "stable_scores"),
    check_of(stops, "fit_batch"),
    check_of(one_session, "fit_batch"),
    check_of(unicode_texts, "fit_batch"),
    check_of(long_texts, "fit_batch"),
    check_of(duplicate_queries, "fit_batch"),
    check_of(single_results, "fit_batch"),
)
