{{- define "ovenbird.labels" -}}
app.kubernetes.io/name: ovenbird
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ovenbird.selector" -}}
app.kubernetes.io/name: ovenbird
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ovenbird.fullname" -}}
{{- if contains "ovenbird" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-ovenbird" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ovenbird.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "ovenbird.controllerHostNetwork" -}}
{{- if eq (toString .Values.controller.hostNetwork) "" }}{{ eq .Values.ovn.mode "full" }}{{ else }}{{ .Values.controller.hostNetwork }}{{ end }}
{{- end }}

{{- define "ovenbird.speakerKeySecret" -}}
{{ include "ovenbird.fullname" . }}-speaker-key
{{- end }}

{{- define "ovenbird.commonEnv" -}}
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
{{- if .Values.apiServer.host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.apiServer.host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.apiServer.port | quote }}
{{- end }}
{{- end }}
