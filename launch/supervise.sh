# shellcheck shell=bash
# Keeps a program running on a cloud machine until it is done.
#
# Sourced by tpu_vm.sh and gpu_vm.sh, which read the command line, define
#   create_machine    asks for the machine and waits until it is there; sets
#                     taken_away where it was lost before that
#   install_program   once on each new machine
#   start_program     ends what still runs of the program, and starts it
#   follow_program    streams its output, ends with its exit code
#   describe_machine  the command whose answer is READY_STATE, or another state
#   describe_request  the command that fails once nothing is left to delete
#   delete_machine, copy_results, list_results
# and then call supervise. Exit codes of the program: see docs/launch.md.

set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=options.sh
source "${directory:?}/options.sh"

readonly MAX_ERRORS=3        # Starts after errors of the program.
readonly MAX_IDLE=10         # Preemptions in a row without a new result.
readonly MAX_SSH_FAILURES=5  # In a row, of a machine that is said to be up.
# shellcheck disable=SC2034  # The launchers read it.
# By itself, ssh takes hours to notice that a machine is gone without a word.
readonly SSH_FLAG='--ssh-flag=-o ServerAliveInterval=30 -o ConnectTimeout=30'
readonly NO_CAPACITY='ZONE_RESOURCE_POOL_EXHAUSTED|no more capacity in the zone'
readonly NAME_TAKEN='ALREADY_EXISTS|already exists'

child=''          # The command that runs now, leader of a process group.
owned=false       # Whether the machine is ours to delete.
creating=false    # Whether a request for one is under way.
taken_away=false  # Whether what was asked for is lost, to be asked for again.
waited=0          # Minutes without a machine.
at_stake=false    # Whether results lie on the machine alone.
must_start=true   # Whether the next attempt starts the program.
last_listing='-'  # The results at the end of the attempt before.
idle=0
errors=0
ssh_failures=0

# Runs a command, or prints it in a dry run. It runs in the background, as a
# signal is answered only between commands, and some of these take hours.
run() {
  if [[ "${dry_run}" == true ]]; then
    print_command "$@"
    return 0
  fi
  local code=0
  "$@" </dev/null &
  child=$!
  wait "${child}" || code=$?
  child=''
  return "${code}"
}

# Runs a command that creates something; its message is kept to be judged.
run_create() {
  local code=0
  run "$@" 2>"${scratch}/create" || code=$?
  cat "${scratch}/create" >&2
  return "${code}"
}

# Prints what a describe command answers: a state, 'gone', or nothing if the
# cloud cannot be asked, with its message.
ask() {
  local answer
  if answer="$("$@" 2>"${scratch}/error")"; then
    printf '%s\n' "${answer}"
  elif grep -qE 'NOT_FOUND|was not found' "${scratch}/error"; then
    printf 'gone\n'
  else
    cat "${scratch}/error" >&2
  fi
}

# Whether the machine can run nothing more.
machine_lost() {
  local state tries
  for ((tries = 0; tries < 10; tries++)); do
    state="$(ask describe_machine)"
    case "${state}" in
      "${READY_STATE}") return 1 ;;
      '') run sleep 60 ;;
      *)
        say "The machine is ${state}."
        return 0
        ;;
    esac
  done
  die 'The cloud did not say how the machine is, ten times in a row.'
}

# Creates the machine; waits where none is free, stops at any other error. The
# name is not ours while nothing of it is there: somebody else may take it.
obtain_machine() {
  waited=0
  until try_to_create; do
    if [[ "${taken_away}" == true ]]; then
      remove_machine || die 'What was taken away could not be deleted.'
    elif grep -qE "${NAME_TAKEN}" "${scratch}/create"; then
      owned=false
      die "${name} is another's by now and is left alone; give another --name."
    elif ! grep -qE "${NO_CAPACITY}" "${scratch}/create"; then
      die 'The machine could not be created: see the message above.'
    fi
    owned=false
    wait_for_capacity 5
  done
  install_program || die 'The program could not be installed: see above.'
  must_start=true
}

try_to_create() {
  local code=0
  owned=true
  creating=true
  taken_away=false
  create_machine || code=$?
  creating=false
  return "${code}"
}

# Waits for $1 minutes, all in all for --wait_hours.
wait_for_capacity() {
  ((waited < 60 * wait_hours)) ||
    die "No machine was free for ${wait_hours} hours."
  say "No machine is free; the next look is in $1 minutes."
  run sleep "$((60 * $1))"
  ((waited += $1))
}

replace_machine() {
  ssh_failures=0
  at_stake=false
  say 'Another machine takes over.'
  remove_machine || die 'The lost machine could not be deleted.'
  owned=false
  obtain_machine
}

# Deletes what exists of the machine and of the request for it; three tries.
remove_machine() {
  local tries
  for tries in 1 2 3; do
    if nothing_is_left || delete_machine; then
      return 0
    fi
    ((tries == 3)) || run sleep 10
  done
  return 1
}

# Whether the cloud has nothing of that name. Of what was being created, it may
# not know yet: it is asked again for half a minute.
nothing_is_left() {
  local tries
  [[ "${dry_run}" == false ]] || return 1
  for ((tries = 0; tries < 7; tries++)); do
    [[ "$(ask describe_request)" == gone ]] || return 1
    [[ "${creating}" == true ]] || return 0
    ((tries)) || say 'Looking for half a minute for what was being created.'
    ((tries == 6)) || run sleep 5
  done
}

# Takes hold of a machine: a new one, or with --attach one that is there.
find_machine() {
  local state=gone
  [[ "${dry_run}" == true ]] || state="$(ask describe_request)"
  if [[ "${attach}" == true ]]; then
    owned=true
    must_start=false
  elif [[ "${state}" == gone ]]; then
    obtain_machine
  elif [[ -z "${state}" ]]; then
    die 'The cloud could not be asked: see the message above.'
  else
    die "${name} exists already; give another --name, or --attach to it."
  fi
}

attempt() {
  if [[ "${must_start}" == true ]]; then
    start_program || return "$?"
    must_start=false
  fi
  [[ "${workdir}" == gs://* ]] || at_stake=true
  follow_program
}

# Counts attempts that brought no new file; more than $1 in a row end it all.
require_progress() {
  local listing
  listing="$(list_results 2>/dev/null | grep -vE 'events\.out|/\.lock$' |
    sort)" || true
  if [[ "${listing}" == "${last_listing}" ]]; then
    ((++idle))
  else
    idle=0
  fi
  last_listing="${listing}"
  ((idle < $1)) || die 'It stopped again without a new result: giving up.'
}

# Decides what follows an attempt that ended with code $1: returns for another
# one, exits if it is hopeless.
recover() {
  if (($1 == 2)); then
    say 'A setting is wrong, or a command: it is not started again.'
    exit 2
  elif machine_lost; then
    require_progress "${MAX_IDLE}"
    replace_machine
  elif (($1 == 255)); then
    # ssh itself. What was started goes on without it.
    if ((++ssh_failures > MAX_SSH_FAILURES)); then
      [[ "${at_stake}" == false ]] || die 'The machine cannot be reached.'
      replace_machine
    else
      say 'The connection broke; trying again in 30 seconds.'
      run sleep 30
    fi
  else
    must_start=true
    if (($1 == 75)); then
      require_progress "${MAX_IDLE}"
    else
      ((++errors <= MAX_ERRORS)) || die "It failed ${errors} times: giving up."
      require_progress 1
    fi
    say "It ended with code $1 and is started again."
  fi
}

# Copies what lies on the machine alone; three tries.
save_results() {
  [[ "${at_stake}" == true ]] || return 0
  local tries
  say "Copying the results to ${copy_to}."
  for tries in 1 2 3; do
    if run mkdir -p "${copy_to}" && copy_results; then
      at_stake=false
      return 0
    fi
    ((tries == 3)) || run sleep 10
  done
  return 1
}

# On every way out: the results, then the machine. In what a trap calls, a bare
# 'return' gives the code of what ran before the trap: say which one.
clean_up() {
  local code=$?
  trap '' HUP INT TERM
  [[ -z "${child}" ]] || kill -- "-${child}" 2>/dev/null || true
  child=''
  if [[ "${owned}" == true ]]; then
    if ! save_results; then
      say "${name} IS KEPT AND COSTS MONEY: its results could not be copied." \
        'Copy and delete it by hand; see --dry_run for the commands.'
      code=1
    elif ! remove_machine; then
      say "${name} COULD NOT BE DELETED AND COSTS MONEY: delete it by hand:"
      dry_run=true delete_machine >&2
      ((code)) || code=1
    fi
  fi
  rm -rf "${scratch}"
  exit "${code}"
}

supervise() {
  local code started
  scratch="$(mktemp -d)"
  set -m  # Each command gets a process group, which can be ended as a whole.
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  find_machine
  while true; do
    code=0
    started="${SECONDS}"
    attempt || code=$?
    ((code)) || break
    ((SECONDS - started < 600)) || ssh_failures=0
    recover "${code}"
  done
  say 'Done.'
}
