{{- define "airflow-platform.labels" -}}
app.kubernetes.io/name: airflow-platform
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: airflow-platform
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Names of all packages, as a JSON list: those of the outputs file and those of `packages`. */}}
{{- define "airflow-platform.packages" -}}
{{- keys (.Values.roles.publishers | default dict) .Values.packages | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* What every pod of Airflow's and of ours takes its network and its keys from; values/base.yaml has the same for the official chart. */}}
{{- define "airflow-platform.envFrom" -}}
- configMapRef: {name: airflow-platform-network, optional: true}
- secretRef: {name: airflow-store, optional: true}
{{- end }}

{{/* Ports besides 443 that the proxy and the store are behind, as a JSON list. */}}
{{- define "airflow-platform.outsidePorts" -}}
{{- $ports := list }}
{{- range list .Values.network.proxy .Values.store.endpoint }}
{{- if . }}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" | default (hasPrefix "https:" . | ternary "443" "80") }}
{{- if ne $port "443" }}{{ $ports = append $ports (int $port) }}{{ end }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson -}}
{{- end }}

{{/* Kubernetes has no `_` in names. */}}
{{- define "airflow-platform.kubernetesName" -}}
{{- . | replace "_" "-" -}}
{{- end }}
