# The AWS side of an environment, or of the account. Sourced by manage.sh.
# shellcheck shell=bash disable=SC2154 # its variables are manage.sh's

prepare() {
  need terraform "install Terraform 1.10 or newer"
  need python3 "install Python 3.11 or newer"
  python3 -c 'import boto3, click, hcl2, pathspec, rich' 2>/dev/null || fail 3 "Python's boto3, click, hcl2, pathspec or rich is missing; run 'make setup'."
  check_settings
  # Of each environment its own: what Terraform keeps here says which state it writes.
  export TF_DATA_DIR=${TF_DATA_DIR:-$top/.build/terraform}/$env/data TF_IN_AUTOMATION=1
  unset TF_WORKSPACE
  color=()
  [[ -t 1 ]] || color=(-no-color)
  [[ $ask == yes ]] || approval=(-input=false -auto-approve)
  variables=(-var-file="$top/terraform/packages.tfvars")
  [[ $env == account ]] || variables+=(-var-file="$tfvars" -var="environment=$env")
  forget_missing_cli_config
  region=$(region_of "$tfvars")
  if [[ -n ${AIRFLOW_PLATFORM_STATE_DIR-} || $env == demo ]]; then keep_state_here; else keep_state_in_bucket; fi
  [[ $env != account ]] || variables+=(-var="state_bucket=$states")
}

# Terraform drops a misspelt attribute and only warns of a misspelt variable: prod would lose its approval.
check_settings() {
  local wrong
  wrong=$(platform scripts.manage.tfvars terraform/environment=terraform/packages.tfvars "${root#"$top/"}=${tfvars#"$top/"}" 2>&1) \
    || { echo "$wrong" >&2; fail 2 "wrong settings for $env; nothing was touched."; }
}

tf() { terraform -chdir="$root" "$1" "${color[@]}" "${@:2}"; }

# The last command: a signal to manage.sh then is one to Terraform, which ends in order instead of running on alone.
hand_over() {
  rm -rf "$work"
  exec terraform -chdir="$root" "$1" "${color[@]}" "${@:2}"
}

platform() { (cd "$top" && PYTHONPATH=charts/airflow-platform/files python3 -m "$@"); }

of_bucket() { platform scripts.manage.bucket_export "$1" --bucket "$bucket" --region "$region" --environment "$env" "${@:2}"; }

state_bucket() { platform scripts.manage.state_bucket "$@" || exit; }

# Terraform warns on every call when this names a file that does not exist.
forget_missing_cli_config() {
  [[ -f ${TF_CLI_CONFIG_FILE-} ]] || unset TF_CLI_CONFIG_FILE
}

region_of() { sed -n 's/^ *region *= *"\([^"]*\)".*/\1/p' "$1"; }

# One bucket for all states, where terraform/account is.
keep_state_in_bucket() {
  local of_account
  of_account=$(region_of "$top/terraform/account/terraform.tfvars")
  states=$(state_bucket "$([[ $command == init ]] && echo make || echo check)" --region "$of_account")
  backend=(-backend-config=bucket="$states" -backend-config=key="$env/terraform.tfstate" -backend-config=region="$of_account")
}

# The kind of a backend is fixed in a root's files, except by an override file; so that none comes into the checkout, the
# root is linked into a folder of its own, beside the modules.
keep_state_here() {
  local state=${AIRFLOW_PLATFORM_STATE_DIR:-$top/.build/terraform}
  [[ $state == /* ]] || state=$PWD/$state
  state=$state/$env
  export TF_DATA_DIR=$state/data
  mkdir -p "$state/root"
  find "$state/root" -type l -delete
  find "$root" -maxdepth 1 \( -name '*.tf' -o -name '*.tf.json' -o -name '*.tfvars' -o -name .terraform.lock.hcl \) -exec ln -s {} "$state/root/" \;
  ln -sfn "$top/terraform/modules" "$top/terraform/environments" "$state"
  printf 'terraform {\n  backend "local" {\n    path = "%s"\n  }\n}\n' "$state/terraform.tfstate" >"$state/root/backend_override.tf"
  root=$state/root backend=()
  [[ $env != account ]] || states=$(state_bucket "$([[ $command == init ]] && echo make || echo name)" --region "$region")
}

# The provider from where Terraform looks itself; else from a mirror on this machine, in the place for add-on packages.
mirror() {
  local version folder
  [[ -z ${TF_CLI_CONFIG_FILE-} && ! -f ~/.terraformrc ]] || return 0
  version=$(sed -n '/hashicorp\/aws"/,/^}/s/^  version *= *"\(.*\)"/\1/p' "$root/.terraform.lock.hcl")
  for folder in /opt/*/registry.terraform.io; do
    [[ ! -d $folder/hashicorp/aws/$version ]] || { echo "-plugin-dir=${folder%/*}"; return; }
  done
}

init() {
  local from
  from=$(mirror)
  mkdir -p "$TF_DATA_DIR"
  tf init -input=false -lockfile=readonly -reconfigure "${backend[@]}" ${from:+"$from"} \
    || fail 1 "terraform init failed for $env. If it found no provider: it asked $(if [[ -n $from ]]; then echo "the mirror ${from#*=}"; else echo "the CLI configuration, ~/.terraform.d/plugins and the registry"; fi); name a mirror in TF_CLI_CONFIG_FILE, or put one, a tree registry.terraform.io, into a folder of /opt."
}

# Quiet unless it fails: its output is no part of the command that needs it.
init_quietly() {
  local said
  said=$(init 2>&1) || { echo "$said" >&2; exit 1; }
}

plan() { hand_over plan -input=false "${variables[@]}" "$@"; }

# An environment's store is tried afterwards; what the account makes, nobody publishes to.
apply() {
  [[ $env != account ]] || hand_over apply "${approval[@]}" "${variables[@]}" "$@"
  rm -rf "$work"
  cd "$top" || exit
  PYTHONPATH=charts/airflow-platform/files:packages/airflow_dag_publisher/src \
    exec python3 -m scripts.manage.apply "$env" "$root" "${color[@]}" "${approval[@]}" "${variables[@]}" "$@"
}

# Planned before anything is touched, so that a held lock or a wrong variable ends it here; emptied once somebody has
# agreed; and only then applied: Terraform would delete roles and versioning before it failed on a bucket with objects.
destroy() {
  local bucket count answer gone=3 # what is said of a bucket that is not there, deleted behind Terraform's back
  bucket=$(bucket_in_state)
  if [[ -n $exported ]]; then
    [[ -n $bucket ]] || fail 1 "there is no bucket in the state of $env, so there is nothing to empty; run it without --exported."
  elif [[ -n $bucket ]]; then
    count=$(of_bucket count) || [[ $? -eq $gone ]] || exit 1
    [[ ${count:-0} -eq 0 ]] || fail 1 "bucket $bucket still holds $count object versions besides the marker, so nothing was deleted; run 'manage.sh export $env DIR' first, then 'manage.sh destroy $env --exported DIR'."
  fi
  tf plan -destroy -input=false -out="$TF_DATA_DIR/destroy" "${variables[@]}" "$@"
  if [[ $ask == yes ]]; then
    read -r -p "Destroy $env${exported:+, and every version in bucket $bucket}? Only 'yes' is taken for yes: " answer
    [[ $answer == yes ]] || fail 1 "$env is as it was."
  fi
  [[ -z $exported ]] || of_bucket empty --exported "$exported" || [[ $? -eq $gone ]] || exit 1
  hand_over apply -input=false "$TF_DATA_DIR/destroy"
}

export_bucket() {
  local bucket
  bucket=$(bucket_in_state)
  [[ -n $bucket ]] || fail 1 "there is no bucket in the state of $env; run 'manage.sh apply $env' first."
  of_bucket export "$folder" || exit 1
}

# Of a run that was killed; its id stands in the refusal.
unlock() { hand_over force-unlock -force "$folder"; }

# Not from the outputs: Terraform drops those first, and a destroy that failed halfway must find the bucket again.
bucket_in_state() {
  tf show -json | python3 -c 'import json, sys
state = json.load(sys.stdin).get("values", {}).get("root_module", {})
resources = [resource for module in state.get("child_modules", []) for resource in module.get("resources", [])]
print(*[r["values"]["bucket"] for r in resources if r["address"] == "module.dag_bucket.aws_s3_bucket.this"])'
}

# Terraform wraps each output into an object with its type.
outputs() {
  tf output -json \
    | python3 -c 'import json, sys; print(json.dumps({k: v["value"] for k, v in json.load(sys.stdin).items()}, indent=2))'
}

output() {
  local document
  document=$(outputs)
  [[ $document != "{}" ]] || fail 1 "$env has no outputs yet; run 'manage.sh apply $env' first."
  [[ $env == account || ($document == *'"bucket"'* && $document == *'"roles"'*) ]] || fail 1 "$env was applied in part only; run 'manage.sh apply $env' again."
  if [[ -n $file ]]; then echo "$document" >"$file"; else echo "$document"; fi
}
