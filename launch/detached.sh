#!/usr/bin/env bash
# Runs a program that outlives the connection it was started over.
#
#   detached.sh start COMMAND...  end what was started here before; start this
#   detached.sh follow            stream its output, end with its exit code
#
# State is in the current directory: program.pid, program.log and, once it has
# ended, program.exit. For tpu_vm.sh, which runs this on each worker.

set -euo pipefail

# Ends the program of an earlier start and all it started: gently, then not.
stop() {
  local pid tries
  pid="$(cat program.pid 2>/dev/null)" || return 0
  kill -TERM -- "-${pid}" 2>/dev/null || return 0
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 -- "-${pid}" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-${pid}" 2>/dev/null || true
}

# What an earlier machine or slice left in the environment, of its neighbours,
# would be believed; the TPU's own metadata say it anew.
forget_earlier_slices() { unset "${!MEGASCALE_@}" "${!TPU_@}"; }

start() {
  stop
  forget_earlier_slices
  rm -f program.exit
  : >program.log
  # The shell around the program leads a process group of its own; its trap
  # keeps it alive at a SIGTERM, to write down how the program ended.
  # shellcheck disable=SC2016  # The inner shell's variables.
  setsid nohup bash -c '
    trap : TERM
    code=0
    "$@" || code=$?
    echo "${code}" >program.exit.new
    mv program.exit.new program.exit' \
    detached "$@" >>program.log 2>&1 </dev/null &
  echo "$!" >program.pid
}

follow() {
  tail --lines=+1 --follow --pid="$(cat program.pid)" program.log
  # Without an exit code it was killed with its shell.
  exit "$(cat program.exit 2>/dev/null || echo 137)"
}

case "${1:-}" in
  start) start "${@:2}" ;;
  follow) follow ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    [[ "${1:-}" == --help ]]
    ;;
esac
