#!/usr/bin/env bash
# A Slurm cluster of two nodes on this machine, for the tests in this folder.
#
#   cluster.sh start DIR    start it, as root; all its files are below DIR
#   cluster.sh stop DIR     stop it
#
# Needs Debian's slurm-wlm and munge. Touches neither /etc nor a Slurm that runs
# here already: it has its own key, ports and configuration. With SLURM_CONF set
# to DIR/slurm.conf, sbatch and the others talk to it.

set -euo pipefail

write_configuration() {
  local directory="$1" host cpus memory
  host="$(hostname)"
  cpus="$(nproc)"
  memory="$(slurmd -C | sed -n 's/.*RealMemory=\([0-9]*\).*/\1/p')"
  cat >"${directory}/slurm.conf" <<END
ClusterName=test
SlurmctldHost=${host}
SlurmUser=root
SlurmctldPort=26817
AuthType=auth/munge
AuthInfo=socket=${directory}/munge.socket
StateSaveLocation=${directory}/state
SlurmdSpoolDir=${directory}/spool-%n
SlurmctldPidFile=${directory}/slurmctld.pid
SlurmdPidFile=${directory}/slurmd-%n.pid
SlurmctldLogFile=${directory}/slurmctld.log
SlurmdLogFile=${directory}/slurmd-%n.log
# What this machine may lack: cgroups, an account database, a prolog.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
# Ends of jobs are noticed, and requeued jobs start, within seconds.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_delay=1
KillWait=5
MinJobAge=3600
# Two nodes that each claim all of this machine. The first has its name, by
# which the tasks find it.
NodeName=DEFAULT CPUs=${cpus} RealMemory=${memory}
NodeName=${host} NodeHostname=${host} Port=26818
NodeName=${host}-2 NodeHostname=${host} Port=26819
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start_munge() {
  local directory="$1"
  chmod 755 "${directory}"
  dd if=/dev/urandom of="${directory}/munge.key" bs=1 count=1024 status=none
  chmod 400 "${directory}/munge.key"
  # munged insists on files of its own and folders that only root can change.
  munged --force --key-file="${directory}/munge.key" \
    --socket="${directory}/munge.socket" \
    --pid-file="${directory}/munged.pid" \
    --log-file="${directory}/munged.log" \
    --seed-file="${directory}/munged.seed"
}

start() {
  local directory="$1" node
  export SLURM_CONF="${directory}/slurm.conf"
  mkdir -p "${directory}"/{state,spool-"$(hostname)",spool-"$(hostname)-2"}
  write_configuration "${directory}"
  start_munge "${directory}"
  slurmctld
  for node in "$(hostname)" "$(hostname)-2"; do
    slurmd -N "${node}"
  done
  wait_for_nodes
}

wait_for_nodes() {
  local tries
  for ((tries = 0; tries < 60; tries++)); do
    [[ "$(sinfo --noheader --format=%T)" != idle ]] || return 0
    sleep 0.5
  done
  sinfo >&2
  return 1
}

# What jobs started is ended by the daemons, so the jobs come first.
stop() {
  local directory="$1" file tries
  export SLURM_CONF="${directory}/slurm.conf"
  if scancel --user=root; then
    for ((tries = 0; tries < 60; tries++)); do
      [[ -n "$(squeue --noheader)" ]] || break
      sleep 0.5
    done
  fi
  for file in "${directory}"/*.pid; do
    end_daemon "$(cat "${file}")"
  done
}

# Zombies, which some containers keep, have ended, too.
end_daemon() {
  local tries
  kill "$1" 2>/dev/null || return 0
  for ((tries = 0; tries < 60; tries++)); do
    [[ "$(ps -o stat= -p "$1")" == [A-Y]* ]] || return 0
    sleep 0.2
  done
}

case "${1:-}:${2:-}" in
  start:/* | stop:/*) "$1" "$2" ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
