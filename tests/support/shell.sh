# What the scripts share that run the operator on a local control plane: tests/demo/run, tests/walk/run and release/image-test.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bin=$PWD/target/debug
work=$(mktemp -d "${TMPDIR:-/tmp}/fic-XXXXXX")
pids=()

# What each program logs when it has started.
control_plane_ready='^# ready'
simulator_ready='listening on'
operator_ready='the caches are synced'
operator_waits='waiting to acquire the lease'

heading() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# Prints a command and runs it.
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

# Runs a command that must fail.
show_failure() {
    if show "$@"; then
        echo "error: this should have failed" >&2
        exit 1
    fi
}

# Stops each process by its id, the control plane last, and removes the files. Runs at every exit.
clean_up() {
    trap - EXIT INT TERM
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
        kill "${pids[at]}" 2>/dev/null || true
        wait "${pids[at]}" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Waits until a file contains a text. Fails if the process exits before.
wait_for_text() {
    local file=$1 text=$2 pid=$3
    until grep -q "$text" "$file" 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || { echo "error: the process exited:" >&2; cat "$file" >&2; exit 1; }
        sleep 0.1
    done
}

# Sends a GET request to the simulator. The machine may not have curl.
get() {
    exec 3<>"/dev/tcp/127.0.0.1/${simulator##*:}"
    printf 'GET %s HTTP/1.0\r\nHost: simulator\r\n\r\n' "$1" >&3
    sed '1,/^\r$/d' <&3
    exec 3<&-
}

# The requests that the simulator received, with the status of each response.
requests() {
    get /_control/log | sed 's/},{/}\n{/g' | sed -n 's/.*"call":"\([A-Za-z]*\)".*"status":\([0-9]*\).*/  \1 \2/p'
}

# Starts a control plane, and lets kubectl use it.
start_control_plane() {
    "$bin/control-plane" up >"$work/control-plane.log" 2>&1 &
    pids+=($!)
    wait_for_text "$work/control-plane.log" "$control_plane_ready" $!
    eval "$(grep '^export ' "$work/control-plane.log")"
}

# Starts a simulator. Its operations take this long.
start_simulator() {
    "$bin/fic-simulator" --listen 127.0.0.1:0 --processing-time "$1" >"$work/simulator.log" 2>&1 &
    pids+=($!)
    wait_for_text "$work/simulator.log" "$simulator_ready" $!
    simulator=$(sed -n "s/.*$simulator_ready //p" "$work/simulator.log")
    echo "the simulator listens on $simulator"
}

# Writes a kubeconfig with the permissions of the service account of the operator in a namespace.
kubeconfig_for() {
    local token
    token=$(kubectl create token fic-support-operator --namespace "$1")
    kubectl config view --raw --flatten >"$2"
    KUBECONFIG=$2 kubectl config set-credentials operator --token="$token" >/dev/null
    KUBECONFIG=$2 kubectl config set-context --current --user=operator >/dev/null
}

# Starts an operator with the permissions of its service account in a namespace, with these flags. Sets `operator` to its process and `operator_log`.
start_operator() {
    local namespace=$1 kubeconfig=$work/operator-${#pids[@]}.kubeconfig
    shift
    kubeconfig_for "$namespace" "$kubeconfig"
    operator_log=$work/operator-${#pids[@]}.log
    POD_NAMESPACE=$namespace KUBECONFIG=$kubeconfig "$bin/fic-support-operator" "$@" \
        --http-bind-address=127.0.0.1:0 --poll-interval=1s --allow-insecure-http \
        --fic-endpoint="$simulator/fic-eri" --keystone-endpoint="$simulator/keystone/v3" >"$operator_log" 2>&1 &
    operator=$!
    pids+=("$operator")
    wait_for_text "$operator_log" "$operator_ready\|$operator_waits" "$operator"
}
