{{/* Places that a connection comes from or goes to: what is no pod of Airflow's. As a YAML map of peers. */}}
{{- define "airflow-platform.places" -}}
{{- $policies := .Values.networkPolicies -}}
ingress:
  {{- include "airflow-platform.namespaces" $policies.ingressNamespaces | indent 2 }}
  {{- include "airflow-platform.cidrs" $policies.ingressCidrs | indent 2 }}
monitoring:
  {{- include "airflow-platform.namespaces" $policies.monitoringNamespaces | indent 2 }}
external-database:
  {{- include "airflow-platform.cidrs" $policies.database.cidrs | indent 2 }}
internet:
  {{- range $policies.internet }}
  - ipBlock: {{ toJson . }}
  {{- end }}
pod-identity:
  - ipBlock: {cidr: 169.254.170.23/32}
  - ipBlock: {cidr: "fd00:ec2::23/128"}
dns: # CoreDNS in whatever namespace; NodeLocal DNS (169.254.20.10) and a VPC's resolver are no pods. No public server.
  - namespaceSelector: {}
  - ipBlock: {cidr: 10.0.0.0/8}
  - ipBlock: {cidr: 172.16.0.0/12}
  - ipBlock: {cidr: 192.168.0.0/16}
  - ipBlock: {cidr: 100.64.0.0/10}
  - ipBlock: {cidr: 169.254.20.10/32}
  - ipBlock: {cidr: 169.254.169.253/32}
  - ipBlock: {cidr: "fc00::/7", except: ["fd00:ec2::254/128"]}
{{- end }}

{{/* Peers that are all pods of namespaces. */}}
{{- define "airflow-platform.namespaces" }}
{{- range . }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- end }}

{{/* Peers that are addresses; all of them, and all private ones, are without the node's metadata. */}}
{{- define "airflow-platform.cidrs" }}
{{- $metadata := dict "0.0.0.0/0" "169.254.169.254/32" "::/0" "fd00:ec2::254/128" "fc00::/7" "fd00:ec2::254/128" }}
{{- range . }}
- ipBlock: {cidr: {{ . | quote }}{{ with get $metadata . }}, except: [{{ . | quote }}]{{ end }}}
{{- end }}
{{- end }}

{{/* Selector of a component's pods: (list root component). The official chart's PostgreSQL is a chart of its own. */}}
{{- define "airflow-platform.podSelector" -}}
{{- $root := index . 0 }}{{ $component := index . 1 -}}
matchLabels:
{{- if eq $component "postgresql" }}
  app.kubernetes.io/name: postgresql
  app.kubernetes.io/instance: {{ $root.Values.airflowRelease }}
{{- else }}
  tier: airflow
  component: {{ $component }}
{{- end }}
{{- end }}

{{/* A rule: (dict root side names row). None if the places are empty: an empty list of peers would mean everyone. */}}
{{- define "airflow-platform.rule" }}
{{- $peers := list }}{{ $places := include "airflow-platform.places" .root | fromYaml }}
{{- range .names }}
{{- if hasKey $places . }}
{{- $peers = concat $peers (get $places . | default list) }}
{{- else }}
{{- $peers = append $peers (dict "podSelector" (include "airflow-platform.podSelector" (list $.root .) | fromYaml)) }}
{{- end }}
{{- end }}
{{- if $peers }}
- {{ .side }}:
    {{- toYaml $peers | nindent 4 }}
  ports:
    - {port: {{ .row.port }}, protocol: {{ .row.protocol | default "TCP" }}}
{{- end }}
{{- end }}

{{/* Rules that the values add: a map of {namespaces, cidrs, ports}. A later layer takes one out with null. */}}
{{- define "airflow-platform.egress" }}
{{- range . }}
{{- with . }}
- to:
    {{- include "airflow-platform.namespaces" .namespaces | indent 4 }}
    {{- include "airflow-platform.cidrs" .cidrs | indent 4 }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
