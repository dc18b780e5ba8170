{{- define "smtprelay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "smtprelay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "smtprelay.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels by which objects choose the pods. They never change, because Kubernetes would refuse it. */}}
{{- define "smtprelay.selector" -}}
app.kubernetes.io/name: {{ include "smtprelay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "smtprelay.labels" -}}
{{ include "smtprelay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "smtprelay.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "smtprelay.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "smtprelay.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* A setting's value as a text. Numbers of a file of values are floating-point numbers. */}}
{{- define "smtprelay.text" -}}
{{- if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* The URL of the shared queue, with its authorities. */}}
{{- define "smtprelay.queueUrl" -}}
{{- $url := .Values.queue.url -}}
{{- if or .Values.queue.ca.configMap .Values.queue.ca.secret -}}
{{- $url = printf "%s%ssslrootcert=/etc/smtprelay/queue-ca/%s" $url (ternary "&" "?" (contains "?" $url)) .Values.queue.ca.key -}}
{{- end -}}
{{- $url -}}
{{- end -}}

{{/* All ports of a pod as JSON: names to numbers. */}}
{{- define "smtprelay.ports" -}}
{{- $ports := dict "smtp" 2525 -}}
{{- if .Values.submission.starttls }}{{ $_ := set $ports "submission" 2587 }}{{ end -}}
{{- if .Values.submission.tls }}{{ $_ := set $ports "submissions" 2465 }}{{ end -}}
{{- if .Values.metrics.enabled }}{{ $_ := set $ports "metrics" 9125 }}{{ end -}}
{{- if .Values.admin.enabled }}{{ $_ := set $ports "admin" 8025 }}{{ end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* A volume of one key of a ConfigMap or a Secret: a list of the name, the value that names them, and the file. */}}
{{- define "smtprelay.fileVolume" -}}
{{- $name := index . 0 }}{{ $from := index . 1 -}}
- name: {{ $name }}
  {{- if $from.secret }}
  secret:
    secretName: {{ $from.secret }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ $from.configMap }}
  {{- end }}
    items:
      - key: {{ $from.key | quote }}
        path: {{ $from.key | quote }}
{{- end -}}

{{- define "smtprelay.secretVolume" -}}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 }}
    defaultMode: 0440
{{- end -}}

{{- define "smtprelay.mount" -}}
- name: {{ index . 0 }}
  mountPath: {{ index . 1 }}
  readOnly: true
{{- end -}}
