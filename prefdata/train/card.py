"""The card beside a trained model: what was trained on what, how it went, and the command."""

from __future__ import annotations

from typing import Any

from prefdata.train.adapters import is_adapter
from prefdata.train.store import REASONS

NAMES = {"dpo": "Direct preference optimisation", "rm": "Reward model", "kto": "KTO", "sft": "Supervised fine-tuning"}


def card(result: Any, options: Any, data: list[str], plots: list[str]) -> str:
    """Markdown with the YAML header that model hubs read. `plots` are paths of charts beside it."""
    given = options.model_dump(exclude_defaults=True, exclude={"force"})
    rows = [f"| {name} | {value:.4g} |" for name, value in {**result.metrics, **result.eval}.items()]
    dropped = [f"* {n:,} dropped: {code}, {REASONS.get(code, code)}" for code, n in result.counts["dropped"].items()]
    return "\n".join(
        [
            "---",
            f"library_name: {'peft' if options.lora or is_adapter(options.model) else 'transformers'}",
            "tags: [prefdata, preference-optimization]",
            "---",
            "",
            f"# {NAMES[result.method]}",
            "",
            f"Trained with prefdata on {result.counts['kept']:,} records of {', '.join(_code(d) for d in data)}: {result.steps:,} steps, "
            f"{result.tokens:,} tokens.",
            "",
            *dropped,
            "",
            "| option | value |",
            "|---|---|",
            *[f"| {name} | {_code(value)} |" for name, value in given.items()],
            "",
            "| metric | last value |",
            "|---|---|",
            *rows,
            "",
            "## Course",
            "",
            "`metrics.jsonl` and `metrics.csv` have every logged step.",
            "",
            *[f"![{path[6:-4]}]({path})" for path in plots],
            "",
        ]
    )


def _code(value: Any) -> str:
    text = str(value).replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{text}`"
