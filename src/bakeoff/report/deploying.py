"""Where each method's adapter can run."""

from __future__ import annotations

from typing import Final

from bakeoff.errors import BakeoffError
from bakeoff.formatting import join
from bakeoff.methods.registry import spec_of
from bakeoff.methods.specs.contract import FileFormat
from bakeoff.runs.records import MethodRecord, Results

_LORA_SERVERS: Final = "vLLM, LoRAX and TGI, as the LoRA that it is"
_AS_LORA: Final = "vLLM, LoRAX and TGI, as a LoRA that `bakeoff export --to lora` makes of it"
_OURS: Final = "`bakeoff serve`"
_WHERE_EXTERNAL: Final = {
    "adapter": "PEFT and what loads its adapters, from its own folder",
    "checkpoint": "Transformers and what loads its models, from its own folder",
    "predictions": "where it was made: the study has its answers alone",
}
_NO_LORA: Final = frozenset(("head", "bitfit"))
"""Mergeable kinds that change no weight of a linear layer."""


def deployments(results: Results) -> list[tuple[str, str]]:
    """(each method's name, a sentence on where it runs)."""
    return [(name, where_it_runs(record)) for name, record in results.methods.items()]


def where_it_runs(record: MethodRecord) -> str:
    """Which servers and libraries load a method's adapter, as it is or exported."""
    if record.external is not None:
        return _WHERE_EXTERNAL[record.external.form]
    try:
        spec = spec_of(record.kind, where=record.kind)
    except BakeoffError:  # of a package that is not installed here
        return f"{_OURS}, where the package that brings {record.kind} is installed"
    places = []
    if record.kind == "lora" and not (record.options.get("ranks") or record.options.get("alphas")):
        places.append(_LORA_SERVERS)
    elif spec.mergeable and record.kind not in _NO_LORA:
        places.append(_AS_LORA)
    if spec.file_format is FileFormat.PEFT:
        places.append("PEFT")
    if spec.mergeable:
        places.append("Transformers alone, merged")
    places.append(f"{_OURS} alone" if not places else _OURS)
    return join(places)
