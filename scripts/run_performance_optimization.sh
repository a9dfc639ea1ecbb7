#!/usr/bin/env bash
# Everything that is measured, and how it compares with the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/run_performance_optimization.sh [all|benchmarks|load-test|memory] [--runs N]

  benchmarks  instructions and allocations against their records, then the benchmarks, so many times
  load-test   scripts/performance_benchmark.sh: a demo under load, against a bare server
  memory      allocations per request, and what a demo holds
  all         all of them; the default
  --runs N    runs of the benchmarks (1); with four and more the comparison is of whole runs

The results are kept in target/measurements/latest, those of the time before in target/measurements/previous;
the two are compared at the end. Exit status: 0, or 1 when a record is exceeded or something became worse.
TEXT
}

what=all runs=1
while [ $# -gt 0 ]; do
    case $1 in
        all | benchmarks | load-test | memory) what=$1 ;;
        --runs)
            [ $# -gt 1 ] || { echo "$0: --runs needs a number" >&2; exit 2; }
            runs=$2
            shift ;;
        --help | -h) usage; exit 0 ;;
        *) echo "$0: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

target=${CARGO_TARGET_DIR:-target}
kept=$target/measurements
status=0

step() { printf '\n== %s\n' "$*"; }

# begin NAME: makes room for new results; the last ones become the previous ones.
begin() {
    rm -rf "${kept:?}/previous/$1"
    mkdir -p "$kept/previous" "$kept/latest"
    [ ! -d "$kept/latest/$1" ] || mv "$kept/latest/$1" "$kept/previous/$1"
    mkdir -p "$kept/latest/$1"
}

against_the_last_time() {
    [ -d "$kept/previous/$1" ] || { echo "There is no earlier measurement of $1 to compare with."; return; }
    step "$1, against the time before"
    local code=0
    scripts/compare_benchmarks.py "$kept/previous/$1" "$kept/latest/$1" || code=$?
    [ $code -ne 1 ] || status=1
}

allocations() {
    step "allocations per request"
    cargo bench --locked --bench allocations || status=1
}

benchmarks() {
    step "instructions per operation"
    scripts/instruction_counts || status=1
    allocations
    begin criterion
    for run in $(seq "$runs"); do
        step "benchmarks, run $run of $runs"
        rm -rf "$target/criterion"
        cargo bench --locked --bench security_performance_bench
        cargo bench --locked --bench performance_suite
        cp -r "$target/criterion" "$kept/latest/criterion/$run"
    done
    against_the_last_time criterion
}

load_test() {
    step "a demo under load"
    begin load
    scripts/performance_benchmark.sh --output "$kept/latest/load"
    against_the_last_time load
}

memory() {
    step "memory"
    scripts/performance_benchmark.sh --output "$kept/latest/memory" memory
}

case $what in
    benchmarks) benchmarks ;;
    load-test) load_test ;;
    memory) allocations; memory ;;
    all) benchmarks; load_test; memory ;;
esac
exit $status
