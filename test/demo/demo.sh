# Where the demo lives; read by start, stop and psql.
here=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$here/test/cluster
demo=${RAPPORT_DEMO:-/var/tmp/rapport-demo-$(id -u)}
database=demo
PG_VERSION=$("$here/test/pg-version")
export PG_VERSION

# The server's process, if it is still ours: a pid may have been given anew.
server() {
	local pid
	pid=$(cat "$demo/rapportd.pid" 2>/dev/null) || return 1
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = rapportd ] && echo "$pid"
}

stop_server() {
	local pid
	pid=$(server) || return 0
	kill "$pid" 2>/dev/null || return 0
	for _ in $(seq 150); do
		server >/dev/null || return 0
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
}
