"""Every option of `prefdata export`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefdata.options import Kind, Options


def _shares(value: Any) -> Any:
    """`test=0.02,validation=0.01` as a dict."""
    if not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if not pairs or any(not sep for _, sep, _ in pairs):
        raise ValueError("expected name=share, such as test=0.02")
    return {name.strip(): share.strip() for name, _, share in pairs}


Share = Annotated[float, Field(gt=0, lt=1)]
Shares = Annotated[dict[str, Share], BeforeValidator(_shares)]


class ExportOptions(Options):
    """For whom records are written, and what becomes of that which the target cannot express."""

    to: str = Field(description="Target ('prefdata list exporters').")
    form: str | None = Field(None, description="Variant of the target's layout; default: the first that takes the records' kind.")
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    split: Shares = Field(default_factory=dict, description="Shares of the prompts for other splits than train, as test=0.02.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of the splits and of slots that are drawn.")
    system: Literal["skip", "merge"] = Field(
        "skip",
        description="System texts where the target has no place for them: skip the row, or put them in front of the first user text.",
    )
    soft: Literal["harden", "skip"] = Field(
        "harden", description="Soft labels where the target has no place for them: write the direction alone, or skip the row."
    )
    tools: Literal["skip", "drop"] = Field(
        "skip", description="Tool definitions where the target has no place for them: skip the row, or leave them out."
    )
    register_in: str | None = Field(
        None, alias="register", description="llama-factory: its dataset_info.json, into which the entries are merged; all others stay."
    )
    name: str = Field(
        "prefdata", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name under which the target registers the data."
    )
    model: str = Field("MODEL", description="Model for the training command that is written beside the data.")
    tokenizer: str | None = Field(None, description="Folder of a tokenizer: say what the trainer will see of the rows.")
    max_length: int | None = Field(None, ge=1, description="Maximum length in tokens for --tokenizer; default: the target's.")
    threads: int | None = Field(None, ge=1, description="Worker threads; default: one per core.")
    force: bool = Field(False, description="Replace an output folder that prefdata did not write.")
