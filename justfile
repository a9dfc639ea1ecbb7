# Every script has a recipe here. `just` alone lists them.

_list:
    @just --list

# Format, lints, documentation, tests; `just test --fast`, `just test --nightly`
test *ARGS:
    ./scripts/test {{ARGS}}

# A server with demo identities over a temporary store
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Load on a running server; see docs/load-testing.md. `just load token --clients 64`
load *ARGS:
    cargo run --release --package load_test -- {{ARGS}}

# The architecture's rules only
tidy:
    cargo test --locked --test tidy

# Write docs/security-traceability.md anew: which test holds which requirement
traceability:
    CHANCERY_UPDATE=1 cargo test --locked --test tidy the_page_of_tests

# Licences, advisories and bans of the dependencies (needs cargo-deny)
deny:
    cargo deny check

# Instructions per operation of the hot paths against the record; `just instruction_counts --write` renews it
instruction_counts *ARGS:
    ./scripts/instruction_counts {{ARGS}}

# What a change costs the hot paths: an old and a new commit in turns; `just cost_of_change main`
cost_of_change *ARGS:
    ./scripts/cost_of_change {{ARGS}}

# Two measurements, with medians and confidence; fails when the second is worse
compare_benchmarks *ARGS:
    ./scripts/compare_benchmarks.py {{ARGS}}

# From measured costs and a wished load to cores, memory, nodes and a price
capacity *ARGS:
    ./scripts/capacity.py {{ARGS}}

# A demo under load, against a bare server
performance_benchmark *ARGS:
    ./scripts/performance_benchmark.sh {{ARGS}}

# CPU time per request against node-oidc-provider, in one run (needs node, npm, curl and wrk)
compare_peer *ARGS:
    ./scripts/compare_peer.sh {{ARGS}}

# All that is measured, against the last time: all, benchmarks, load-test or memory
run_performance_optimization *ARGS:
    ./scripts/run_performance_optimization.sh {{ARGS}}

# A release optimised by the profile of a training run; see docs/performance.md
release-pgo *ARGS:
    ./scripts/release-pgo {{ARGS}}

# Whether the tests of the alerts would notice a wrong rule (needs promtool)
mutate_alerts *ARGS:
    ./scripts/mutate_alerts {{ARGS}}

# Write grafana/dashboards from their tables; `--check` compares, `--metrics FILE` tells what is not used
dashboards *ARGS:
    ./scripts/dashboards {{ARGS}}

# Pictures of the dashboards from a live Prometheus, in docs/img; `just draw_dashboards http://127.0.0.1:9090 --last 15m`
draw_dashboards *ARGS:
    ./scripts/draw_dashboards {{ARGS}}

# Refresh rotations per second on a store that holds a million authorizations
rotation_benchmark *ARGS:
    ./scripts/rotation_benchmark.py {{ARGS}}

# What the program is made of, and the licences; `just bill_of_materials --out target/bill`
bill_of_materials *ARGS:
    ./scripts/bill_of_materials {{ARGS}}

# Dockerfile.optimized without a container engine, step by step, and the image started (needs root and debootstrap)
image_in_chroot *ARGS:
    ./scripts/image_in_chroot {{ARGS}}
