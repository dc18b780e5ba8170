{{/* The relay's variables: settings, paths of secrets, and the settings that other values decide. */}}
{{- define "smtprelay.environment" -}}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "smtprelay.text" $value | quote }}
{{- end }}
{{- range $name, $_ := .Values.secrets }}
{{ $name }}_FILE: /run/secrets/smtprelay/{{ $name }}
{{- end }}
PORT: "2525"
{{- if .Values.submission.starttls }}
SUBMISSION_PORT: "2587"
{{- end }}
{{- if .Values.submission.tls }}
SUBMISSION_TLS_PORT: "2465"
{{- end }}
{{- if .Values.certificate.secret }}
CERTIFICATE_PATH: /etc/smtprelay/tls/tls.crt
KEY_PATH: /etc/smtprelay/tls/tls.key
{{- end }}
{{- if or .Values.smarthost.ca.configMap .Values.smarthost.ca.secret }}
SMARTHOST_CA_FILE: /etc/smtprelay/smarthost-ca/{{ .Values.smarthost.ca.key }}
{{- end }}
{{- if .Values.smarthost.certificate.secret }}
SMARTHOST_CERTIFICATE_PATH: /etc/smtprelay/smarthost-tls/tls.crt
SMARTHOST_KEY_PATH: /etc/smtprelay/smarthost-tls/tls.key
{{- end }}
{{- if .Values.dkim.secret }}
DKIM_KEY_PATH: /etc/smtprelay/dkim
{{- end }}
{{- if .Values.aliases.configMap }}
ALIASES_FILE: /etc/smtprelay/aliases/{{ .Values.aliases.key }}
{{- end }}
{{- if .Values.maildirs.existingClaim }}
MAIL_DIR: /var/mail
{{- end }}
{{- if .Values.macros.configMap }}
MACROS_FILE: /etc/smtprelay/macros/{{ .Values.macros.key }}
{{- end }}
{{- if .Values.queue.url }}
QUEUE_URL: {{ include "smtprelay.queueUrl" . | quote }}
{{- end }}
{{- if .Values.metrics.enabled }}
METRICS_LISTEN: ":9125"
{{- end }}
{{- if .Values.admin.enabled }}
ADMIN_LISTEN: ":8025"
{{- if .Values.admin.certificate.secret }}
ADMIN_CERTIFICATE_PATH: /etc/smtprelay/admin-tls/tls.crt
ADMIN_KEY_PATH: /etc/smtprelay/admin-tls/tls.key
{{- end }}
{{- end }}
{{- end -}}
