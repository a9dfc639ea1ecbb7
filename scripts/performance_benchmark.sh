#!/usr/bin/env bash
# Load on a demo of this checkout, on free ports of the loopback, and how it compares with a bare server.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/performance_benchmark.sh [OPTION…] [WORKLOAD…]

Workloads: discovery token introspect userinfo mixed memory. Without one: all but memory.

  --duration N  seconds of each round (5)
  --rounds N    rounds; the medians are told (5)
  --clients N   connections (32)
  --output DIR  where the results go as JSON (target/load)
  --help        this text

With the load tester (`security_load_test`, built like the server) each workload alternates with a bare server
of the same payloads, and the ratios are told. Without it `wrk` is used: then the yardstick is discovery, and
userinfo, which needs a person's token, is left out.

memory tells what the server holds when idle, after load, and with 1,000 more connections.

CHANCERY and LOAD_TEST may name the programs; otherwise those in target/release are used, and built if missing.
TEXT
}

duration=5 rounds=5 clients=32 output=""
workloads=()
while [ $# -gt 0 ]; do
    case $1 in
        --duration | --rounds | --clients | --output)
            [ $# -gt 1 ] || { echo "$0: $1 needs a value" >&2; exit 2; }
            printf -v "${1#--}" %s "$2"
            shift ;;
        --help | -h) usage; exit 0 ;;
        discovery | token | introspect | userinfo | mixed | memory) workloads+=("$1") ;;
        *) echo "$0: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ ${#workloads[@]} -gt 0 ] || workloads=(discovery token introspect userinfo mixed)

target=${CARGO_TARGET_DIR:-target}
output=${output:-$target/load}
server=${CHANCERY:-$target/release/chancery}
tester=${LOAD_TEST:-$target/release/security_load_test}
if [ ! -x "$server" ]; then
    [ -z "${CHANCERY:-}" ] || { echo "$0: CHANCERY=$CHANCERY cannot be run" >&2; exit 2; }
    cargo build --release --locked --bin chancery
fi
if [ ! -x "$tester" ] && [ -d load_test ]; then
    cargo build --release --locked --package security_load_test || true
fi
if [ ! -x "$tester" ]; then
    tester=""
    command -v wrk >/dev/null || { echo "$0: neither security_load_test nor wrk is here; install wrk" >&2; exit 2; }
fi

folder=$(mktemp -d)
demo=""
stop() {
    [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
    [ -z "$demo" ] || wait "$demo" 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT

"$server" demo --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --json >"$folder/demo.json" 2>"$folder/log" &
demo=$!
for _ in $(seq 200); do
    [ ! -s "$folder/demo.json" ] || break
    kill -0 "$demo" 2>/dev/null || { cat "$folder/log" >&2; exit 2; }
    sleep 0.1
done
[ -s "$folder/demo.json" ] || { echo "$0: the demo did not begin within 20 s" >&2; exit 2; }
url=$(sed 's/.*"issuer":"\([^"]*\)".*/\1/' "$folder/demo.json" | head -1)
mkdir -p "$output"

resident() { awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$demo/status"; }
# CPU time of the server so far, in microseconds: user and system, in ticks.
cpu() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); printf "%d", ($12 + $13) * 1000000 / tick }' "/proc/$demo/stat"; }

# A script for wrk: a request with the service's credentials.
script() {
    cat >"$folder/$1.lua" <<LUA
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "Basic ZGVtby1zZXJ2aWNlOmRlbW8tc2VydmljZS1zZWNyZXQ="
local n = 0
request = function()
    n = n + 1
    $2
end
LUA
}
scripts() {
    local token
    token=$(curl -sf -u demo-service:demo-service-secret -d grant_type=client_credentials "$url/oauth/token" |
        sed 's/.*"access_token":"\([^"]*\)".*/\1/')
    local issue='return wrk.format(nil, "/oauth/token", nil, "grant_type=client_credentials&scope=read")'
    local ask="return wrk.format(nil, \"/oauth/introspect\", nil, \"token=$token\")"
    script token "$issue"
    script introspect "$ask"
    script mixed "if n % 3 == 0 then $issue else $ask end"
    echo 'request = function() return wrk.format("GET", "/.well-known/openid-configuration") end' >"$folder/discovery.lua"
}

# One round of wrk: requests per second and the server's microseconds for each.
wrk_round() {
    local before after said
    before=$(cpu)
    said=$(wrk -t1 -c"$clients" -d"${duration}s" -s "$folder/$1.lua" "$url")
    after=$(cpu)
    if grep -q 'Non-2xx' <<<"$said"; then
        echo "$0: $1 was answered with errors:" >&2
        echo "$said" >&2
        return 1
    fi
    awk -v cpu=$((after - before)) '/requests in/ { n = $1 } /^Requests\/sec/ { printf "%s %.2f\n", $2, cpu / n }' <<<"$said"
}

median() { sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# Rounds of the workload and of discovery in turns, so that what else the machine does hits both alike.
by_wrk() {
    if [ "$1" = userinfo ]; then
        echo "userinfo: left out; it needs a person's token, and with it security_load_test"
        return
    fi
    : >"$folder/rounds" && : >"$folder/yardstick"
    for _ in $(seq "$rounds"); do
        wrk_round "$1" >>"$folder/rounds"
        wrk_round discovery >>"$folder/yardstick"
    done
    awk -v name="$1" 'BEGIN { printf "[" } { printf "%s{\"name\":\"%s\",\"rate\":%s,\"cpu_per_request_us\":%s}", (NR > 1 ? "," : ""), name, $1, $2 }
        END { print "]" }' "$folder/rounds" >"$output/$1.json"
    local rate yard cpu
    rate=$(cut -d' ' -f1 "$folder/rounds" | median)
    cpu=$(cut -d' ' -f2 "$folder/rounds" | median)
    yard=$(cut -d' ' -f1 "$folder/yardstick" | median)
    awk -v name="$1" -v rate="$rate" -v cpu="$cpu" -v yard="$yard" \
        'BEGIN { printf "%-12s %9.0f requests/s %7.1f us of server CPU each %6.2f of the rate of discovery\n", name, rate, cpu, rate / yard }'
}

by_tester() {
    local workload=$1
    [ "$workload" != mixed ] || workload=mixed-workload
    "$tester" "$workload" --demo "$folder/demo.json" --pid "$demo" --clients "$clients" \
        --duration "${duration}s" --rounds "$rounds" --baseline --json "$output/$1.json"
}

memory() {
    echo "memory idle:                     $(resident)"
    if [ -n "$tester" ]; then
        "$tester" token --demo "$folder/demo.json" --clients "$clients" --duration "${duration}s" >/dev/null
        echo "memory after load:               $(resident)"
        "$tester" connections --demo "$folder/demo.json" --pid "$demo" --count 1000 --json "$output/connections.json"
        return
    fi
    wrk -t1 -c"$clients" -d"${duration}s" -s "$folder/token.lua" "$url" >/dev/null
    echo "memory after load:               $(resident)"
    wrk -t1 -c1000 -d5s -s "$folder/token.lua" "$url" >/dev/null &
    local load=$!
    sleep 3
    echo "memory with 1,000 busy clients:  $(resident)"
    wait "$load"
}

[ -n "$tester" ] || scripts
for workload in "${workloads[@]}"; do
    if [ "$workload" = memory ]; then
        memory
    elif [ -n "$tester" ]; then
        by_tester "$workload"
    else
        by_wrk "$workload"
    fi
done
echo "The results are in $output; scripts/compare_benchmarks.py compares two such folders."
