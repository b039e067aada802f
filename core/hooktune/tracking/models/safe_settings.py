"""Which keys and kinds of values the settings of a model may hold.

transformers and sentence-transformers load code, files and other models by what stands in a
model's JSON files. So the lists here say what may stand there, and all else is refused: a number
may stand anywhere, a word where it names nothing to load, and a text, a path or an object under the
keys that are known to take one.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Union

from hooktune.tracking.models.value_kinds import (
    KEY,
    Check,
    any_of,
    is_harmless,
    is_number,
    is_plain,
    is_scalar,
    is_text,
    is_word,
    is_words,
    keys_of,
    lists,
    matches,
    one_of,
    or_none,
    pairs,
)

Table = Mapping[str, Union[Check, "Table"]]
"""What may stand under each key that is known; a table for an object that holds no other keys."""

_CLASS: Final = re.compile(r"[A-Z]\w{0,100}")
_TOKENIZER: Final = re.compile(r"[A-Z]\w*(Tokenizer(Fast)?|Backend)")
_PROCESSOR: Final = re.compile(
    r"[A-Z]\w*(Processor|ImageProcessor(Fast|Pil)?|FeatureExtractor|VideoProcessor)"
)
_RELATIVE: Final = re.compile(r"(?!.*\.\.)[\w-][\w .-]*(/[\w-][\w .-]*)*")
_MODULE: Final = re.compile(
    r"sentence_transformers(\.\w+)*\.(models|modules)(\.\w+)*\.(Transformer|Pooling|Dense|Normalize"
    r"|Router|Asym|BoW|CNN|LSTM|Dropout|LayerNorm|StaticEmbedding|WeightedLayerPooling"
    r"|WordEmbeddings|WordWeights|CLIPModel)|hooktune\.parts\.(TransformerInParts|MaximumOfParts)"
)
_WORD_TOKENIZER: Final = re.compile(r"sentence_transformers(\.\w+)*\.tokenizer(\.\w+)*\.[A-Z]\w*")
_ACTIVATION: Final = re.compile(r"[\w-]{0,50}|torch\.nn\.modules\.(activation|linear)\.[A-Z]\w*")
_LOAD_BY_THEMSELVES: Final = re.compile(
    r"rag|mgp[-_]?str|one_?former|pix2struct|layoutlm_?v2|layoutxlm|timm|qwen2_5_omni|udop",
    re.IGNORECASE,
)
"""Architectures whose classes fetch files or other models on their own account."""


def problem_of_settings(name: str, stated: Any) -> str | None:
    """Say which key of a settings file may not hold what it holds, or return None.

    Args:
        name: The file's name, without its folder.
        stated: What the JSON text in it says.
    """
    if name == "modules.json":
        return _problem_of_modules(stated)
    if not isinstance(stated, dict):
        return "does not hold what its name says"
    if "types" in stated and "structure" in stated:
        return _problem_of_pairs(stated, _ROUTER)
    if re.fullmatch(r"sentence_\w[\w-]*_config\.json", name):
        return _problem_of_pairs(stated, _TRANSFORMER)
    return _problem_of_pairs(stated, _TABLES.get(name, _ANYWHERE), is_open=True)


def is_module(kind: Any) -> bool:
    """Tell whether a text names a module that sentence-transformers, or hooktune, itself brings."""
    return matches(_MODULE)(kind)


def _problem_of_pairs(
    stated: Mapping[str, Any], table: Table, above: str = "", *, is_open: bool = False
) -> str | None:
    for key, value in stated.items():
        check = table.get(key) or (_by_ending(key) if is_open else None)
        if isinstance(value, dict) and (check is _is_settings or isinstance(check, Mapping)):
            # A part of a model, such as the text half of CLIP, is described as a whole one is.
            inner = check if isinstance(check, Mapping) else table
            within = check is _is_settings
            problem = _problem_of_pairs(value, inner, f"{above}{key}.", is_open=within)
            if problem:
                return problem
        elif not _passes(key, value, check, is_open=is_open):
            return _refusal(above, key, value)
    return None


def _passes(key: str, value: Any, check: "Check | Table | None", *, is_open: bool) -> bool:
    if check is None:
        return is_open and KEY.fullmatch(key) is not None and is_harmless(key, value)
    return value is None if isinstance(check, Mapping) else check(value)


def _refusal(above: str, key: str, value: Any) -> str:
    where = f", in {above[:-1][:100]!r}," if above else ""
    return (
        f"sets {key[:100]!r}{where} to {value!r:.100}, which makes code or files from elsewhere be "
        "loaded, or is not known to be harmless; remove the key, or save the model again without it"
    )


def _problem_of_modules(stated: Any) -> str | None:
    for module in stated if isinstance(stated, list) else [None]:
        if not isinstance(module, dict) or not {"path", "type"} <= module.keys():
            return "does not hold what its name says"
        path, rest = module["path"], [module.get(key) for key in ("idx", "name", "kwargs")]
        if not isinstance(path, str) or ".." in re.split(r"[/\\]", path) or path[:1] in ("/", "\\"):
            return f"names the path {path!r:.100}, which leads out of the model's folder"
        if not is_module(module["type"]):
            return f"names the module {module['type']!r:.100}, which is not one of " + (
                "sentence-transformers' own, nor of hooktune's"
            )
        unknown = module.keys() - {"idx", "name", "path", "type", "kwargs"}
        if unknown or not (path == "" or _RELATIVE.fullmatch(path)) or not is_words(rest):
            return f"describes the module {path!r:.100} by more than a name, a path and a type"
    return None


# What may stand where


def _is_settings(value: Any) -> bool:
    """Tell whether a value is None; an object is looked into by the caller."""
    return value is None


def _is_own_class(pattern: re.Pattern[str]) -> Check:
    """Return a check for the name of a class of transformers, which fetches nothing by itself."""
    named = matches(pattern)
    return lambda value: value is None or (named(value) and not _LOAD_BY_THEMSELVES.match(value))


def _is_model_type(value: Any) -> bool:
    known = isinstance(value, str) and (value == "" or value in _model_types())
    return known and not _LOAD_BY_THEMSELVES.match(value)


@cache
def _model_types() -> frozenset[str]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return frozenset(CONFIG_MAPPING.keys())


def _by_ending(key: str) -> Check | None:
    """Return what may stand under a key that belongs to a family of keys."""
    if key.endswith(("implementation", "implementation_internal")):
        return _IMPLEMENTATION
    if key.endswith("_token"):
        return _TOKEN
    return _is_settings if key.endswith("_config") and key not in _NO_PARTS else None


_IMPLEMENTATION: Final = one_of(None, "eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm")
"""Ways to compute attention that are there: the others are fetched from the hub as kernels."""

_NO_PARTS: Final = frozenset(
    {
        "quantization_config", "fusion_config", "distributed_config",
        "kernel_config", "peft_config", "compression_config", "ds_config", "gguf_config",
    }
)  # fmt: skip

_ADDED_TOKEN: Final = keys_of(
    content=is_text, id=is_scalar, lstrip=is_scalar, normalized=is_scalar, rstrip=is_scalar,
    single_word=is_scalar, special=is_scalar, __type=one_of("AddedToken"),
)  # fmt: skip
_TOKEN: Final = any_of(is_scalar, is_text, _ADDED_TOKEN)
_TOKENS: Final = any_of(
    is_scalar, lists(_TOKEN), pairs(is_text, _TOKEN), pairs(is_text, lists(_TOKEN))
)
_DTYPE: Final = one_of(None, "auto", "float32", "float16", "bfloat16", "float64")

_ANYWHERE: Final[Table] = {
    # Where a model came from: read by nothing that loads.
    "_name_or_path": is_text,
    "name_or_path": is_text,
    "_commit_hash": is_word,
    "transformers_version": is_word,
    "topk_method": is_word,
    "decoder_method": is_word,
    "cls_token": any_of(_TOKEN, is_words),  # for CvT a list of booleans
    "ffn_act_fn": keys_of(name=is_word),
    "architectures": or_none(lists(matches(_CLASS))),
    "model_type": or_none(_is_model_type),
    "tokenizer_class": _is_own_class(_TOKENIZER),
    "slow_tokenizer_class": _is_own_class(_TOKENIZER),
    "processor_class": _is_own_class(_PROCESSOR),
    "image_processor_type": _is_own_class(_PROCESSOR),
    "feature_extractor_type": _is_own_class(_PROCESSOR),
    "video_processor_type": _is_own_class(_PROCESSOR),
    # The parts of a model, and of its processor.
    **dict.fromkeys(
        (
            "encoder", "decoder", "image_processor", "feature_extractor", "video_processor",
            "audio_encoder", "text_encoder",
        ),
        _is_settings,
    ),
    "id2label": or_none(pairs(is_word, is_text)),
    "label2id": or_none(pairs(is_text, is_scalar)),
    **dict.fromkeys(
        (
            "rope_parameters", "rope_scaling", "task_specific_params", "per_layer_config",
            "pruned_heads", "size", "crop_size", "pad_size", "sp_model_kwargs",
            "sliding_attention", "full_attention", "compress_rates", "chat_template_kwargs",
            "projector_patch_to_query_dict",
        ),
        is_plain,
    ),
    # Words under keys that name something else than what is to be loaded.
    **dict.fromkeys(
        (
            "backend", "cache_implementation", "data_format", "dataset_split", "index_name",
            "clean_up_tokenization_spaces", "model_name", "module_input_name", "padding_side",
            "module_output_name", "out_features", "stage_names", "label_names", "model_input_names",
            "position_embedding_type", "default_route", "pooling_mode", "return_tensors",
            "stop_words", "classifier_pooling", "input_data_format", "default_prompt_name",
        ),
        is_words,
    ),
    **dict.fromkeys(("chunkwise_kernel", "sequence_kernel", "step_kernel"), is_word),
    "autocast_kernel_dtype": _DTYPE,
    "activation_function": or_none(matches(_ACTIVATION)),
    # Texts and words of a vocabulary.
    "chat_template": any_of(
        is_text, lists(keys_of(name=is_text, template=is_text)), pairs(is_text, is_text)
    ),
    "additional_special_tokens": _TOKENS,
    "extra_special_tokens": _TOKENS,
    "model_specific_special_tokens": _TOKENS,
    "added_tokens_decoder": pairs(matches(re.compile(r"\d+")), _TOKEN),
    "vocab": lists(is_text),
    "stop_words_list": lists(is_text),
    "word_weights": pairs(is_text, is_number),
    "prompts": or_none(pairs(is_text, is_text)),
    "__version__": pairs(is_word, is_word),
    "prefix": is_text,
    "doc_sep": is_text,
    "title_sep": is_text,
}  # fmt: skip

_METHOD: Final = any_of(one_of("forward"), matches(re.compile(r"get_\w+_(features|embeddings?)")))
"""Methods of a model that turn texts or pictures into embeddings; no others are to be called."""

_MODALITY: Final = keys_of(
    method=_METHOD, method_output_name=is_words, format=is_word, module_output_name=is_words
)
_MODEL_ARGUMENTS: Final[Table] = {
    "attn_implementation": _IMPLEMENTATION, "dtype": _DTYPE, "torch_dtype": _DTYPE,
    "trust_remote_code": one_of(None, False), "allow_all_kernels": one_of(None, False),
    "use_safetensors": one_of(None, True), "weights_only": one_of(None, True),
    "low_cpu_mem_usage": is_scalar, "add_pooling_layer": is_scalar,
    "output_hidden_states": is_scalar, "output_attentions": is_scalar,
}  # fmt: skip
_CONFIG_ARGUMENTS: Final[Table] = {
    "trust_remote_code": one_of(None, False), "use_cache": is_scalar, "num_labels": is_scalar,
    "output_hidden_states": is_scalar, "output_attentions": is_scalar, "is_decoder": is_scalar,
    "is_causal": is_scalar, "hidden_dropout_prob": is_scalar,
    "attention_probs_dropout_prob": is_scalar,
}  # fmt: skip
_PROCESSOR_ARGUMENTS: Final[Table] = {
    "trust_remote_code": one_of(None, False), "model_max_length": is_scalar, "use_fast": is_scalar,
    "padding_side": is_word, "truncation_side": is_word, "do_lower_case": is_scalar,
    "add_eos_token": is_scalar, "add_bos_token": is_scalar, "add_prefix_space": is_scalar,
    "max_pixels": is_scalar, "min_pixels": is_scalar, "clean_up_tokenization_spaces": is_scalar,
}  # fmt: skip

_TRANSFORMER: Final[Table] = {
    "max_seq_length": is_scalar,
    "max_parts": is_scalar,
    "do_lower_case": is_scalar,
    "transformer_task": is_word,
    "modality_config": or_none(pairs(matches(re.compile(r"[a-z]+(\+[a-z]+)*")), _MODALITY)),
    "module_output_name": is_word,
    "processing_kwargs": is_plain,
    "unpad_inputs": is_scalar,
    "query_length": is_scalar,
    "document_length": is_scalar,
    "query_expansion": is_plain,
    "tokenizer_name_or_path": one_of(None, ""),
    "model_args": _MODEL_ARGUMENTS,
    "model_kwargs": _MODEL_ARGUMENTS,
    "config_args": _CONFIG_ARGUMENTS,
    "config_kwargs": _CONFIG_ARGUMENTS,
    "tokenizer_args": _PROCESSOR_ARGUMENTS,
    "processor_kwargs": _PROCESSOR_ARGUMENTS,
}

_ROUTER: Final[Table] = {
    "types": pairs(matches(_RELATIVE), is_module),
    "structure": pairs(is_word, lists(matches(_RELATIVE))),
    "parameters": keys_of(
        default_route=is_word,
        allow_empty_key=is_scalar,
        # Their keys are tuples of words, as Python writes them.
        route_mappings=pairs(matches(re.compile(r"[\w ,'()]{0,100}")), is_word),
    ),
}

_TABLES: Final[Mapping[str, Table]] = {
    "config_sentence_transformers.json": {
        **_ANYWHERE,
        "model_type": one_of(None, "SentenceTransformer"),
        "requirements": any_of(_is_settings, pairs(is_word, is_text)),
        "similarity_fn_name": is_word,
        "truncate_dim": is_scalar,
    },
    "wordembedding_config.json": {**_ANYWHERE, "tokenizer_class": matches(_WORD_TOKENIZER)},
}
