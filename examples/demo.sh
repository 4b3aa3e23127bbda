#!/bin/sh
# The main job on real data, offline: convert six public sources, check the result, let a mock judge (which prefers the longer answer) label one of
# them, measure the judge, export; print the accounts and the findings.
# Exit code 1 of convert means that rows were rejected; they are kept, with the reason, beside the output.
set -u
data=examples/data
out=demo-output
rm -rf "$out" && mkdir "$out" || exit 1

run() {
    echo "\$ prefdata $*" | sed "s|http://[^ ]*|URL|"
    prefdata "$@" 2>&1
    code=$?
    echo
    [ "$code" -le 1 ] || exit "$code"
}

run convert "$data/hh_rlhf_harmless/*.jsonl.gz" -o "$out/hh.parquet"
run convert "$data/pku_layout_derived/pku_saferlhf_layout.jsonl" -o "$out/pku.parquet"
run convert "$data/llmbar/Adversarial_Neighbor.dataset.json" -o "$out/llmbar.parquet"
run convert "$data/tulu1_human_eval/annotations_part.csv.gz" -o "$out/tulu.jsonl"
run convert "$data/oasst_trees/en_trees_part.jsonl.gz" -o "$out/oasst.parquet" --to pair --pairs adjacent
run convert "$data/xstest/xstest_v2_completions_gpt4.csv" -o "$out/xstest.jsonl"
run validate "$out/*.parquet" "$out/tulu.jsonl" "$out/xstest.jsonl" --show 1
prefdata mock-server --judge longest --port 0 > "$out/url" &
server=$!
trap 'kill $server' EXIT
while [ ! -s "$out/url" ]; do sleep 0.1; done
run label "$out/llmbar.parquet" -o "$out/judged.parquet" --judge pairwise --model mock --base-url "$(cat "$out/url")"
run eval judge "$out/judged.parquet"

run export "$out/hh.parquet" -o "$out/hh-trl" --to trl --split test=0.05
