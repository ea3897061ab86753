{{/*
Connections that are open; every other one of the pods below is closed. A row opens both ends: out of each pod in `from`,
into the pods of `to`. A name is the label `component` of pods in this namespace, or a place of _peers.tpl.
Ports are those of containers: a policy sees a connection behind its Service. What stays within a pod needs no row, nor do
probes and `kubectl port-forward`: they come from the pod's own node, which no network plugin closes.
*/}}
{{- define "airflow-platform.connections" -}}
{{- $policies := .Values.networkPolicies }}
{{- $local := eq .Values.executor "LocalExecutor" }}
{{- $celery := eq .Values.executor "CeleryExecutor" }}
{{- $kubernetes := eq .Values.executor "KubernetesExecutor" }}
{{- $servers := list "scheduler" "dag-processor" "triggerer" "api-server" }}
{{- $workers := ternary list (list "worker") $local }}
{{- $flower := ternary (list "flower") list $celery }}
{{- $adopter := ternary (list "dag-adopter") list .Values.dagAdopter.enabled }}
{{- $cleanup := ternary (list "airflow-cleanup-pods") list $kubernetes }}
{{- $jobs := concat (list "run-airflow-migrations" "create-user-job" "database-cleanup") $cleanup }}
{{- $readers := concat (list "dag-processor") (ternary (list "scheduler") list $local) (ternary $workers list $celery) }}{{/* of DAGs */}}
{{- $tasks := ternary "scheduler" "worker" $local }}{{/* where tasks run */}}
{{- $database := $policies.database.service }}
{{- $pgbouncer := ternary (list "pgbouncer") list (eq $database "pgbouncer") }}

# Airflow's database. Task pods of the Kubernetes executor have no business there: a task talks to the api-server only.
- {from: {{ concat $servers (ternary $workers list $celery) $flower $jobs | toJson }}, to: {{ $database }}, port: {{ eq $database "pgbouncer" | ternary 6543 5432 }}}
{{- if eq $database "pgbouncer" }}
- {from: [pgbouncer], to: external-database, port: {{ $policies.database.port }}}
{{- end }}

# The execution API for tasks, the UI and the public API for users.
- {from: {{ concat (list "scheduler" "dag-processor" "triggerer") $workers | toJson }}, to: api-server, port: 8080}
- {from: [ingress], to: api-server, port: 8080}

# Logs of tasks that still run. With the Kubernetes executor the api-server asks Kubernetes for them.
{{- if not $kubernetes }}
- {from: [api-server], to: {{ $tasks }}, port: 8793}
{{- end }}
- {from: [api-server], to: triggerer, port: 8794}

# Celery's queue.
{{- if $celery }}
{{- if not $policies.broker.egress }}
- {from: [scheduler, worker, flower], to: redis, port: 6379}
{{- end }}
- {from: [ingress], to: flower, port: 5555}
{{- end }}

# Metrics.
- {from: {{ concat $servers $workers $flower $jobs | toJson }}, to: statsd, port: 9125, protocol: UDP}
- {from: [monitoring], to: statsd, port: 9102}
{{- if eq $database "pgbouncer" }}
- {from: [monitoring], to: pgbouncer, port: 9127}
{{- end }}
{{- range $adopter }}
- {from: [monitoring], to: {{ . }}, port: 9104}
{{- end }}
{{- range $readers }}{{ if eq $.Values.delivery "s3-sync" }}
- {from: [monitoring], to: {{ . }}, port: 9101}
{{- end }}{{ end }}

# Outside: S3, STS, git, the users' identity provider, what tasks call; and the Kubernetes API where it is not on 443, for
# those who start pods, watch them, delete them or read their logs.
- {from: {{ concat $servers $workers $adopter $cleanup (list "job-cleanup") | toJson }}, to: internet, port: 443}
- {from: {{ concat (list "scheduler" "triggerer" "job-cleanup") $workers (ternary (list "api-server") list $kubernetes) $cleanup | toJson }}, to: internet, port: {{ $policies.kubernetesApiPort }}}
{{- range include "airflow-platform.outsidePorts" . | fromJsonArray }}{{/* of the proxy and of a store of one's own */}}
- {from: {{ concat $servers $workers $adopter $cleanup | toJson }}, to: internet, port: {{ . }}}
{{- end }}
{{- range $policies.gitPorts }}{{ if has $.Values.delivery (list "git-sync" "git-bundle") }}
- {from: {{ concat (list "scheduler" "dag-processor" "triggerer") $workers | toJson }}, to: internet, port: {{ . }}}
{{- end }}{{ end }}
{{- if $policies.podIdentity }}
- {from: {{ concat $servers $workers $adopter | toJson }}, to: pod-identity, port: 80}
{{- end }}

# Names, for whoever connects by name.
{{- range list "UDP" "TCP" }}
- {from: {{ concat $servers $workers $flower $jobs $adopter $pgbouncer | toJson }}, to: dns, port: 53, protocol: {{ . }}}
{{- end }}
{{- end }}
