# The cluster's side of an environment: two Helm releases, ours before the official chart's. Sourced by manage.sh.
# shellcheck shell=bash disable=SC2154 # its variables are manage.sh's

namespace=airflow version='' chart_digest=''

# shellcheck source=scripts/manage/secrets.sh
source "$top/scripts/manage/secrets.sh"

layers() { (cd "$top" && python3 -m scripts.manage.layers "$@"); }

renders() { (cd "$top" && python3 -m scripts.manage.renders "$@"); }

helm() { command "$helm" ${context:+--kube-context "$context"} "$@"; }

kubectl() { command kubectl ${context:+--context "$context"} "$@"; }

find_helm() {
  helm=$(type -P helm || true)
  [[ -n $helm ]] || helm=$(printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}"/airflow-platform/bin/helm-* | sort --version-sort | tail -1)
  [[ -x $helm ]] || fail 3 "helm is not on PATH; install Helm 3.19 or newer, or run 'make tools'."
}

# Everything that can be refused is refused here, before anything is touched.
prepare() {
  need python3 "install Python 3.11 or newer"
  python3 -c 'import click, jsonschema, yaml' 2>/dev/null || fail 3 "Python's click, jsonschema and yaml are missing; run 'make setup'."
  find_helm
  [[ $command != status ]] || return 0
  local word value
  for word in "${more[@]}"; do
    case $word in --set* | --values* | -f*) fail 2 "$word: values are in the layers, so that what is deployed can be read; write it into values/env/$env.yaml." ;; esac
  done
  layers resolve "$env" ${outputs:+--outputs "$outputs"} >"$work/resolved" || exit
  while read -r word value; do
    case $word in
      airflow | airflow-platform) printf '%s\n' --values "$value" >>"$work/$word" ;;
      *) printf -v "$word" %s "$value" ;;
    esac
  done <"$work/resolved"
  if [[ -n $outputs ]]; then
    printf '%s\n' --values "$outputs" | tee -a "$work/airflow" >>"$work/airflow-platform"
  fi
}

chart_of() { # RELEASE
  if [[ $1 == airflow ]]; then echo "$chart"; else echo charts/airflow-platform; fi
}

# Helm's own words around a refusal help nobody.
template() { # RELEASE
  local values
  mapfile -t values <"$work/$1"
  (cd "$top" && helm template "$1" "$(chart_of "$1")" --namespace "$namespace" --kube-version "$kubernetes" "${values[@]}" "${more[@]}") \
    >"$work/$1.yaml" 2>"$work/said" && return
  sed -e '/^Use --debug flag/d' -e '/^$/d' -e 's/^Error: execution error at ([^)]*): //' -e 's/^Error: //' -e '1s/^/manage.sh: /' "$work/said" >&2
  fail 2 "the values of $1 for $env do not render; nothing was touched."
}

# Both, before anything is printed or changed.
template_all() {
  template airflow-platform
  template airflow
}

say_where() {
  echo "manage.sh: $command $env, context ${context:-$(kubectl config current-context 2>/dev/null || echo none)}, namespace $namespace${version:+, chart airflow $version sha256 ${chart_digest:0:12}}" >&2
}

render() {
  template_all
  cat "$work/airflow-platform.yaml" "$work/airflow.yaml"
}

# What an apply would change, and what Helm would delete. Exit 4: something. Not --server-side: that merges a strategy of another
# type into the old one, which Helm does not, and the API server refuses the result.
diff() {
  need kubectl "install it"
  say_where
  template_all
  reach
  check_deployed
  local release file place changed=0
  if ! is_namespace "$namespace"; then
    echo "the namespace $namespace is not there: everything that 'manage.sh render $env' prints would be made"
    return 4
  fi
  for release in airflow-platform airflow; do
    helm get manifest "$release" --namespace "$namespace" >"$work/old" 2>/dev/null || true
    renders gone "$work/old" "$work/$release.yaml" | unless_kept >"$work/gone"
    cat "$work/gone"
    [[ ! -s $work/gone ]] || changed=4
    renders lasting "$work/$release.yaml" "$work/lasting-$release"
    for file in "$work/lasting-$release"/*.yaml; do
      place=$(basename -s .yaml "$file")
      if ! is_namespace "$place"; then
        echo "the namespace $place is not there: it, and all of $release in it, would be made"
        changed=4
        continue
      fi
      kubectl diff --namespace "$place" --filename "$file" || {
        [[ $? -eq 1 ]] || fail 1 "kubectl could not compare $release, and deploy would fail too: a field that cannot be changed (the sentence above) is in docs/how-to/from-the-incident.md, step 5. Nothing was changed."
        changed=4
      }
    done
  done
  return "$changed"
}

# Helm also keeps what was annotated in the cluster.
unless_kept() { # LINES
  local line object place
  while IFS= read -r line; do
    object=${line#would be deleted: } place=$namespace
    [[ $object != *' in '* ]] || place=${object##* in }
    if [[ $object != "$line" && $(kubectl get "${object%% in *}" --namespace "$place" --ignore-not-found </dev/null \
      --output jsonpath='{.metadata.annotations.helm\.sh/resource-policy}') == keep ]]; then
      line="would stay without an owner: $object"
    fi
    printf '%s\n' "$line"
  done
}

status() {
  need kubectl "install it"
  say_where
  reach
  check_deployed
  helm list --namespace "$namespace" --all
  kubectl get deployments,statefulsets,jobs,pods --namespace "$namespace"
  kubectl get resourcequota --namespace etl-jobs
}

deploy() {
  template_all
  [[ $dry_run == no ]] || { deploy_by_hand; return; }
  need kubectl "install it"
  need openssl "install it"
  say_where
  reach
  check_deployed
  check_secrets
  confirm
  local ours airflow
  ours=$(revision airflow-platform)
  airflow=$(revision airflow)
  local network
  is_namespace "$namespace" || run "$(namespace_line)"
  make_secrets
  network=$(network_of_pods)
  upgrade airflow-platform "$ours" || fail 1 "airflow-platform was not installed and is as it was, Airflow was not touched; see what helm says above, then run the same command again."
  run "$(finished_jobs_line)"
  upgrade airflow "$airflow" || {
    take_back airflow-platform "$ours"
    fail 1 "Airflow is as it was before, but a migration of the database may have run; see 'kubectl get pods,events --namespace $namespace', then run the same command again (slow nodes: -- --timeout 60m)."
  }
  # Pods read the ConfigMap when they start, and the official chart does not know it.
  [[ $airflow == none || $network == "$(network_of_pods)" ]] || run "$(restart_line)" >&2
  echo "manage.sh: $env is deployed. 'manage.sh status $env' shows it; the first sign-in is user admin, with the password of: kubectl get secret airflow-admin --namespace $namespace --output go-template='{{.data.password | base64decode}}'" >&2
}

is_namespace() { kubectl get namespace "$1" >/dev/null 2>&1; }

reach() {
  local said
  said=$(kubectl version 2>&1 >/dev/null) || fail 1 "the cluster of context ${context:-$(kubectl config current-context 2>/dev/null || echo none)} does not answer; name another with --context, or another file in KUBECONFIG${said:+ (kubectl: ${said##*$'\n'})}."
}

# Each release of ours has its environment among its values. Another one's would be replaced: its secrets, roles and
# databases would stay and fit no more.
check_deployed() {
  local listed there
  listed=$(releases airflow-platform) || exit
  [[ -n $listed ]] || return 0
  there=$(helm get values airflow-platform --namespace "$namespace" --output json | renders environment) \
    || fail 1 "which environment is deployed in $namespace cannot be read; nothing was changed."
  [[ -z $there || $there == "$env" ]] || fail 2 "the cluster of context ${context:-$(kubectl config current-context 2>/dev/null || echo none)} has environment $there, not $env; nothing was touched. Name $env's cluster with --context; if $env shall take the place of $there, take that one out first: docs/how-to/deploy.md."
}

releases() { # NAME: it, if there is one of that name
  helm list --namespace "$namespace" --all --filter "^$1\$" --short || fail 1 "the releases in $namespace cannot be read; nothing was changed."
}

confirm() {
  local answer
  [[ $ask == yes ]] || return 0
  read -rp "Deploy $env to this context? Only 'yes' goes on: " answer
  [[ $answer == yes ]] || fail 2 "not deployed."
}

# The revision that a failed upgrade goes back to: a number, `none` where there is no such release, nothing where it never was well.
revision() { # RELEASE
  local listed
  listed=$(releases "$1") || exit # bash goes on in a substitution, and no answer must never look like a first deploy
  [[ -n $listed ]] || { echo none; return; }
  helm history "$1" --namespace "$namespace" --output json | renders deployed || fail 1 "the history of $1 cannot be read; nothing was changed."
}

# Not --atomic: its rollback fails on the two Jobs, which cannot be changed while they exist, and leaves half of each.
upgrade() { # RELEASE REVISION_BEFORE
  local values
  mapfile -t values <"$work/$1"
  (cd "$top" && helm upgrade --install "$1" "$(chart_of "$1")" --namespace "$namespace" --wait --timeout 20m --hide-notes "${values[@]}" "${more[@]}") && return
  take_back "$@"
  return 1
}

take_back() { # RELEASE REVISION
  [[ $1 != airflow ]] || run "$(finished_jobs_line)" >&2
  case $2 in
    none) helm uninstall "$1" --namespace "$namespace" >&2 ;;
    [0-9]*) helm rollback "$1" "$2" --namespace "$namespace" >&2 ;;
    *) false ;;
  esac || echo "manage.sh: $1 was not taken back; 'helm history $1 --namespace $namespace' shows where it stands." >&2
}

run() { # LINE: as it is printed by --dry-run
  (cd "$top" && eval "$1")
}

network_of_pods() {
  kubectl get configmap airflow-platform-network --namespace "$namespace" --ignore-not-found --output jsonpath='{.data}' \
    || fail 1 "the ConfigMap airflow-platform-network in $namespace cannot be read."
}

restart_line() { echo "kubectl rollout restart deployment,statefulset --namespace $namespace --selector release=airflow,tier=airflow"; }

namespace_line() { echo "kubectl create namespace $namespace"; }

# A finished Job cannot be changed, and its time to live may not be over.
finished_jobs_line() {
  echo "kubectl delete jobs --namespace $namespace --selector 'release=airflow,component in (run-airflow-migrations, create-user-job)' --ignore-not-found"
}

# Bash; `create` fails where a secret is there already, and that is right.
deploy_by_hand() {
  local name release of values
  echo "# $env, chart airflow $version sha256 $chart_digest; in bash, from the repository's top, with 'make setup' done."
  echo "# Lines that create a namespace or a secret are for the first time.$([[ $platform != cloud ]] || echo " Once: export AIRFLOW_DATABASE_URL=postgresql://user:password@host:5432/database")"
  if [[ $executor == celery ]] && own_broker; then echo "# Once: export AIRFLOW_BROKER_URL=rediss://:password@host:6379/0"; fi
  [[ -z $context ]] || echo "kubectl config use-context $(printf %q "$context")"
  echo "helm repo add apache-airflow https://airflow.apache.org"
  namespace_line
  for name in $(secrets); do secret_line "$name"; done
  for release in airflow-platform airflow; do
    [[ $release == airflow-platform ]] || finished_jobs_line
    mapfile -t values <"$work/$release"
    of=charts/airflow-platform
    [[ $release == airflow-platform ]] || of="apache-airflow/airflow --version $version"
    printf 'helm upgrade --install %s %s --namespace %s --wait --timeout 20m --hide-notes' "$release" "$of" "$namespace"
    printf ' %q' "${values[@]}" "${more[@]}"
    printf '\n'
  done
}
