{{/* Refuses values that do not belong together, with one line that names the remedy. */}}
{{- define "smtprelay.checks" -}}
{{- $values := .Values -}}
{{- range $name, $_ := $values.secrets -}}
{{- if hasKey $values.settings $name -}}
{{- fail (printf "%s is in both settings and secrets: keep one of them" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (or $values.submission.starttls $values.submission.tls) (not $values.certificate.secret) -}}
{{- fail "submission needs certificate.secret, because its clients log in inside TLS" -}}
{{- end -}}
{{- if and (or $values.submission.starttls $values.submission.tls) (not (hasKey $values.secrets "AUTH_USERS")) -}}
{{- fail "submission needs secrets.AUTH_USERS: no client could log in" -}}
{{- end -}}
{{- if and $values.admin.enabled (not (hasKey $values.secrets "ADMIN_PASSWORD")) -}}
{{- fail "admin.enabled needs secrets.ADMIN_PASSWORD" -}}
{{- end -}}
{{- if and $values.metrics.serviceMonitor.enabled (not $values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (not $values.queue.url) -}}
{{- fail "autoscaling.enabled needs queue.url: the mail of a pod with a queue of its own would wait until there are as many pods again" -}}
{{- end -}}
{{- if and $values.rules.files $values.rules.configMap -}}
{{- fail "rules.files and rules.configMap are both set: keep one of them" -}}
{{- end -}}
{{- if lt (int $values.terminationGracePeriodSeconds) (add $values.preStopSeconds 21 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds must be at least %d: preStopSeconds, and 21 for running deliveries" (add $values.preStopSeconds 21 | int)) -}}
{{- end -}}
{{- range $port := ternary $values.public.ports list $values.public.enabled -}}
{{- if not (hasKey (include "smtprelay.ports" $ | fromJson) $port) -}}
{{- fail (printf "public.ports has %s, a port that the relay does not open: see submission" $port) -}}
{{- end -}}
{{- end -}}
{{- include "smtprelay.checkQueue" . -}}
{{- end -}}

{{/* Refuses to leave a queue that may have mail. Only a client that talks to the cluster finds out. */}}
{{- define "smtprelay.checkQueue" -}}
{{- $values := .Values }}{{ $release := .Release.Name }}{{ $name := include "smtprelay.fullname" . -}}
{{- range $kind := ternary (list) (list "StatefulSet" "Deployment") .Values.queue.oldIsEmpty -}}
{{- range (lookup "apps/v1" $kind $.Release.Namespace "").items -}}
{{- $owner := get (.metadata.annotations | default dict) "meta.helm.sh/release-name" -}}
{{- $chart := get (.metadata.labels | default dict) "helm.sh/chart" -}}
{{- if and (eq $owner $release) (hasPrefix "smtprelay-" $chart) -}}
{{- if and (eq $kind "Deployment") (not $values.queue.url) -}}
{{- fail (printf "Deployment %s would be removed, and its database may have mail, which no pod would deliver any more: let it be delivered, then set queue.oldIsEmpty=true" .metadata.name) -}}
{{- else if and (eq $kind "StatefulSet") (or $values.queue.url (ne .metadata.name $name)) -}}
{{- fail (printf "StatefulSet %s would be removed, and its volumes may have mail, which no pod would deliver any more: move it to the database, or let it be delivered, then set queue.oldIsEmpty=true" .metadata.name) -}}
{{- else if and (eq $kind "StatefulSet") (gt (int .spec.replicas) (int $values.replicas)) -}}
{{- fail (printf "StatefulSet %s has %d pods, and the volumes of those above %d may have mail, which no pod would deliver any more: let it be delivered, then set queue.oldIsEmpty=true" $name (int .spec.replicas) (int $values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
