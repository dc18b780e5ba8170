{{/* The template of the pods, of a StatefulSet as of a Deployment. */}}
{{- define "smtprelay.pod" -}}
metadata:
  labels:
    {{- include "smtprelay.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Changed settings need new pods.
    checksum/settings: {{ include "smtprelay.environment" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  serviceAccountName: {{ include "smtprelay.serviceAccount" . }}
  # Kubernetes' variables for services would look like settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "smtprelay.selector" . | nindent 10 }}
    {{- end }}
  containers:
    - name: smtprelay
      image: {{ include "smtprelay.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      envFrom:
        - configMapRef:
            name: {{ include "smtprelay.fullname" . }}
      ports:
        {{- range $name, $port := include "smtprelay.ports" . | fromJson }}
        - name: {{ $name }}
          containerPort: {{ $port }}
        {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      startupProbe:
        tcpSocket:
          port: smtp
        periodSeconds: 2
        failureThreshold: {{ div (add .Values.startupSeconds 1) 2 }}
      # Checks the greeting, the reply to EHLO, and that the queue takes mail.
      readinessProbe:
        exec:
          command:
            - smtprelay
            - health
        periodSeconds: 30
        timeoutSeconds: 20
      # Checks the port only: a restart cures neither a full disk nor a database, and would interrupt running deliveries.
      livenessProbe:
        tcpSocket:
          port: smtp
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 3
      {{- if .Values.preStopSeconds }}
      lifecycle:
        preStop:
          exec:
            command:
              - sleep
              - {{ .Values.preStopSeconds | toString | quote }}
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "smtprelay.mounts" . | nindent 8 }}
  volumes:
    {{- include "smtprelay.volumes" . | nindent 4 }}
{{- end -}}

{{- define "smtprelay.mounts" -}}
- name: {{ ternary "spool" "queue" (ne .Values.queue.url "") }}
  mountPath: /var/spool/smtprelay
- name: tmp
  mountPath: /tmp
{{- if or .Values.secrets .Values.secretFiles }}
{{ include "smtprelay.mount" (list "secrets" "/run/secrets/smtprelay") }}
{{- end }}
{{- if or .Values.rules.files .Values.rules.configMap }}
{{ include "smtprelay.mount" (list "rules" "/etc/smtprelay/rules.d") }}
{{- end }}
{{- if .Values.certificate.secret }}
{{ include "smtprelay.mount" (list "tls" "/etc/smtprelay/tls") }}
{{- end }}
{{- if or .Values.smarthost.ca.configMap .Values.smarthost.ca.secret }}
{{ include "smtprelay.mount" (list "smarthost-ca" "/etc/smtprelay/smarthost-ca") }}
{{- end }}
{{- if .Values.smarthost.certificate.secret }}
{{ include "smtprelay.mount" (list "smarthost-tls" "/etc/smtprelay/smarthost-tls") }}
{{- end }}
{{- if .Values.dkim.secret }}
{{ include "smtprelay.mount" (list "dkim" "/etc/smtprelay/dkim") }}
{{- end }}
{{- if .Values.aliases.configMap }}
{{ include "smtprelay.mount" (list "aliases" "/etc/smtprelay/aliases") }}
{{- end }}
{{- if .Values.macros.configMap }}
{{ include "smtprelay.mount" (list "macros" "/etc/smtprelay/macros") }}
{{- end }}
{{- if and .Values.queue.url (or .Values.queue.ca.configMap .Values.queue.ca.secret) }}
{{ include "smtprelay.mount" (list "queue-ca" "/etc/smtprelay/queue-ca") }}
{{- end }}
{{- if and .Values.admin.enabled .Values.admin.certificate.secret }}
{{ include "smtprelay.mount" (list "admin-tls" "/etc/smtprelay/admin-tls") }}
{{- end }}
{{- if .Values.maildirs.existingClaim }}
- name: maildirs
  mountPath: /var/mail
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Folders of ConfigMaps and Secrets are mounted without subPath, so that the relay sees their changes. */}}
{{- define "smtprelay.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if .Values.queue.url }}
- name: spool
  emptyDir:
    sizeLimit: {{ .Values.queue.spool.sizeLimit }}
{{- end }}
{{- if or .Values.secrets .Values.secretFiles }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := mergeOverwrite (dict) .Values.secretFiles .Values.secrets }}
      - secret:
          name: {{ $from.secret }}
          items:
            - key: {{ $from.key | default (lower $name) | quote }}
              path: {{ $name | quote }}
      {{- end }}
{{- end }}
{{- if or .Values.rules.files .Values.rules.configMap }}
- name: rules
  configMap:
    name: {{ .Values.rules.configMap | default (printf "%s-rules" (include "smtprelay.fullname" .)) }}
{{- end }}
{{- if .Values.certificate.secret }}
{{ include "smtprelay.secretVolume" (list "tls" .Values.certificate.secret) }}
{{- end }}
{{- if or .Values.smarthost.ca.configMap .Values.smarthost.ca.secret }}
{{ include "smtprelay.fileVolume" (list "smarthost-ca" .Values.smarthost.ca) }}
{{- end }}
{{- if .Values.smarthost.certificate.secret }}
{{ include "smtprelay.secretVolume" (list "smarthost-tls" .Values.smarthost.certificate.secret) }}
{{- end }}
{{- if .Values.dkim.secret }}
{{ include "smtprelay.secretVolume" (list "dkim" .Values.dkim.secret) }}
{{- end }}
{{- if .Values.aliases.configMap }}
{{ include "smtprelay.fileVolume" (list "aliases" (merge (dict "secret" "") .Values.aliases)) }}
{{- end }}
{{- if .Values.macros.configMap }}
{{ include "smtprelay.fileVolume" (list "macros" (merge (dict "secret" "") .Values.macros)) }}
{{- end }}
{{- if and .Values.queue.url (or .Values.queue.ca.configMap .Values.queue.ca.secret) }}
{{ include "smtprelay.fileVolume" (list "queue-ca" .Values.queue.ca) }}
{{- end }}
{{- if and .Values.admin.enabled .Values.admin.certificate.secret }}
{{ include "smtprelay.secretVolume" (list "admin-tls" .Values.admin.certificate.secret) }}
{{- end }}
{{- with .Values.maildirs.existingClaim }}
- name: maildirs
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
