"""Every option of `prefdata eval policy`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefdata.llm.options import ClientOptions, Listed
from prefdata.options import Kind
from prefdata.sampling.generate_options import Count, Stops, Temperature, Tokens, TopP


class EvalPolicyOptions(ClientOptions):
    """Which two policies answer, how their answers are drawn, who compares them, and which figures are asked for."""

    base: str = Field(description="The policy to be beaten: hf:FOLDER, a local transformers model, or the name of a model on a server.")
    tuned: str = Field(description="The policy that is measured: hf:FOLDER, or a name.")
    base_server: Listed | None = Field(None, description="Server of --base where it is a name; default: --base-url.")
    tuned_server: Listed | None = Field(None, description="Server of --tuned where it is a name; default: --base-url.")
    model: str | None = Field(None, description="Model that judges (also that of graders and reward servers).")

    n: Count = Field(1, description="Answers per prompt and policy; the k-th of one is compared with the k-th of the other.")
    temperature: Temperature = Field(1.0, description="Temperature of both; 0: always the likeliest token.")
    top_p: TopP = Field(1.0, description="Draw from the likeliest tokens that have this probability together.")
    top_k: Count | None = Field(None, description="Draw from so many likeliest tokens; of servers, vLLM and its like know this.")
    max_tokens: Tokens = Field(1024, description="Most tokens of an answer; a longer one is cut, and counted as truncated.")
    system: str | None = Field(None, description="System text in front of every prompt, for both.")
    stop: Stops = Field(default_factory=list, description="Text that ends an answer and is no part of it (in YAML and Python: up to four).")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of the answers, and of a judge's draws.")
    batch_size: int = Field(32, ge=1, description="hf: answers that are generated together; halved when memory runs out.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="hf: type of the weights; auto: bfloat16 on a GPU, else float32."
    )

    reward_model: Listed = Field(
        default_factory=list, description="Folder of a sequence classifier that scores the answers, or of an ensemble; several with commas."
    )
    reward_server: Listed = Field(
        default_factory=list, description="Server of a reward model (vLLM), as http://localhost:8000; several with commas share the load."
    )
    reward_api: Literal["score", "classify", "pooling"] = Field(
        "classify", description="What of that server is asked: /classify and so on."
    )
    tokenizer: str | None = Field(None, description="Folder of the reward server's tokenizer: its chat template is applied here.")
    grader: Listed = Field(default_factory=list, description="Grader file (JSON or YAML), or file.py:function with --allow-code.")
    allow_code: bool = Field(False, description="Let graders that are functions run.")
    ending: Literal["auto", "eos", "template"] = Field(
        "auto", description="Last token of a text, where a classifier is read, as in score; auto: eos for models that prefdata trained."
    )
    aggregate: Literal["mean", "min"] = Field(
        "mean", description="Several scorers, or members of an ensemble: their mean, or their minimum."
    )
    batch_tokens: int | None = Field(None, ge=1, description="Tokens of a reward model's pass; default: what the device has room for.")
    tie_margin: float = Field(0.0, ge=0, description="Scores that differ by no more are a tie.")

    judge: Listed = Field(
        default_factory=list, description="Judge that compares the two answers ('prefdata list judges'), as in label; several are a jury."
    )
    constitution: str | None = Field(None, description="Constitution of judges that take one; default: ours.")
    jury: Literal["majority", "weighted", "dawid-skene"] = Field("majority", description="How several judges become one verdict.")
    order: Literal["both", "random"] = Field(
        "both", description="Order of the answers: both (two calls; a flip is a tie), or one that is drawn."
    )
    votes: int = Field(1, ge=1, le=1000, description="Answers of a judge per question; above 1 it needs a temperature.")
    resample: int = Field(1, ge=0, le=20, description="Second tries of a judge's answer that says nothing clear or was cut off.")
    judge_temperature: float | None = Field(None, ge=0, le=2, description="Temperature of judges; default: the judge's.")
    structured: Literal["text", "json_schema"] = Field("text", description="Form of a judge's answers, as in label.")

    by: str | None = Field(None, description="Figures per value of a column (split, source) or of a key of meta (subset) as well.")
    min_win_rate: float | None = Field(None, ge=0, le=1, description="Win rate (ties half) below which the exit code is 1, as 0.5.")
    cases: int = Field(10, ge=0, description="Cases that gained most, and that lost most, which the page shows.")
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Write into a folder that holds other things, and write again what is up to date.")

    # of ClientOptions: replies lie in the folder, and answers must be there before anything can be asked about them
    journal: None = Field(None, json_schema_extra={"hidden": True})
    batch: None = Field(None, json_schema_extra={"hidden": True})
