{{/* What everything is called. */}}
{{- define "tracer.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* By which a pod is selected; must never change. */}}
{{- define "tracer.selector" -}}
app.kubernetes.io/name: tracer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tracer.labels" -}}
{{ include "tracer.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* tracer.toml: what TOML has for a value is what JSON has for it. */}}
{{- define "tracer.toml" -}}
{{- range $section, $settings := .Values.config }}
[{{ $section }}]
{{- range $key, $value := $settings }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{ end }}
{{- end -}}

{{/* A profile as an annotation, for API servers before 1.30. */}}
{{- define "tracer.apparmor" -}}
{{- if eq .type "Unconfined" -}} unconfined
{{- else if eq .type "Localhost" -}} localhost/{{ .localhostProfile }}
{{- else -}} runtime/default
{{- end -}}
{{- end -}}
