import logging
import math
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Annotated

import numpy as np
import pytest
from plugin_zoo import METHODS, opened_zoo
from pydantic import BaseModel, Field

from hooktune import MainMetric, MethodSettings, MetricDescription, SearchRange, hookimpl
from hooktune.errors import PluginError, PluginRequestError, RequestError
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin, given_plugin
from hooktune.plugin.host import Host
from hooktune.plugin.opening import open_host
from hooktune.testing import tiny_model

SETTINGS = MethodSettings(None, seed=0, device="cpu")


@pytest.fixture
def zoo(tmp_path):
    with opened_zoo(tmp_path / "site") as opened:
        yield opened


@pytest.fixture(scope="module")
def model():
    return tiny_model()


class Method:
    """A method that returns what it was made with."""

    def __init__(self, returned=None):
        self.returned = returned

    @hookimpl
    def upload_initial_model(self, settings):
        return self.returned

    @hookimpl
    def fit_batch(self, model):
        return self.returned


class Metrics:
    def __init__(self, metrics):
        self.metrics = metrics

    @hookimpl
    def compute_metrics(self, scores):
        return self.metrics


def module_of(**functions):
    module = ModuleType("made_up")
    vars(module).update({name: hookimpl(function) for name, function in functions.items()})
    return module


def method_plugin(found=None, name="Acme"):
    return Plugin(name, "method", found or Method(), "acme", "1.0")


def extension(found, name="extra"):
    return Plugin(name, "extension", found, f"{name}-dist", "2.0")


def measured(host):
    return host.compute_metrics(None, None, np.zeros(3), np.zeros(3)).metrics


def fitted(host, model=None):
    return host.fit_batch(None, model, None, None)


def mistakes(plugin):
    with pytest.raises(PluginRequestError) as refusal:
        Host(plugin)
    return str(refusal.value)


def test_a_host_holds_the_chosen_method_and_all_extensions_by_name():
    host = Host(method_plugin(), [extension(Metrics({}), "b"), extension(Metrics({}), "a")])
    assert [(each.name, each.distribution, each.version) for each in host.plugins] == [
        ("Acme", "acme", "1.0"), ("a", "a-dist", "2.0"), ("b", "b-dist", "2.0"),
    ]  # fmt: skip
    assert host.plugins[0].origin == "acme 1.0"


def test_an_installed_method_is_opened_with_the_installed_extensions(zoo):
    zoo.install("acme", method="Acme")
    zoo.install("other", method="Other")
    zoo.install(
        "extra",
        "import hooktune\n@hooktune.hookimpl\ndef compute_metrics(): return {'one': 1}",
        extension="extra",
    )
    host = open_host(read_catalogue(only=["acme", "other", "extra"]), "Acme")
    assert [each.name for each in host.plugins] == ["Acme", "extra"]
    assert measured(host) == {"one": 1.0}
    assert fitted(host, tiny_model())


def test_a_module_or_an_object_takes_part_without_being_installed(model):
    catalogue = read_catalogue(only=())
    given = [given_plugin(Method(model), "Mine"), given_plugin(Metrics({"one": 1}))]
    host = open_host(catalogue, "Mine", given)
    assert [(each.kind, each.name) for each in host.plugins] == [
        ("method", "Mine"), ("extension", "Metrics"),
    ]  # fmt: skip
    assert fitted(host) is model
    assert host.method.label == "The method 'Mine' (given as an object)"


def test_a_given_plugin_may_not_take_the_name_of_an_installed_one(zoo):
    zoo.install("acme", method="Acme")
    with pytest.raises(PluginRequestError, match=r"name of another plugin.*acme 1\.0"):
        open_host(read_catalogue(), "Acme", [given_plugin(Method(), "Acme")])
    with pytest.raises(RequestError, match="cannot be a method's name"):
        open_host(read_catalogue(), "a / b", [given_plugin(Method(), "a / b")])


def test_a_method_that_also_stands_among_the_extensions_takes_part_once():
    both = module_of(
        upload_initial_model=lambda: None, fit_batch=lambda: None, compute_metrics=lambda: {"m": 1}
    )
    host = Host(method_plugin(both), [extension(both)])
    assert measured(host) == {"m": 1.0}
    assert not host.failures


def test_two_hosts_do_not_see_each_other():
    first = Host(method_plugin(), [extension(Metrics({"a": 1}))])
    second = Host(method_plugin(), [extension(Metrics({"b": 1}))])
    assert (measured(first), measured(second)) == ({"a": 1.0}, {"b": 1.0})


def test_faulty_extensions_are_left_out_and_recorded(zoo, caplog):
    zoo.install("acme", method="Acme")
    zoo.install("new", extension="needs newer", requires="hooktune>=99")
    for fault in ("raises", "exits", "garbled", "argument"):
        zoo.install(f"bad-{fault}", METHODS[fault], extension=fault)
    host = open_host(read_catalogue(block=["hooktune"]), "Acme")
    assert [each.name for each in host.plugins] == ["Acme"]
    reasons = {each.name: each.reason for each in host.failures}
    assert sorted(reasons) == ["argument", "exits", "garbled", "needs newer", "raises"]
    assert "this is hooktune 0." in reasons["needs newer"]
    assert "bad-raises 1.0" in reasons["raises"]
    assert "no licence found" in caplog.text


def test_faulty_methods_do_not_disturb_another_one(zoo):
    zoo.install_faulty_methods()
    zoo.install("acme", method="Acme")
    assert open_host(read_catalogue(block=["hooktune"]), "Acme").failures == ()


@pytest.mark.parametrize("fault", METHODS)
def test_choosing_a_faulty_method_is_refused_with_the_reason(zoo, fault):
    zoo.install_faulty_methods()
    with pytest.raises(PluginRequestError) as refusal:
        open_host(read_catalogue(), fault)
    reason = {
        "raises": "no licence found",
        "exits": "SystemExit: 3",
        "garbled": "SyntaxError",
        "lacking": "it lacks the hook 'fit_batch'",
        "misspelt": "'fit_bach' is no hook. Did you mean 'fit_batch'?",
        "unmarked": "its function 'fit_batch' is not marked; write @hooktune.hookimpl above it",
        "default": "the argument 'params' of 'fit_batch' has a default",
        "argument": "the argument 'modle' of 'fit_batch' is not one of the hook's. "
        "Did you mean 'model'?",
        "class": "Method is a class, and an instance or a module is meant",
    }[fault]
    assert reason in str(refusal.value)
    assert f"bad-{fault} 1.0" in str(refusal.value)
    assert refusal.value.exit_status == 2


def test_every_mistake_is_named_at_once():
    told = mistakes(method_plugin(module_of(hyper_parameters=lambda nothing: None)))
    assert "'nothing' of 'hyper_parameters' is not one of the hook's" in told
    assert "lacks the hook 'fit_batch'" in told


def test_a_plugin_without_any_mark_is_told_so():
    assert "no function that is marked with @hooktune.hookimpl" in mistakes(
        method_plugin(SimpleNamespace(answer=42))
    )


def test_an_unmarked_function_with_nearly_the_name_is_pointed_at():
    module = module_of(upload_initial_model=lambda: None)
    module.fit_bach = lambda model: model
    assert "Is 'fit_bach' meant?" in mistakes(method_plugin(module))


def test_a_forgotten_mark_on_an_optional_hook_is_a_warning(caplog):
    module = module_of(upload_initial_model=lambda: None, fit_batch=lambda: None)
    module.hyper_parameters = lambda: None
    Host(method_plugin(module))
    assert "its function 'hyper_parameters' is not marked" in caplog.text


def takes_all(*args, **kwargs): ...


def keyword_only(*, model): ...


async def awaited(model): ...


def yields(model):
    yield model


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (hookimpl(takes_all), "takes *args, which would stay empty"),
        (hookimpl(keyword_only), "'model' of 'fit_batch' is keyword-only"),
        (hookimpl(awaited), "is an async function"),
        (hookimpl(yields), "'fit_batch' has a `yield`; return the result instead"),
        (hookimpl(wrapper=True)(lambda model: model), "has no `yield`"),
    ],
)
def test_a_function_that_pluggy_could_not_call_rightly_is_refused(function, reason):
    module = module_of(upload_initial_model=lambda: None)
    module.fit_batch = function
    assert reason in mistakes(method_plugin(module))


def test_an_extension_may_not_bring_the_hooks_of_a_method():
    host = Host(method_plugin(), [extension(module_of(fit_batch=lambda model: model))])
    assert "'fit_batch' belongs to a method" in host.failures[0].reason


def test_a_hook_of_a_later_version_may_be_marked_optional():
    class Later(Method):
        @hookimpl(optionalhook=True)
        def after_batch(self, report): ...

    assert Host(method_plugin(Later())).plugins


def test_a_plugin_whose_attributes_raise_is_left_out():
    class Odd(Metrics):
        def __dir__(self):
            raise RuntimeError("no")

    host = Host(method_plugin(), [extension(Odd({}))])
    assert "cannot be looked through: RuntimeError" in host.failures[0].reason


def test_an_object_that_cannot_be_hashed_takes_part():
    class Same(Metrics):
        __hash__ = None

        def __eq__(self, other):
            return True

    host = Host(method_plugin(), [extension(Same({"a": 1}), "a"), extension(Same({"b": 2}), "b")])
    assert measured(host) == {"a": 1.0, "b": 2.0}


def test_an_old_plugin_that_takes_fewer_arguments_goes_on_working(model):
    old = module_of(
        upload_initial_model=lambda: model,
        fit_batch=lambda: model,
        compute_metrics=lambda: {"old": 1},
    )
    host = Host(method_plugin(old))
    assert host.initial_model(SETTINGS) is model
    assert fitted(host) is model
    assert measured(host) == {"old": 1.0}


def test_functions_of_every_make_receive_their_arguments(model):
    def decorated(function):
        return wraps(function)(lambda *args: function(*args))

    class Odd:
        @hookimpl
        @decorated
        def fit_batch(this, model):  # noqa: N805
            return model

        @hookimpl
        @staticmethod
        def upload_initial_model(settings):
            return model

        @hookimpl
        @classmethod
        def compute_metrics(cls, scores, /):
            return {"results": len(scores)}

    host = Host(method_plugin(Odd()))
    assert fitted(host, model) is model
    assert host.initial_model(SETTINGS) is model
    assert measured(host) == {"results": 3.0}


def test_the_arguments_reach_the_method(model):
    seen = []
    module = module_of(
        upload_initial_model=lambda settings: seen.append(settings) or model,
        fit_batch=lambda params, run, batch, model: seen.append((run, batch, params)) or model,
    )
    host = Host(method_plugin(module))
    host.initial_model(SETTINGS)
    host.fit_batch("run", model, "batch", "params")
    assert seen == [SETTINGS, ("run", "batch", "params")]


@pytest.mark.parametrize(
    ("returned", "kind"), [(None, "None"), ("all-MiniLM", "of the type str"), (Method, "the class")]
)
def test_something_else_than_a_model_is_refused(returned, kind):
    host = Host(method_plugin(Method(returned)))
    for call in (lambda: fitted(host), lambda: host.initial_model(SETTINGS)):
        with pytest.raises(PluginError, match=rf"acme 1\.0.*returned {kind}.*SentenceTransformer"):
            call()


def test_a_metric_that_the_host_computes_itself_is_refused():
    host = Host(method_plugin(), [extension(Metrics({"loss": 1.0}), "mine")])
    with pytest.raises(PluginError, match=r"mine-dist 2\.0.*'loss'.*test_loss.*another name"):
        measured(host)


def test_optional_hooks_that_are_missing_give_none():
    host = Host(method_plugin())
    assert host.hyper_parameters() is None
    assert host.main_metric() is None


class Params(BaseModel):
    rate: float = Field(1e-4, gt=0)


class NoDefault(BaseModel):
    rate: float


class OddName(BaseModel):
    rate: float = Field(1.0, alias="rate [1/s]")


class Reserved(BaseModel):
    seed: int = Field(1, alias="hooktune.seed")


class Aliased(BaseModel):
    rate: float = Field(1.0, alias="speed")


class SearchedOutside(BaseModel):
    depth: Annotated[float, SearchRange(0, 2)] = Field(0.5, ge=0, le=1)


class SearchedText(BaseModel):
    kind: Annotated[str, SearchRange(1, 2)] = "a"


class WrongDefault(BaseModel):
    rate: float = Field(-1.0, gt=0, validate_default=True)


def with_hooks(**functions):
    return method_plugin(
        module_of(upload_initial_model=lambda: None, fit_batch=lambda: None, **functions)
    )


def test_the_class_of_hyper_parameters_is_handed_on():
    assert Host(with_hooks(hyper_parameters=lambda: Params)).hyper_parameters() is Params


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (Params(), "of the type Params, not a class derived from pydantic.BaseModel"),
        (dict, "the class dict, not a class derived"),
        (NoDefault, "'rate' of NoDefault has no default"),
        (OddName, "'rate [1/s]' of OddName has a name with other characters"),
        (Reserved, "begins with 'hooktune.'"),
        (Aliased, "'rate' of Aliased has an alias"),
        (SearchedOutside, "'depth' is searched at 2, which its own bounds refuse"),
        (SearchedText, "'kind' is searched at 1, which its own bounds refuse"),
        (WrongDefault, "WrongDefault cannot be made from its own defaults"),
    ],
)
def test_hyper_parameters_that_cannot_be_tracked_are_refused(schema, problem):
    with pytest.raises(PluginError) as failure:
        Host(with_hooks(hyper_parameters=lambda: schema)).hyper_parameters()
    assert problem in str(failure.value)


def test_a_method_may_name_its_main_metric():
    metric = MainMetric("test_mrr")
    assert Host(with_hooks(main_metric=lambda: metric)).main_metric() == metric
    with pytest.raises(PluginError, match="of the type str, not a MainMetric"):
        Host(with_hooks(main_metric=lambda: "test_mrr")).main_metric()


LATENCY = MetricDescription("latency", greater_is_better=False, unit="ms")


def test_descriptions_of_metrics_are_gathered_with_that_of_the_loss():
    host = Host(with_hooks(), [extension(module_of(describe_metrics=lambda: [LATENCY]))])
    described = host.describe_metrics()
    assert described["latency"] == LATENCY
    assert not described["loss"].greater_is_better


def test_what_hooktune_measures_over_the_collection_is_measured_by_nobody_else():
    host = Host(method_plugin(), [extension(Metrics({"judged_ndcg_at_10": 1.0}), "mine")])
    with pytest.raises(PluginError, match="'judged_ndcg_at_10' has the name of one that hooktune"):
        measured(host)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"latency": False}, "of the type dict, not a list of MetricDescription"),
        (["latency"], "of the type str among the MetricDescription"),
        ([MetricDescription("test_latency", False)], "name it 'latency'"),
        ([MetricDescription("a=b", False)], "has a name with other characters"),
        ([MetricDescription("loss", True)], "described twice: by hooktune itself and by The ext"),
        ([LATENCY, LATENCY], "'latency' is described twice"),
    ],
)
def test_descriptions_that_mean_nothing_are_refused(given, problem):
    host = Host(with_hooks(), [extension(module_of(describe_metrics=lambda: given))])
    with pytest.raises(PluginError) as failure:
        host.describe_metrics()
    assert problem in str(failure.value)


def test_metrics_of_all_plugins_are_gathered_as_floats():
    given = {"a": np.float32(0.5), "b": np.int64(2), "at 10: c/d-e.f": 1, "undefined": math.nan}
    host = Host(
        with_hooks(compute_metrics=lambda: {"own": 1}),
        [extension(Metrics(given)), extension(Metrics(None), "silent")],
    )
    metrics = measured(host)
    assert list(metrics) == ["own", *given]
    assert {type(value) for value in metrics.values()} == {float}
    assert metrics["a"] == 0.5
    assert math.isnan(metrics["undefined"])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([1.0], "of the type list, not a dict"),
        ({"a": True}, "'a' is of the type bool"),
        ({"a": np.bool_(True)}, "'a' is of the type bool"),
        ({"a": "1"}, "'a' is of the type str"),
        ({"a": None}, "'a' is None"),
        ({3: 1.0}, "has a name that is no text"),
        ({"a%": 1.0}, "other characters"),
        ({"": 1.0}, "other characters"),
        ({"/a": 1.0}, "no plain path"),
        ({"a//b": 1.0}, "no plain path"),
        ({"a" * 300: 1.0}, "more than 200 characters"),
    ],
)
def test_metrics_that_cannot_be_tracked_name_their_plugin(given, problem):
    host = Host(method_plugin(), [extension(Metrics({"fine": 1}), "a"), extension(Metrics(given))])
    with pytest.raises(PluginError, match=r"'extra' \(extra-dist 2\.0\)") as failure:
        measured(host)
    assert problem in str(failure.value)


def test_two_plugins_giving_one_metric_are_both_named():
    host = Host(method_plugin(), [extension(Metrics({"m": 1}), name) for name in ("a", "b", "c")])
    with pytest.raises(PluginError, match=r"metric 'm'.*a-dist 2\.0.*b-dist 2\.0"):
        measured(host)


def fails(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize("error", [ValueError("too hot"), SystemExit("too hot")])
def test_an_exception_names_the_plugin_and_the_hook(error):
    host = Host(method_plugin(module_of(upload_initial_model=fails(error), fit_batch=fails(error))))
    with pytest.raises(
        PluginError, match=r"'Acme' \(acme 1\.0\) failed in fit_batch.*too hot"
    ) as e:
        fitted(host)
    assert e.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RequestError("no such model")])
def test_an_interruption_and_an_error_of_hooktune_pass_as_they_are(error):
    host = Host(with_hooks(), [extension(module_of(compute_metrics=fails(error)))])
    with pytest.raises(type(error)) as raised:
        measured(host)
    assert raised.value is error


def test_an_interruption_that_an_error_hides_is_one():
    def clean_up():
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("what is half done cannot be closed")

    host = Host(with_hooks(), [extension(module_of(compute_metrics=clean_up))])
    with pytest.raises(KeyboardInterrupt):
        measured(host)


class Observer:
    """Notes what it sees; raises before or after the hook if told so."""

    def __init__(self, before=None, after=None):
        self.before, self.after, self.seen = before, after, []

    @hookimpl(wrapper=True)
    def fit_batch(self, model):
        self.seen.append("before")
        if self.before:
            raise self.before
        try:
            result = yield
        except Exception as error:
            self.seen.append(type(error).__name__)
            raise
        self.seen.append("after")
        if self.after:
            raise self.after
        return result


def test_an_observer_sees_the_hook_begin_and_end(model):
    observer = Observer()
    assert fitted(Host(method_plugin(Method(model)), [extension(observer)])) is model
    assert observer.seen == ["before", "after"]


def test_an_observer_sees_the_hook_fail():
    observer = Observer()
    method = module_of(upload_initial_model=lambda: None, fit_batch=fails(ValueError("no")))
    host = Host(method_plugin(method), [extension(observer)])
    with pytest.raises(PluginError, match="ValueError: no"):
        fitted(host)
    assert observer.seen == ["before", "PluginError"]
    assert not host.failures


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [OSError("pager is down"), SystemExit("pager is down")])
def test_an_observer_that_raises_does_not_stop_the_training(model, caplog, when, error):
    seeing = Observer()
    observers = [extension(Observer(**{when: error})), extension(seeing, "seeing")]
    host = Host(method_plugin(Method(model)), observers)
    with caplog.at_level(logging.WARNING):
        assert fitted(host) is model
        assert fitted(host) is model
    [failure] = host.failures
    assert (failure.name, failure.distribution, failure.hook) == (
        "extra",
        "extra-dist",
        "fit_batch",
    )
    assert failure.reason == f"{type(error).__name__}: pager is down"
    assert caplog.text.count("pager is down") == 1
    assert seeing.seen == ["before", "after"] * 2


def test_ctrl_c_passes_through_an_observer(model):
    host = Host(method_plugin(Method(model)), [extension(Observer(before=KeyboardInterrupt()))])
    with pytest.raises(KeyboardInterrupt):
        fitted(host)


def forgets_to_return():
    yield


def replaces():
    yield
    return "another"


def yields_twice():
    yield
    yield


def returns_early():
    if False:
        yield


@pytest.mark.parametrize(
    ("wrapper", "failures"),
    [(forgets_to_return, 0), (replaces, 1), (yields_twice, 1), (returns_early, 1)],
)
def test_an_observer_cannot_change_the_result(model, wrapper, failures):
    module = ModuleType("observer")
    module.fit_batch = hookimpl(wrapper=True)(wrapper)
    host = Host(method_plugin(Method(model)), [extension(module)])
    assert fitted(host) is model
    assert len(host.failures) == failures


def test_an_observer_cannot_swallow_a_failure():
    def swallows():
        try:
            yield
        except PluginError:
            return "saved"

    module = ModuleType("observer")
    module.fit_batch = hookimpl(wrapper=True)(swallows)
    method = module_of(upload_initial_model=lambda: None, fit_batch=fails(ValueError("no")))
    with pytest.raises(PluginError, match="ValueError: no"):
        fitted(Host(method_plugin(method), [extension(module)]))


def test_the_old_style_of_wrapper_observes_as_well(model):
    seen = []

    def old_style():
        outcome = yield
        seen.append(outcome.get_result())
        outcome.force_result("another")

    module = ModuleType("observer")
    module.fit_batch = hookimpl(hookwrapper=True)(old_style)
    host = Host(method_plugin(Method(model)), [extension(module)])
    assert fitted(host) is model
    assert seen == [model]


def test_an_observer_adds_its_own_metrics_and_wraps_those_of_others():
    class Timer:
        def __init__(self):
            self.calls = 0

        @hookimpl(wrapper=True, specname="compute_metrics")
        def count(self):
            self.calls += 1
            return (yield)

        @hookimpl
        def compute_metrics(self):
            return {"calls_seen": self.calls}

    timer = Timer()
    host = Host(method_plugin(), [extension(Metrics({"a": 1}), "a"), extension(timer, "timer")])
    assert measured(host) == {"a": 1.0, "calls_seen": 2.0}
