# What the benches of a running server stand on; sourced by them. A folder and a Kafka of their own on free ports, and
# everything that was started ends with the script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
hexwatch=${HEXWATCH:-$PWD/target/release/hexwatch}
socket_load=${SOCKET_LOAD:-$PWD/target/release/examples/socket_load}
cache=$PWD/.cache/bench
python=$cache/venv/bin/python
mkdir -p "$cache"
for binary in "$hexwatch" "$socket_load"; do
  [ -x "$binary" ] || { echo "$binary is not there: cargo build --release --bin hexwatch, and
cargo build --release -p hexwatch-server --example socket_load" >&2; exit 1; }
done
if ! "$python" -c 'import confluent_kafka, h3, orjson' 2> /dev/null; then
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install -q -r benches/requirements.txt
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/hexwatch-bench.XXXXXX")
started=()
end() {
  local pid
  for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2> /dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
# Before anything is started: each client of a socket is a file on both sides.
ulimit -n "$(ulimit -Hn)"

live() { "$python" benches/live.py "$@"; }
# The same beside what follows; sets beside.
live_beside() {
  "$python" benches/live.py "$@" &
  beside=$!
  started+=("$beside")
}

start_kafka() {
  local port
  port=$(live free-ports)
  brokers=127.0.0.1:$port
  fixtures/kafka/start "$work/kafka" "$port" > "$work/kafka.log" 2>&1 &
  broker=$!
  started+=("$broker")
  for _ in $(seq 240); do
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && return
    kill -0 "$broker" || { cat "$work/kafka.log" >&2; exit 1; }
    sleep 0.5
  done
}

# create_topics PREFIX PARTITIONS
create_topics() {
  HEXWATCH__KAFKA__INPUT_PREFIX=$1 "$hexwatch" topics create --brokers "$brokers" --partitions "$2" > /dev/null
}

# site_of DEVICES: the folder of the simulated community, as a simulation of so many devices writes it.
site_of() {
  "$hexwatch" simulate --seed 7 --devices "$1" --rate 100 --events 1 --out "$work/site-$1" > /dev/null
  echo "$work/site-$1.site"
}

# start_engine NAME PREFIX ARGUMENTS...: `hexwatch run` on the topics PREFIX*, ready to be asked; sets engine, address.
start_engine() {
  local name=$1 prefix=$2
  address=127.0.0.1:$(live free-ports)
  HEXWATCH__KAFKA__INPUT_PREFIX=$prefix HEXWATCH__KAFKA__OUTPUT_PREFIX=$name. \
    "$hexwatch" run --brokers "$brokers" --listen "$address" --data-dir "$work/$name" "${@:3}" \
    > "$work/$name.log" 2>&1 &
  engine=$!
  started+=("$engine")
  live ready "$address" || { cat "$work/$name.log" >&2; exit 1; }
}

# stop PID: ends what was started, and waits for it.
stop() {
  kill "$1" 2> /dev/null || true
  wait "$1" 2> /dev/null || true
}

# simulate RATE DURATION PREFIX ARGUMENTS...: a community's events into Kafka at the pace of the clock; sets simulation.
simulate() {
  (cd "$work" && HEXWATCH__KAFKA__INPUT_PREFIX=$3 exec "$hexwatch" simulate --seed 7 --rate "$1" --duration "$2" \
    --brokers "$brokers" "${@:4}" > "$work/simulate.log" 2>&1) &
  simulation=$!
  started+=("$simulation")
}

# megabytes PID: what it has in memory now.
megabytes() { awk '/^VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }

# cpu PID...: the CPU seconds that each has used, one a line.
cpu() {
  local pid hz
  hz=$(getconf CLK_TCK)
  for pid in "$@"; do
    sed 's/.*) //' "/proc/$pid/stat" 2> /dev/null | awk -v hz="$hz" '{ printf "%.2f\n", ($12 + $13) / hz }' || echo 0
  done
}
