"""distilabel: a pipeline of a loader and one task that asks its OpenAI client; its log-probs are not part of its output."""

from typing import Any

import child
import label_bodies
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def job(work: child.Work) -> dict[str, Any]:
    size = int(work.settings["batch"])
    asked = [label_bodies.ready(b) for b in label_bodies.bodies(work.data)]
    rows = [{"instruction": a["messages"][-1]["content"], "system_prompt": a["messages"][0]["content"]} for a in asked]
    kept = {k: asked[0][k] for k in ("temperature", "logprobs", "top_logprobs") if k in asked[0]}
    llm = OpenAILLM(
        model="bench", base_url=work.settings["url"], api_key="none", generation_kwargs={"max_new_tokens": asked[0]["max_tokens"], **kept}
    )
    with Pipeline(name="bench", cache_dir=work.out, enable_metadata=False) as pipeline:
        loader = LoadDataFromDicts(data=rows, batch_size=size)
        task = TextGeneration(llm=llm, input_batch_size=size, use_system_prompt=True, add_raw_input=False, add_raw_output=False)
        loader >> task
    found = pipeline.run(use_cache=False)
    said = found["default"]["train"]["generation"]
    if any(s != "A" for s in said):
        raise SystemExit("a reply was not understood")
    return {"rows": len(said), "stages": {"cpu": label_bodies.cpu()}}


if __name__ == "__main__":
    child.run(job, "distilabel")
