#!/usr/bin/env bash
# CPU time per request against node-oidc-provider, the strongest peer that a registry serves, side by side in one run.
set -euo pipefail
cd "$(dirname "$0")/.."

# The newest release; it warns that Node 20 is old, and runs on it.
peer_version=9.13.3

usage() {
    cat <<TEXT
usage: scripts/compare_peer.sh [OPTION…]

  --chancery PATH  the program (CHANCERY, or target/release/chancery)
  --rounds N       rounds of each server and each kind of request, in turns (5, which is also the least)
  --duration N     seconds of each round (3)
  --clients N      connections (32)
  --help           this text

Installs oidc-provider $peer_version from npm in a temporary folder, starts it with its in-memory store beside a
demo with one worker, and prints for the issue of an opaque token (client_credentials) and for its introspection
the server's CPU time per request, medians and ranges, and the ratios; also start-up time and idle memory.

Needs Linux, node (20 or newer), npm, curl, and wrk or the load tester (LOAD_TEST, or
target/release/security_load_test). Everything stays on the loopback, and nothing is left behind.
TEXT
}

fail() { echo "$0: $*" >&2; exit 2; }

target=${CARGO_TARGET_DIR:-target}
chancery=${CHANCERY:-$target/release/chancery} rounds=5 duration=3 clients=32
while [ $# -gt 0 ]; do
    case $1 in
        --chancery | --rounds | --duration | --clients)
            [ $# -gt 1 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        --help | -h) usage; exit 0 ;;
        *) echo "$0: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
for number in rounds duration clients; do
    [[ ${!number} =~ ^[1-9][0-9]{0,5}$ ]] || fail "--$number must be a whole number from 1, not ${!number}"
done
[ "$rounds" -ge 5 ] || fail "--rounds must be at least 5: the median of fewer says little"

[ -r /proc/self/stat ] || fail "CPU time is read from /proc, which only Linux has"
command -v node >/dev/null || fail "node is not here; install Node.js 20 or newer"
command -v npm >/dev/null || fail "npm is not here; install it (apt install npm)"
command -v curl >/dev/null || fail "curl is not here; install it (apt install curl)"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "node is of version $major; oidc-provider $peer_version needs 20 or newer"
[ -x "$chancery" ] || fail "$chancery cannot be run; build it (cargo build --release) or name another with --chancery"
tester=""
if ! command -v wrk >/dev/null; then
    tester=${LOAD_TEST:-$target/release/security_load_test}
    [ -x "$tester" ] || fail "neither wrk nor $tester is here; install wrk (apt install wrk)"
fi

folder=$(mktemp -d)
declare -A pid url facts user credentials
user=([chancery]=demo-service:demo-service-secret [peer]=peer-service:peer-service-secret)
for side in chancery peer; do credentials[$side]=$(printf %s "${user[$side]}" | base64); done

# stop SIDE: ends a server that this script started.
stop() {
    [ -n "${pid[$1]:-}" ] || return 0
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    pid[$1]=""
}
clear_up() {
    trap '' INT TERM HUP
    stop chancery
    stop peer
    rm -rf "$folder"
}
trap clear_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

install_peer() {
    echo '{ "private": true, "type": "module" }' >"$folder/package.json"
    npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel=error \
        "oidc-provider@$peer_version" >"$folder/npm.log" 2>&1 && return
    cat "$folder/npm.log" >&2
    fail "npm could not install oidc-provider $peer_version; is its registry reachable?"
}

# The same paths as ours, one confidential client, and whatever is not asked for left at its default.
write_peer() {
    cat >"$folder/server.js" <<'JS'
import Provider from 'oidc-provider';

const provider = new Provider('http://127.0.0.1', {
  clients: [{
    client_id: 'peer-service',
    client_secret: 'peer-service-secret',
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: 'read write',
  }],
  scopes: ['read', 'write'],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
  routes: { token: '/oauth/token', introspection: '/oauth/introspect' },
});
const server = provider.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ issuer: `http://127.0.0.1:${server.address().port}` }));
});
JS
}

# start SIDE: starts a server, and notes in milliseconds how long it takes until the metadata is answered.
start() {
    local side=$1 began line connection host
    rm -f "$folder/$side.out"
    mkfifo "$folder/$side.out"
    began=$EPOCHREALTIME
    if [ "$side" = chancery ]; then
        CHANCERY_SERVER_WORKERS=1 "$chancery" demo --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --json \
            >"$folder/$side.out" 2>"$folder/$side.log" &
    else
        NODE_ENV=production node "$folder/server.js" >"$folder/$side.out" 2>"$folder/$side.log" &
    fi
    pid[$side]=$!
    # A pipe is waited for without asking again and again, and kept open so that nobody writes into a closed one.
    exec {facts[$side]}<"$folder/$side.out"
    read -r -t 20 -u "${facts[$side]}" line || { cat "$folder/$side.log" >&2; fail "$side did not start within 20 s"; }
    url[$side]=$(sed 's/.*"issuer":"\([^"]*\)".*/\1/' <<<"$line")
    host=${url[$side]#http://}
    exec {connection}<>"/dev/tcp/${host%:*}/${host#*:}"
    printf 'GET /.well-known/openid-configuration HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$host" >&"$connection"
    read -r -t 20 -u "$connection" line || fail "$side does not answer"
    [[ $line == "HTTP/1.1 200"* ]] || fail "$side answers its metadata with $line"
    awk -v began="$began" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", (now - began) * 1000 }' >>"$folder/$side.start"
    exec {connection}>&-
}

token_of() {
    curl -sf -u "${user[$1]}" -d grant_type=client_credentials -d scope=read "${url[$1]}/oauth/token" |
        sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}
# check SIDE TOKEN: the token is opaque, and the server says that it is active.
check() {
    [ -n "$2" ] || fail "$1 issues no token"
    [[ $2 != eyJ* ]] || fail "$1 issues a JWT, and opaque tokens are to be compared"
    local said
    said=$(curl -sf -u "${user[$1]}" --data-urlencode "token=$2" "${url[$1]}/oauth/introspect") || true
    [[ $said == *'"active":true'* ]] || fail "$1 does not call its token active; it says: $said"
}

resident() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/${pid[$1]}/status"; }
# CPU time of a server so far, all threads, user and system, in microseconds.
cpu() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); printf "%d", ($12 + $13) * 1000000 / tick }' "/proc/${pid[$1]}/stat"; }

# load SIDE KIND TOKEN: loads a server for a round and prints how many requests it answered.
load() {
    local body="grant_type=client_credentials&scope=read" said
    [ "$2" = token ] || body="token=$3"
    if [ -n "$tester" ]; then
        "$tester" "$2" --url "${url[$1]}" --client "${user[$1]}" --clients "$clients" --duration "${duration}s" \
            --warm-up 0ms --timeout 30s --json "$folder/round.json" >"$folder/round.log" || { cat "$folder/round.log" >&2; return 1; }
        node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).server.median.requests' "$folder/round.json"
        return
    fi
    cat >"$folder/round.lua" <<LUA
wrk.method = "POST"
wrk.path = "/oauth/$2"
wrk.body = "$body"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "Basic ${credentials[$1]}"
LUA
    said=$(wrk -t1 -c"$clients" -d"${duration}s" --timeout 30s -s "$folder/round.lua" "${url[$1]}")
    if grep -qE 'Non-2xx|Socket errors' <<<"$said"; then echo "$said" >&2; return 1; fi
    awk '/requests in/ { print $1 }' <<<"$said"
}

# round SIDE KIND FILE: adds to the file what a request cost the server, in microseconds, and its rate. The token is
# a new one each time, as the peer's store keeps the last thousand things only.
round() {
    local token before count after
    token=$(token_of "$1")
    before=$(cpu "$1")
    count=$(load "$1" "$2" "$token") || fail "$1 answered requests for $2 with errors; see above"
    after=$(cpu "$1")
    [ "$2" = token ] || check "$1" "$token"
    awk -v cpu=$((after - before)) -v n="$count" -v s="$duration" 'BEGIN { printf "%.2f %.0f\n", cpu / n, n / s }' >>"$3"
}

# warm_up SIDE KIND: what is compiled and cached while it runs shall be; that takes requests, and not seconds.
warm_up() {
    local token count answered=0
    token=$(token_of "$1")
    for _ in $(seq 60); do
        count=$(load "$1" "$2" "$token") || fail "$1 answered requests for $2 with errors; see above"
        answered=$((answered + count))
        [ "$answered" -lt 10000 ] || return 0
    done
    fail "$1 answered only $answered requests in 60 rounds, too few to be warm; do less beside it, or give a longer --duration"
}

# Median, least and most of the column $2 of the file $1.
spread() { sort -g -k"$2,$2" "$1" | awk -v c="$2" '{ a[NR] = $c } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2, a[1], a[NR] }'; }

# row NAME UNIT CHANCERY PEER COLUMN: a line of the table, from a file of each side.
row() {
    awk -v name="$1" -v unit="$2" -v ours="$(spread "$3" "$5")" -v theirs="$(spread "$4" "$5")" 'BEGIN {
        split(ours, a, " "); split(theirs, b, " ")
        printf "%-24s %-13s %9.1f (%.1f-%.1f)\t%9.1f (%.1f-%.1f)\t%8.2f\n", name, unit, a[1], a[2], a[3], b[1], b[2], b[3], b[1] / a[1]
    }' | expand -t 66,94
}

install_peer
write_peer
for turn in $(seq 5); do
    for side in chancery peer; do
        start $side
        [ "$turn" -eq 5 ] || stop $side
    done
done
for side in chancery peer; do check $side "$(token_of $side)"; done
sleep 1
for side in chancery peer; do resident $side >"$folder/$side.memory"; done

for kind in introspect token; do
    for side in chancery peer; do warm_up $side $kind; done
    for _ in $(seq "$rounds"); do
        for side in chancery peer; do round $side $kind "$folder/$side.$kind"; done
    done
done

echo "Chancery with one worker and oidc-provider $peer_version on Node $(node -p process.versions.node), $rounds rounds of $duration s each in turns,"
echo "$clients connections. Medians, with the least and the most in brackets."
echo
printf '%-38s %9s\t%9s\t%8s\n' "" chancery oidc-provider "theirs / ours" | expand -t 66,94
row "introspection, opaque" "CPU us each" "$folder/chancery.introspect" "$folder/peer.introspect" 1
row "client_credentials" "CPU us each" "$folder/chancery.token" "$folder/peer.token" 1
row "start to first answer" ms "$folder/chancery.start" "$folder/peer.start" 1
row "idle memory" MiB "$folder/chancery.memory" "$folder/peer.memory" 1

# A server that is kept waiting by other work finds its caches cold, and the larger one suffers the most.
for kind in introspect token; do
    for side in chancery peer; do
        spread "$folder/$side.$kind" 1 | awk -v side="$side" -v kind="$kind" '$3 > 1.5 * $2 {
            printf "Not steady: the rounds of %s by %s differ by a factor of %.1f. Measure again when the machine does nothing else.\n", kind, side, $3 / $2
        }'
    done
done
