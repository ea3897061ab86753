# The AWS side of an environment. Sourced by manage.sh.
# shellcheck shell=bash disable=SC2154 # its variables are manage.sh's

prepare() {
  need terraform "install Terraform 1.10 or newer"
  state=${AIRFLOW_PLATFORM_STATE_DIR:-$top/.build/terraform}
  [[ $state == /* ]] || state=$PWD/$state
  state=$state/$env
  export TF_DATA_DIR=$state/data TF_IN_AUTOMATION=1
  [[ $ask == yes ]] || approval=(-input=false -auto-approve)
  variables=(-var-file="$tfvars" -var="environment=$env")
  forget_missing_cli_config
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
