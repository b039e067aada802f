"""Attacks by a model's settings: each with what must come of it, and nothing is fetched or run."""

import importlib.metadata
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hooktune.errors import HooktuneError
from hooktune.tracking.models.loading import load_folder
from hooktune.tracking.models.safe_files import problem_of_folder

CONFIG, BERT, TOKENIZER = "config.json", "sentence_bert_config.json", "tokenizer_config.json"
POOLING, OWN, MODULES = "1_Pooling/config.json", "config_sentence_transformers.json", "modules.json"

KERNEL = {"": "somebody/kernel"}

# File, key (`a.b` for one in an object) and value; the model is refused, and the last key is named.
REFUSED: list[tuple[str, str, Any]] = [
    # Kernels of the hub, which are code.
    (BERT, "model_kwargs.attn_implementation", KERNEL),
    (BERT, "model_args.attn_implementation", "somebody/kernel:function"),
    (BERT, "model_kwargs.attn_implementation", "kernels-community/flash-attn2"),
    (BERT, "model_kwargs.attn_implementation", "paged|somebody/kernel"),
    (BERT, "model_kwargs.attn_implementation", "flash_attention_2"),
    (BERT, "model_kwargs.allow_all_kernels", True),
    (BERT, "model_kwargs.allow_all_kernels", 1),
    (BERT, "model_kwargs.use_kernels", True),
    (BERT, "model_kwargs.kernel_config", {"kernel_mapping": {"RMSNorm": "somebody/kernel"}}),
    (BERT, "model_kwargs.experts_implementation", "somebody/kernel"),
    (BERT, "config_kwargs.attn_implementation", "somebody/kernel"),
    (CONFIG, "_attn_implementation", KERNEL),
    (CONFIG, "_attn_implementation", "somebody/kernel"),
    (CONFIG, "_attn_implementation", ["somebody/kernel"]),
    (CONFIG, "attn_implementation", KERNEL),
    (CONFIG, "attn_implementation", "somebody/kernel@main:function"),
    (CONFIG, "attn_implementation", "flash_attention_3"),
    (CONFIG, "_attn_implementation_internal", "somebody/kernel"),
    (CONFIG, "_experts_implementation", "somebody/kernel"),
    (CONFIG, "text_config.attn_implementation", KERNEL),
    (CONFIG, "text_config.vision_config._attn_implementation", "somebody/kernel"),
    (CONFIG, "use_kernels", True),
    (CONFIG, "allow_all_kernels", 1),
    (CONFIG, "fusion_config", {"patch": True}),
    (CONFIG, "quantization_config", {"quant_method": "fp8"}),
    # Code that comes with the model, or from elsewhere.
    (BERT, "model_kwargs.trust_remote_code", True),
    (BERT, "model_kwargs.trust_remote_code", 1),
    (BERT, "model_args.trust_remote_code", "yes"),
    (BERT, "config_args.trust_remote_code", 1),
    (BERT, "tokenizer_args.trust_remote_code", [True]),
    (BERT, "processor_kwargs.trust_remote_code", 1.0),
    (BERT, "trust_remote_code", 1),
    (BERT, "model_kwargs.code_revision", "main"),
    (BERT, "model_kwargs.weights_only", 0),
    (BERT, "model_kwargs.weights_only", False),
    (BERT, "model_kwargs.use_safetensors", False),
    (BERT, "model_kwargs.use_safetensors", 0),
    (BERT, "modality_config.text.method", "push_to_hub"),
    (BERT, "modality_config.text.method", "train"),
    (CONFIG, "trust_remote_code", 1),
    (CONFIG, "trust_remote_code", True),
    (CONFIG, "auto_map", {"AutoModel": "modeling.Model"}),
    (CONFIG, "auto_map", {"AutoConfig": "somebody/model--configuration.Config"}),
    (CONFIG, "text_config.auto_map", {"AutoModel": "x.Y"}),
    (CONFIG, "custom_pipelines", {"x": {"impl": "pipeline.P"}}),
    (CONFIG, "task_specific_params", {"x": {"impl_file": "pipeline.py"}}),
    (CONFIG, "weights_only", False),
    (TOKENIZER, "auto_map", ["tokenization.T", None]),
    (TOKENIZER, "auto_map", {"AutoTokenizer": [None, "somebody/model--tokenization.T"]}),
    (TOKENIZER, "tokenizer_class", "somebody/model--tokenization.T"),
    (TOKENIZER, "tokenizer_class", "os.path.Tokenizer"),
    (TOKENIZER, "tokenizer_class", "Trainer"),
    (POOLING, "activation_function", "os.system"),
    (POOLING, "activation_function", "torch.hub.load"),
    (POOLING, "activation_function", "torch.nn.modules.activation.os.system"),
    # Other models and files.
    (BERT, "tokenizer_name_or_path", "somebody/tokenizer"),
    (BERT, "tokenizer_name_or_path", "/etc"),
    (BERT, "model_kwargs.subfolder", "../other"),
    (BERT, "model_kwargs.gguf_file", "weights.gguf"),
    (BERT, "model_kwargs.adapter_kwargs", {"revision": "main"}),
    (BERT, "model_kwargs.state_dict", {}),
    (BERT, "model_kwargs.quantization_config", {"load_in_4bit": True}),
    (BERT, "model_kwargs.device_map", "auto"),
    (BERT, "model_kwargs.cache_dir", "/tmp"),
    (BERT, "model_kwargs.proxies", {"https": "http://somewhere"}),
    (BERT, "model_kwargs.tp_plan", "auto"),
    (BERT, "processor_kwargs.chat_template", "{{ x }}"),
    (BERT, "config_kwargs._name_or_path", "somebody/model"),
    (BERT, "backend", "onnx"),
    (CONFIG, "model_type", "rag"),
    (CONFIG, "model_type", "timm_wrapper"),
    (CONFIG, "model_type", "timm_backbone"),
    (CONFIG, "model_type", "mgp-str"),
    (CONFIG, "model_type", "../bert"),
    (CONFIG, "model_type", {"": "bert"}),
    (CONFIG, "backbone", "resnet50"),
    (CONFIG, "backbone_config.architecture", "resnet50"),
    (CONFIG, "use_timm_backbone", True),
    (CONFIG, "use_pretrained_backbone", 1),
    (CONFIG, "base_model_name_or_path", "gpt2"),
    (CONFIG, "index_path", "index.faiss"),
    (CONFIG, "dataset", "wiki_dpr"),
    (CONFIG, "some_url", "localhost"),
    (CONFIG, "anything", "http://somewhere/x"),
    (CONFIG, "anything", "somebody/model"),
    (CONFIG, "anything", "/etc/passwd"),
    (CONFIG, "anything", "..\\x"),
    (CONFIG, "anything", {"a": 1}),
    (CONFIG, "anything", [{"a": 1}]),
    (CONFIG, "anything", "x" * 200),
    (CONFIG, "__class__", 1),
    (CONFIG, "a key", 1),
    (CONFIG, "tokenizer_class", "RagTokenizer"),
    (TOKENIZER, "tokenizer_file", "/etc/passwd"),
    (TOKENIZER, "vocab_file", "vocab.txt"),
    (TOKENIZER, "processor_class", "MgpstrProcessor"),
    (TOKENIZER, "processor_class", "Auto.Processor"),
    (OWN, "model_type", "SparseEncoder"),
    (OWN, "model_type", "CrossEncoder"),
    ("preprocessor_config.json", "image_processor_type", "OneFormerImageProcessor"),
    ("preprocessor_config.json", "repo_path", "shi-labs/oneformer_demo"),
    ("preprocessor_config.json", "class_info_file", "ade20k.json"),
    ("preprocessor_config.json", "auto_map", {"AutoImageProcessor": "x.Y"}),
    ("processor_config.json", "image_processor.auto_map", {"AutoImageProcessor": "x.Y"}),
    ("processor_config.json", "processor_class", "Pix2StructProcessor"),
    ("generation_config.json", "custom_generate", "somebody/generate"),
    ("adapter_config.json", "base_model_name_or_path", "somebody/model"),
    ("2_Router/router_config.json", "types", {"a": "os.path.Router"}),
    ("2_Router/router_config.json", "structure", {"query": ["../a"]}),
    ("wordembedding_config.json", "tokenizer_class", "sentence_transformers.util.os.System"),
]  # fmt: skip

# What real models carry.
ALLOWED: list[tuple[str, str, Any]] = [
    (BERT, "model_kwargs.attn_implementation", "sdpa"),
    (BERT, "model_kwargs.dtype", "float32"),
    (BERT, "model_kwargs.trust_remote_code", False),
    (BERT, "max_seq_length", 32),
    (BERT, "do_lower_case", False),
    (CONFIG, "_attn_implementation", "eager"),
    (CONFIG, "_name_or_path", "sentence-transformers/all-MiniLM-L6-v2"),
    (CONFIG, "torch_dtype", "float32"),
    (CONFIG, "id2label", {"0": "sports / news", "1": "http://x"}),
    (CONFIG, "label2id", {"any words": 0}),
    (CONFIG, "rope_theta", 10000.0),
    (CONFIG, "some_new_setting", 0.5),
    (CONFIG, "some_new_flag", True),
    (CONFIG, "some_new_choice", "a word"),
    (CONFIG, "some_new_sizes", [1, 2, [3]]),
    (CONFIG, "task_specific_params", {"text": {"max_length": 5}}),
    (TOKENIZER, "name_or_path", "nreimers/MiniLM-L6-H384-uncased"),
    (TOKENIZER, "tokenizer_class", "BertTokenizerFast"),
    (TOKENIZER, "chat_template", "{% for m in messages %}{{ m['content'] }}{% endfor %}"),
    (TOKENIZER, "additional_special_tokens", ["<http://x>"]),
    (TOKENIZER, "added_tokens_decoder", {"0": {"content": "[PAD]", "special": True}}),
    (OWN, "prompts", {"query": "Represent this: https://x/y ", "document": ""}),
    (OWN, "similarity_fn_name", "dot"),
    (POOLING, "some_flag", False),
    (POOLING, "word_weights", {"auto_map": 0.5, "../x": 1}),
]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, tiny_model_folder: Path) -> Path:
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def put(model: Path, file: str, key: str, value: Any) -> None:
    """Set a key of one of a model's settings files, which is made where there is none."""
    path = model / file
    path.parent.mkdir(exist_ok=True)
    stated = json.loads(path.read_text()) if path.exists() else {}
    if file.endswith("router_config.json"):
        stated = {"types": {}, "structure": {}, "parameters": {}}
    within = stated
    *above, last = key.split(".")
    for part in above:
        within = within.setdefault(part, {})
    within[last] = value
    path.write_text(json.dumps(stated))


@pytest.mark.parametrize(("file", "key", "value"), REFUSED, ids=lambda given: f"{given!s:.50}")
def test_a_setting_that_may_load_something_is_refused(model: Path, file: str, key: str, value: Any):
    put(model, file, key, value)
    problem = problem_of_folder(model)
    assert problem is not None
    assert repr(file) in problem
    assert repr(key.split(".")[-1]) in problem or repr(key.split(".")[0]) in problem
    with nothing_fetched(), pytest.raises(HooktuneError, match="nothing of it was loaded"):
        load_folder(model, "run 1", "cpu")


@pytest.mark.parametrize(("file", "key", "value"), ALLOWED, ids=lambda given: f"{given!s:.50}")
def test_a_setting_that_real_models_carry_is_let_through(
    model: Path, file: str, key: str, value: Any
):
    put(model, file, key, value)
    assert problem_of_folder(model) is None
    if file != POOLING:
        with nothing_fetched():
            assert load_folder(model, "run 1", "cpu").encode("apple").shape == (32,)


# What transformers tries to fetch or to import while a model is loaded

tried: list[str] = []
is_listening = False
INSTALLED = {*importlib.metadata.packages_distributions(), *sys.stdlib_module_names, "__main__"}


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not is_listening:
        return
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        tried.append(f"{event} {arguments[1:]!r:.80}")
    elif event == "import" and str(arguments[0]).split(".")[0] not in INSTALLED:
        tried.append(f"import {arguments[0]}")


sys.addaudithook(_listen)


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """Fail where anything is fetched from elsewhere, or code of the model's is imported."""
    global is_listening
    from transformers import dynamic_module_utils, modeling_utils
    from transformers.integrations import hub_kernels
    from transformers.utils import hub

    def note_kernel(name: str | None) -> bool:
        if is_kernel(name):
            tried.append(f"kernel {name}")
        return False

    def note_file(*names: Any, **options: Any) -> Any:
        place = options.get("path_or_repo_id", names[:1])
        if not Path(str(place)).exists():
            tried.append(f"file of {place}")
        return cached_files(*names, **options)

    def note_code(place: Any, *names: Any, **options: Any) -> Any:
        tried.append(f"code of {place}")
        raise OSError("no code here")

    is_kernel, cached_files = hub_kernels.is_kernel, hub.cached_files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_kernels, "is_kernel", note_kernel)
        patch.setattr(modeling_utils, "is_kernel", note_kernel)
        patch.setattr(hub, "cached_files", note_file)
        patch.setattr(dynamic_module_utils, "get_cached_module_file", note_code)
        tried.clear()
        is_listening = True
        try:
            yield
        finally:
            is_listening = False
    assert tried == []


def test_the_recorder_hears_what_an_unchecked_model_does(model: Path):
    from sentence_transformers import SentenceTransformer

    put(model, BERT, "model_kwargs", {"attn_implementation": KERNEL, "allow_all_kernels": True})
    heard = pytest.raises(AssertionError, match="kernel somebody/kernel")
    with heard, nothing_fetched(), suppress(ValueError):  # for no kernel was given it
        SentenceTransformer(str(model), device="cpu", local_files_only=True)
    with pytest.raises(AssertionError, match=r"socket\.getaddrinfo"), nothing_fetched():
        socket.getaddrinfo("localhost", 80)


words = st.sampled_from(
    ["somebody/kernel", "a/b--c.D", "http://x", "/etc", "flash_attention_2", "eager", "x.Y", "gelu",
     "bert", "rag", "BertTokenizer", "RagTokenizer", "torch.nn.modules.activation.Tanh", "", "mean"]
) | st.text("abc/._-:@", max_size=8)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-1, 2) | words
keys = st.sampled_from(
    sorted({part for row in [*REFUSED, *ALLOWED] for part in row[1].split(".")} | {""})
) | st.text("abc_", min_size=1, max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=4,
)
changes = st.tuples(
    st.sampled_from([CONFIG, BERT, TOKENIZER, POOLING, OWN]),
    st.lists(keys.filter(lambda key: "." not in key), min_size=1, max_size=3),
    values,
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(changes, min_size=1, max_size=2))
def test_whatever_passes_is_loaded_without_fetching_anything(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory, changed: list[Any]
):
    model = tmp_path_factory.mktemp("generated") / "model"
    shutil.copytree(tiny_model_folder, model, copy_function=os.link)
    for file, path, value in changed:
        stated = json.loads((model / file).read_text())
        within = stated
        for part in path[:-1]:
            inner = within.get(part)
            within[part] = inner if isinstance(inner, dict) else {}
            within = within[part]
        within[path[-1]] = value
        (model / file).unlink()  # of which there are links elsewhere
        (model / file).write_text(json.dumps(stated))
    with nothing_fetched(), suppress(HooktuneError):
        load_folder(model, "run 1", "cpu")
    shutil.rmtree(model)
