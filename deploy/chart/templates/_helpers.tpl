{{/* The labels of every object. */}}
{{- define "fic-support-operator.labels" -}}
app.kubernetes.io/name: fic-support-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels that select the Pods. A namespace holds one release, so the name is enough. */}}
{{- define "fic-support-operator.selector" -}}
app.kubernetes.io/name: fic-support-operator
{{- end }}

{{/* An object that was read from a file, with the labels. Of .root and .object. */}}
{{- define "fic-support-operator.object" -}}
{{- $labels := fromYaml (include "fic-support-operator.labels" .root) }}
{{- $_ := set .object.metadata "labels" (merge $labels (.object.metadata.labels | default dict)) -}}
---
{{ toYaml .object }}
{{ end }}

{{/* The objects of a file, with the labels. Of .root and .file. */}}
{{- define "fic-support-operator.objects" -}}
{{- range splitList "\n---\n" (.root.Files.Get .file) }}
{{ include "fic-support-operator.object" (dict "root" $.root "object" (fromYaml .)) }}
{{- end }}
{{- end }}

{{/* The suffix of the names of objects that each shard has, and that are in no namespace. */}}
{{- define "fic-support-operator.suffix" -}}
{{- if .Values.shard }}-{{ .Values.shard }}{{ end }}
{{- end }}

{{- define "fic-support-operator.lease" -}}
{{- .Values.operator.leaseName | default "fic-support-operator" }}
{{- end }}

{{/* The port of --http-bind-address. */}}
{{- define "fic-support-operator.port" -}}
{{- if .Values.operator.httpBindAddress }}{{ regexFind "[0-9]+$" .Values.operator.httpBindAddress }}{{ else }}8080{{ end }}
{{- end }}

{{- define "fic-support-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The flags, one a line. A value that is empty has no flag: the operator's own default applies. */}}
{{- define "fic-support-operator.flags" -}}
{{- $operator := .Values.operator }}
{{- if $operator.leaderElect }}
- --leader-elect
{{- end }}
{{- if $operator.allowInsecureHttp }}
- --allow-insecure-http
{{- end }}
{{- if $operator.metricsContracts }}
- --metrics-contracts
{{- end }}
{{- if $operator.caBundle.configMap }}
- --ca-bundle=/etc/fic-support-operator/{{ $operator.caBundle.key }}
{{- end }}
{{- range $operator.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- range list "ficEndpoint" "keystoneEndpoint" "labelSelector" "pollInterval" "resyncInterval" "lossPatience" "maxRecreationsPerHour" "operationTimeout" "requestTimeout" "ficRequestsPerSecond" "concurrency" "leaseName" "httpBindAddress" "metricsPlanLimit" "otlpEndpoint" "documentationUrl" "logFormat" }}
{{- $value := index $operator . }}
{{- /* 0 is a value. Helm reads an integer as a float, which it would write as 1e+06. */}}
{{- if ne (toString $value) "" }}
- {{ printf "--%s=%s" (kebabcase .) (kindIs "string" $value | ternary $value (int64 $value | toString)) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Values that fit the schema each on its own, but not together. */}}
{{- define "fic-support-operator.validate" -}}
{{- $operator := .Values.operator }}
{{- if and .Values.shard (not $operator.labelSelector) (not $operator.watchNamespaces) }}
{{- fail "shard is set, so operator.labelSelector or operator.watchNamespaces must say which plans belong to it: otherwise two operators reconcile the same plans" }}
{{- end }}
{{- if and (not $operator.leaderElect) (gt (int .Values.replicas) 1) }}
{{- fail "operator.leaderElect is false, so replicas must be 1: otherwise two operators reconcile the same plans" }}
{{- end }}
{{- if and $operator.leaseName (not $operator.leaderElect) }}
{{- fail "operator.leaseName has no effect while operator.leaderElect is false: remove one of the two" }}
{{- end }}
{{- if and .Values.crds.enabled (not .Values.crds.keep) .Values.guard.crd (not .Values.shard) }}
{{- fail "crds.keep is false, so guard.crd must be false: otherwise helm uninstall fails, because the guard refuses to delete the CustomResourceDefinition" }}
{{- end }}
{{- if and (or .Values.monitoring.serviceMonitor.enabled .Values.monitoring.alerts.enabled) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
{{- fail "monitoring.serviceMonitor and monitoring.alerts need the CustomResourceDefinitions of the Prometheus operator, and this cluster does not have them: install them first, or turn both off (with helm template, add --api-versions monitoring.coreos.com/v1)" }}
{{- end }}
{{- end }}
