#!/usr/bin/env bash
# One front door to an environment. Thin: what it does is what the tools below it do.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$top/terraform/environment

usage() {
  cat <<'TEXT'
Usage: scripts/manage.sh COMMAND [ENV] [OPTIONS] [-- TERRAFORM_ARGS...]

Commands
  init      prepare Terraform for ENV (the others do it by themselves)
  plan      show what apply would change on AWS
  apply     create or change the AWS side of ENV
  destroy   delete it; refused while the bucket holds DAGs
  output    print bucket, region, roles and repositories of ENV as one JSON document

Options
  --yes           ask nothing; apply and destroy of prod need it
  --auto-approve  ask nothing; not enough for prod
  --file FILE     output: write the document to FILE instead

Environment
  AIRFLOW_PLATFORM_ENV        the ENV, when none is given
  AIRFLOW_PLATFORM_STATE_DIR  folder of Terraform's states (default: .build/terraform)
  AWS_ENDPOINT_URL            another AWS than Amazon's

Exit codes: 0 done, 1 a tool failed (it has said why), 2 wrong use, 3 a tool is missing.
TEXT
}

fail() { # CODE SENTENCE
  echo "manage.sh: $2" >&2
  exit "$1"
}

need() { # TOOL WAY_OUT
  command -v "$1" >/dev/null || fail 3 "$1 is not on PATH; $2."
}

environments() {
  {
    sed -n '/^environments:/,/^[a-z]/s/^  \([a-z][a-z0-9-]*\):.*/\1/p' "$top/values/environments.yaml"
    basename -s .tfvars "$top"/terraform/environments/*.tfvars
  } | awk '!seen[$0]++' | paste -sd ' ' -
}

check_environment() {
  [[ -n $env ]] || fail 2 "$command which environment? Name one of: $(environments); or set AIRFLOW_PLATFORM_ENV."
  [[ " $(environments) " == *" $env "* ]] || fail 2 "there is no environment $env; there are: $(environments)."
  [[ -f $tfvars ]] || fail 2 "$env has no AWS side (terraform/environments/$env.tfvars does not exist), so there is nothing to $command."
}

# An unapproved change needs somebody to ask, and prod a word of its own.
check_approval() {
  [[ $env != prod || $yes == yes ]] || fail 2 "$command prod changes production; look at 'manage.sh plan prod', then add --yes."
  [[ $ask == no || -t 0 ]] || fail 2 "$command $env asks before it changes anything, and there is no terminal to ask on; add --yes."
}

tf() { terraform -chdir="$root" "$@"; }

# Terraform warns on every call when this names a file that does not exist.
forget_missing_cli_config() {
  [[ -f ${TF_CLI_CONFIG_FILE-} ]] || unset TF_CLI_CONFIG_FILE
}

# Providers from the user's own CLI configuration, else from a mirror on this machine, else from the registry.
init() {
  local mirror arguments=(-input=false -lockfile=readonly -reconfigure -backend-config=path="$state/terraform.tfstate")
  if [[ -z ${TF_CLI_CONFIG_FILE-} ]]; then
    for mirror in /opt/*/registry.terraform.io; do
      [[ ! -d $mirror ]] || arguments+=(-plugin-dir="${mirror%/*}")
    done
  fi
  mkdir -p "$state"
  tf init "${arguments[@]}"
}

# Quiet unless it fails: its output is no part of the command that needs it.
init_quietly() {
  local said
  said=$(init 2>&1) || { echo "$said" >&2; fail 1 "terraform init failed for $env."; }
}

plan() { tf plan -input=false "${variables[@]}" "$@"; }

apply() { tf apply "${approval[@]}" "${variables[@]}" "$@"; }

destroy() {
  refuse_full_bucket
  tf destroy "${approval[@]}" "${variables[@]}" "$@"
}

# Terraform would delete roles, versioning and lifecycle before it failed on a bucket that is not empty.
refuse_full_bucket() {
  local document bucket region marker count
  document=$(outputs)
  bucket=$(field bucket "$document") region=$(field region "$document")
  [[ -n $bucket ]] || return 0
  need aws "install the AWS CLI or run 'make setup'"
  marker=pointers/$env/_environment.json
  count=$(aws s3api list-object-versions --bucket "$bucket" --region "$region" --output json \
    --query "length([Versions, DeleteMarkers][][] | [?Key!='$marker'])") \
    || fail 1 "cannot list bucket $bucket, so nothing was deleted; if the bucket is gone, 'manage.sh apply $env' makes it again."
  [[ $count -eq 0 ]] \
    || fail 1 "bucket $bucket still holds $count object versions besides the marker, so nothing was deleted; empty it first, old versions and delete markers too."
}

# Terraform wraps each output into an object with its type.
outputs() {
  local wrapped
  wrapped=$(tf output -json) || return
  python3 -c 'import json, sys; print(json.dumps({k: v["value"] for k, v in json.loads(sys.argv[1]).items()}, indent=2))' "$wrapped"
}

field() { # NAME DOCUMENT
  python3 -c 'import json, sys; print(json.loads(sys.argv[2]).get(sys.argv[1], ""))' "$1" "$2"
}

output() {
  local document
  document=$(outputs)
  [[ $document != "{}" ]] || fail 1 "$env has no outputs yet; run 'manage.sh apply $env' first."
  if [[ -n $file ]]; then echo "$document" >"$file"; else echo "$document"; fi
}

command='' env='' file='' yes=no ask=yes approval=(-input=true)
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --yes) yes=yes ask=no ;;
    --auto-approve) ask=no ;;
    --file) [[ -n ${2-} ]] || fail 2 "--file needs the name of a file."; file=$2; shift ;;
    --) shift; break ;;
    -*) fail 2 "there is no option $1; see 'manage.sh --help'." ;;
    *) if [[ -z $command ]]; then command=$1; elif [[ -z $env ]]; then env=$1; else fail 2 "'$1' is one argument too many; see 'manage.sh --help'."; fi ;;
  esac
  shift
done

case $command in
  init | plan | apply | destroy | output) ;;
  '') usage >&2; exit 2 ;;
  *) fail 2 "there is no command $command; see 'manage.sh --help'." ;;
esac

env=${env:-${AIRFLOW_PLATFORM_ENV-}}
tfvars=$top/terraform/environments/$env.tfvars
check_environment
case $command in apply | destroy) check_approval ;; esac
need terraform "install Terraform 1.10 or newer"

state=${AIRFLOW_PLATFORM_STATE_DIR:-$top/.build/terraform}
[[ $state == /* ]] || state=$PWD/$state
state=$state/$env
export TF_DATA_DIR=$state/data TF_IN_AUTOMATION=1
[[ $ask == yes ]] || approval=(-input=false -auto-approve)
variables=(-var-file="$tfvars" -var="environment=$env")
PATH=$top/.venv/bin:$PATH

forget_missing_cli_config
[[ $command == init ]] || init_quietly
"$command" "$@"
