#!/bin/sh
# The whole line, offline: a tiny untrained model, a mock judge that prefers the longer answer, and the recipe examples/demo.yaml.
# Run it again, and every step is up to date; change a line of the recipe, and what depends on it runs.
set -eu
out=${1:-demo-output}
mkdir -p "$out"

echo "$ prefdata run examples/demo.yaml -o $out"
prefdata convert 'examples/data/hh_rlhf_harmless/*.jsonl.gz' -o "$out/words.parquet" --quiet || [ $? -eq 1 ] # 1: rows were rejected
[ -d "$out/model" ] || python examples/tiny_model.py "$out/words.parquet" "$out/model"
prefdata mock-server --judge longest --port 0 > "$out/url" &
server=$!
trap 'kill $server' EXIT
while [ ! -s "$out/url" ]; do sleep 0.1; done
code=0
prefdata run examples/demo.yaml -o "$out" "model=$out/model" "server=$(cat "$out/url")" 2>&1 || code=$?
[ "$code" -le 1 ] || exit "$code"

echo
echo "Where to look next:"
echo "  $out/report/report.html       the tuned model against the one before, answer by answer"
echo "  $out/rm-report/report.html    the reward model"
echo "  $out/findings.md              what the linter found"
echo "  $out/hh.parquet.rejects.jsonl rows that could not be used, with the reason"
echo "  examples/demo.yaml            the recipe; change a line and run 'make demo' again"
