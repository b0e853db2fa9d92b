{{- define "pharos.name" -}}
{{- if contains "pharos" .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-pharos" .Release.Name | trunc 50 }}{{ end }}
{{- end }}

{{- define "pharos.selector" -}}
app.kubernetes.io/name: pharos
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pharos.labels" -}}
{{ include "pharos.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pharos.configMap" -}}
{{ .Values.config.existing | default (include "pharos.name" .) }}
{{- end }}

{{- define "pharos.files" -}}
{{- if .Values.config.files -}}
{{- if not (hasKey .Values.config.files "pharos.toml") }}{{ fail "config.files has no pharos.toml" }}{{ end -}}
{{ toYaml .Values.config.files }}
{{- else -}}
{{ (.Files.Glob "config/*").AsConfig }}
{{- end }}
{{- end }}

{{- /* The kind of the workload. The servers of a fleet need names that last. */ -}}
{{- define "pharos.kind" -}}
{{- $main := index .Values.config.files "pharos.toml" | default "" -}}
{{- if and .Values.fleet.enabled (not .Values.config.existing) (not (contains "[fleet]" $main)) -}}
{{ fail "fleet.enabled needs [fleet] in pharos.toml of config.files" }}
{{- end -}}
{{ if .Values.hostNetwork.enabled }}DaemonSet{{ else if .Values.fleet.enabled }}StatefulSet{{ else }}Deployment{{ end }}
{{- end }}

{{- /* The port of DNS inside the Pod. */ -}}
{{- define "pharos.port" -}}
{{ if .Values.hostNetwork.enabled }}53{{ else }}5300{{ end }}
{{- end }}
