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

{{/* Kubernetes has no `_` in names. */}}
{{- define "airflow-platform.kubernetesName" -}}
{{- . | replace "_" "-" -}}
{{- end }}
