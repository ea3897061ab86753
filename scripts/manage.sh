#!/usr/bin/env bash
# One front door to an environment. Thin: what it does is what the tools below it do.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$top/terraform/environment

usage() {
  cat <<'TEXT'
Usage: scripts/manage.sh COMMAND [ENV] [OPTIONS] [-- ARGS...]

On AWS (ARGS go to Terraform); ENV may be `account`: what exists once, the bucket of states first
  init      make the bucket of states if there is none, and prepare Terraform (the others do the latter by themselves)
  plan      show what apply would change on AWS
  apply     create or change the AWS side of ENV
  output    print bucket, region, roles and repositories of ENV as one JSON document
  unlock    ENV ID: give back the lock of a run that was killed
  export    ENV DIR: every version of every object in the bucket, with an index
  destroy   delete the AWS side; refused while the bucket holds DAGs that --exported does not have

In the cluster (ARGS go to helm: --timeout 60m; values are in the layers)
  render    print the manifests that deploy installs
  diff      show what deploy would change, and what it would delete (exit 4: something)
  deploy    install or upgrade Airflow and airflow-platform; a step that fails is taken back
  status    releases, pods and the quota of the jobs

Options
  --yes             ask nothing; apply, destroy and deploy of prod need it
  --auto-approve    ask nothing; not enough for prod
  --file FILE       output: write the document to FILE instead
  --exported DIR    destroy: what export wrote; the bucket is emptied if all of it is there
  --outputs FILE    render, diff, deploy: what output wrote; every cloud environment needs it
  --context NAME    diff, deploy, status: the cluster, by its name in kubeconfig (default: the current one)
  --dry-run         deploy: print the plain commands instead, to be run by hand

Environment
  AIRFLOW_PLATFORM_ENV        the ENV, when none is given
  AIRFLOW_PLATFORM_STATE_BUCKET  bucket of Terraform's states (default: airflow-terraform-state-<account>)
  AIRFLOW_PLATFORM_STATE_DIR  a folder for the states instead of the bucket, for trying things out
  AIRFLOW_CHART_FILE          the official chart's archive, when it is not in the cache and cannot be pulled
  AIRFLOW_DATABASE_URL        the first deploy of a cloud environment: postgresql://user:password@host:5432/database
  AIRFLOW_BROKER_URL          the first deploy with options/own-broker: rediss://:password@host:6379/0
  AWS_ENDPOINT_URL            another AWS than Amazon's

Exit codes: 0 done, 1 a tool failed (it has said why), 2 wrong use, 3 a tool or the chart is missing, 4 diff found something.
TEXT
}

fail() { # CODE SENTENCE
  echo "manage.sh: $2" >&2
  exit "$1"
}

need() { # TOOL WAY_OUT
  command -v "$1" >/dev/null || fail 3 "$1 is not on PATH; $2."
}

environments() { # those in the cluster; for Terraform also those that are on AWS alone
  {
    sed -n '/^environments:/,/^[a-z]/s/^  \([a-z][a-z0-9-]*\):.*/\1/p' "$top/values/environments.yaml"
    case $command in
      render | diff | deploy | status) ;;
      *) basename -s .tfvars "$top"/terraform/environments/*.tfvars ;;
    esac
    case $command in init | plan | apply | destroy | output | unlock) echo account ;; esac
  } | awk '!seen[$0]++' | paste -sd ' ' -
}

check_environment() {
  [[ -n $env ]] || fail 2 "$command which environment? Name one of: $(environments); or set AIRFLOW_PLATFORM_ENV."
  [[ " $(environments) " == *" $env "* ]] || fail 2 "there is no environment $env; there are: $(environments)."
}

check_aws_side() {
  [[ -f $tfvars ]] || fail 2 "$env has no AWS side (terraform/environments/$env.tfvars does not exist), so there is nothing to $command."
  [[ $command != export || -n $folder ]] || fail 2 "export $env needs the folder to write to: manage.sh export $env DIR."
  [[ $command != unlock || -n $folder ]] || fail 2 "unlock $env needs the id that the refusal names: manage.sh unlock $env ID."
  [[ $command != destroy || $env != account ]] || fail 2 "destroy account is not done here: its bucket holds the states of every environment; take it apart by hand when they are gone."
}

# An unapproved change needs somebody to ask, and prod a word of its own.
check_approval() {
  [[ $env != prod || $yes == yes ]] || fail 2 "$command prod changes production; look at 'manage.sh $([[ $command == deploy ]] && echo diff || echo plan) prod', then add --yes."
  [[ $ask == no || -t 0 ]] || fail 2 "$command $env asks before it changes anything, and there is no terminal to ask on; add --yes."
}

command='' env='' folder='' file='' exported='' outputs='' context='' yes=no ask=yes dry_run=no approval=(-input=true)
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --yes) yes=yes ask=no ;;
    --auto-approve) ask=no ;;
    --dry-run) dry_run=yes ;;
    --file | --exported | --outputs | --context)
      [[ -n ${2-} ]] || fail 2 "$1 needs the name of a $(case $1 in --context) echo context ;; --exported) echo folder ;; *) echo file ;; esac)."
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    --) shift; break ;;
    -*) fail 2 "there is no option $1; see 'manage.sh --help'." ;;
    *) if [[ -z $command ]]; then command=$1; elif [[ -z $env ]]; then env=$1; elif [[ $command =~ ^(export|unlock)$ && -z $folder ]]; then folder=$1; else fail 2 "'$1' is one argument too many; see 'manage.sh --help'."; fi ;;
  esac
  shift
done
more=("$@")

env=${env:-${AIRFLOW_PLATFORM_ENV-}}
tfvars=$top/terraform/environments/$env.tfvars
[[ $env != account ]] || root=$top/terraform/account tfvars=$root/terraform.tfvars
[[ -z $outputs || $outputs == /* ]] || outputs=$PWD/$outputs
[[ $command != export || -z $folder || $folder == /* ]] || folder=$PWD/$folder
[[ -z $exported || $exported == /* ]] || exported=$PWD/$exported
PATH=$top/.venv/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $command in
  init | plan | apply | destroy | output | export | unlock)
    # shellcheck source=scripts/manage/terraform.sh
    source "$top/scripts/manage/terraform.sh"
    check_environment
    check_aws_side
    case $command in apply | destroy) check_approval ;; esac
    prepare
    [[ $command == init ]] || init_quietly
    ;;
  render | diff | deploy | status)
    # shellcheck source=scripts/manage/charts.sh
    source "$top/scripts/manage/charts.sh"
    check_environment
    [[ $command != deploy || $dry_run == yes ]] || check_approval
    prepare
    ;;
  '') usage >&2; exit 2 ;;
  *) fail 2 "there is no command $command; see 'manage.sh --help'." ;;
esac
case $command in export) export_bucket ;; *) "$command" "$@" ;; esac
