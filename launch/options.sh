# shellcheck shell=bash disable=SC2034  # supervise.sh reads the variables.
# The options that tpu_vm.sh and gpu_vm.sh have in common, and what they say.

set -euo pipefail

name=datadiet
dry_run=false
attach=false
wait_hours=24
workdir=''
copy_to=results
program=()  # What follows '--'.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$@"
  exit 1
}

usage_error() {
  say "$@" 'See --help.'
  exit 2
}

# Prints the comment at the top of the script that was called.
print_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# Prints a command as one would type it.
print_command() {
  local word line=''
  for word in "$@"; do
    [[ "${word}" =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="${word@Q}"
    line+="${word} "
  done
  printf '%s\n' "${line% }"
}

# Takes one of the options that both launchers have; fails for any other.
parse_common_option() {
  case "$1" in
    --help) print_help && exit ;;
    --dry_run) dry_run=true ;;
    --attach) attach=true ;;
    --wait_hours=*) wait_hours="${1#*=}" ;;
    --copy_to=*) copy_to="${1#*=}" ;;
    *) return 1 ;;
  esac
}

# Takes what follows '--': the program's arguments.
parse_program() {
  local argument
  program=("$@")
  for argument in "$@"; do
    case "${argument}" in
      --workdir=*) workdir="${argument#*=}" ;;
    esac
  done
  [[ "$*" == *--config=* ]] || usage_error '--config=... is missing after --.'
  [[ -n "${workdir}" ]] || usage_error '--workdir=... is missing after --.'
  [[ "${wait_hours}" =~ ^[0-9]{1,6}$ ]] ||
    usage_error "--wait_hours is a whole number, not ${wait_hours}."
  wait_hours=$((10#${wait_hours}))  # 08 is no octal number.
  if [[ "${workdir}" == *://* && "${workdir}" != gs://* ]]; then
    usage_error "--workdir is gs://... or a path, not ${workdir}."
  fi
}

# Spot machines are taken away with their disks.
require_remote_workdir() {
  [[ "${workdir}" == gs://* ]] ||
    usage_error "$1 needs a --workdir on gs://, not ${workdir}."
}
