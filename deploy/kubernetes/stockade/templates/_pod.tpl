{{- define "stockade.image" -}}
{{ .root.Values.images.prefix }}{{ .name }}:{{ .root.Values.images.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* Each process has a uid of its own and no capability; numbers are those of `directories` in the images. */}}
{{- define "stockade.unprivileged" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* gRPC's health protocol on the service's own socket: Kubernetes' own probe wants a TCP port. */}}
{{- define "stockade.probes" -}}
startupProbe: {exec: {command: [/opt/stockade/healthy]}, periodSeconds: 3, failureThreshold: 40, timeoutSeconds: 5}
readinessProbe: {exec: {command: [/opt/stockade/healthy]}, periodSeconds: 15, timeoutSeconds: 5}
livenessProbe: {exec: {command: [/opt/stockade/healthy]}, periodSeconds: 30, timeoutSeconds: 5}
{{- end -}}

{{/* Where a pod's processes meet. Call with the run and state directories. */}}
{{- define "stockade.places" -}}
- {name: run, mountPath: {{ .runDir }}{{ with .propagation }}, mountPropagation: {{ . }}{{ end }}}
- {name: state, mountPath: {{ .stateDir }}}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "stockade.small" -}}
requests: {cpu: 100m, memory: 128Mi}
limits: {cpu: "1", memory: 512Mi}
{{- end -}}

{{/* The directories that `stockade up` makes on one machine. */}}
{{- define "stockade.directories" -}}
- name: directories
  image: {{ include "stockade.image" (dict "root" .root "name" "audit") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [directories]
  securityContext: {{- include "stockade.unprivileged" . | nindent 4 }}
  resources: {{- include "stockade.small" . | nindent 4 }}
  volumeMounts: {{- include "stockade.places" . | nindent 4 }}
{{ include "stockade.passwords" . }}
{{- end -}}

{{/* A password file must be its reader's alone (libpq), which a mounted secret is not. */}}
{{- define "stockade.passwords" -}}
- name: {{ .reader }}-password
  image: {{ include "stockade.image" (dict "root" .root "name" "audit") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [/bin/sh, -ec, 'if [ -e /stores/pgpass ]; then install -m 0600 /stores/pgpass {{ .runDir }}/{{ .reader }}.pgpass; fi']
  securityContext: {{- include "stockade.unprivileged" . | nindent 4 }}
  resources: {{- include "stockade.small" . | nindent 4 }}
  volumeMounts:
  {{- include "stockade.places" . | nindent 2 }}
  - {name: stores, mountPath: /stores, readOnly: true}
{{- end -}}

{{/* The settings that every service has: their prefix, the id of the sidecar before it, where the node's name stands. */}}
{{- define "stockade.settings" -}}
{{- if .node }}
- {name: NODE, valueFrom: {fieldRef: {fieldPath: {{ .node }}}}}
{{- end }}
- {name: RUN, value: {{ .runDir }}}
- {name: {{ .prefix }}_RUN_DIR, value: {{ .runDir }}}
- {name: {{ .prefix }}_STATE_DIR, value: {{ .stateDir }}}
{{- if eq .root.Values.sidecar "envoy" }}
- {name: {{ .prefix }}_TRUST_DOMAIN, value: {{ .root.Values.trustDomain }}}
- {name: {{ .prefix }}_REGISTRY_URL, valueFrom: {secretKeyRef: {name: {{ .root.Values.stores }}, key: redis}}}
- {name: {{ .prefix }}_SIDECAR_ID, value: {{ .id | quote }}}
{{- end }}
{{- end -}}

{{/* The audit daemon, beside whoever appends to the record. Node: the name under which it signs. */}}
{{- define "stockade.audit" -}}
- name: audit
  image: {{ include "stockade.image" (dict "root" .root "name" "audit") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  env:
  {{- include "stockade.settings" (dict "root" .root "prefix" "STOCKADE_AUDIT" "id" .id "node" .node "runDir" .runDir "stateDir" .stateDir) | nindent 2 }}
  - {name: STOCKADE_AUDIT_NODE, value: $(NODE)}
  - {name: STOCKADE_AUDIT_SHIP_TO, valueFrom: {secretKeyRef: {name: {{ .root.Values.stores }}, key: copy, optional: true}}}
  {{- with .root.Values.collector }}
  - {name: STOCKADE_AUDIT_OTLP_ENDPOINT, value: {{ . | quote }}}
  {{- end }}
  securityContext: {{- include "stockade.unprivileged" (dict "uid" 64001) | nindent 4 }}
  resources: {{- include "stockade.small" . | nindent 4 }}
  {{- include "stockade.probes" . | nindent 2 }}
  volumeMounts: {{- include "stockade.places" . | nindent 4 }}
{{- end -}}

{{- define "stockade.policy" -}}
- name: policy
  image: {{ include "stockade.image" (dict "root" .root "name" "policy") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  env:
  {{- include "stockade.settings" (dict "root" .root "prefix" "STOCKADE_POLICY" "id" .id "node" .node "runDir" .runDir "stateDir" .stateDir) | nindent 2 }}
  - {name: STOCKADE_POLICY_LIMITS, value: redis}
  - {name: STOCKADE_POLICY_REDIS_URL, valueFrom: {secretKeyRef: {name: {{ .root.Values.stores }}, key: redis}}}
  - {name: STOCKADE_POLICY_STORE, valueFrom: {secretKeyRef: {name: {{ .root.Values.stores }}, key: policies, optional: true}}}
  - {name: STOCKADE_GATE_RUN_DIR, value: {{ .runDir }}}
  securityContext: {{- include "stockade.unprivileged" (dict "uid" 64002) | nindent 4 }}
  resources: {{- toYaml .root.Values.policy.resources | nindent 4 }}
  {{- include "stockade.probes" . | nindent 2 }}
  volumeMounts: {{- include "stockade.places" . | nindent 4 }}
{{- end -}}

{{- define "stockade.cache" -}}
- name: cache
  image: {{ include "stockade.image" (dict "root" .root "name" "cache") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  env:
  {{- include "stockade.settings" (dict "root" .root "prefix" "STOCKADE_CACHE" "id" .id "node" .node "runDir" .runDir "stateDir" .stateDir) | nindent 2 }}
  - {name: STOCKADE_CACHE_BACKEND, value: redis}
  - {name: STOCKADE_CACHE_REDIS_URL, valueFrom: {secretKeyRef: {name: {{ .root.Values.stores }}, key: redis}}}
  securityContext: {{- include "stockade.unprivileged" (dict "uid" 64003) | nindent 4 }}
  resources: {{- toYaml .root.Values.cache.resources | nindent 4 }}
  {{- include "stockade.probes" . | nindent 2 }}
  volumeMounts: {{- include "stockade.places" . | nindent 4 }}
{{- end -}}

{{/* With sidecar envoy: the one that has the port and the certificate, and the one that hands on metrics. */}}
{{- define "stockade.sidecars" -}}
- name: envoy
  image: {{ include "stockade.image" (dict "root" .root "name" "gate") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  args: [--config-path, /etc/envoy/envoy.yaml, --disable-hot-restart, --log-level, warning]
  ports:
  - {name: grpc, containerPort: 9443}
  {{- if .protocols }}
  - {name: grpc-envoy, containerPort: 9191}
  {{- end }}
  securityContext: {{- include "stockade.unprivileged" (dict "uid" 64005) | nindent 4 }}
    {{- with .gid }}
    runAsGroup: {{ . }}
    {{- end }}
  resources: {{- include "stockade.small" . | nindent 4 }}
  readinessProbe: {tcpSocket: {port: 9443}, periodSeconds: 10}
  livenessProbe: {tcpSocket: {port: 9443}, periodSeconds: 30}
  volumeMounts:
  - {name: run, mountPath: {{ .runDir }}/sidecar, subPath: sidecar, readOnly: true}   # and enters nothing else
  {{- if .protocols }}
  - {name: run, mountPath: {{ .runDir }}/services, subPath: services, readOnly: true}
  {{- end }}
  - {name: envoy, mountPath: /etc/envoy, readOnly: true}
  - {name: tls, mountPath: /etc/stockade/tls, readOnly: true}
  - {name: tmp, mountPath: /tmp}
- name: metrics
  image: {{ include "stockade.image" (dict "root" .root "name" "gate") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  args: [--config-path, /etc/envoy/metrics.yaml, --disable-hot-restart, --log-level, warning]
  ports: [{name: http-metrics, containerPort: 9464}]
  securityContext: {{- include "stockade.unprivileged" (dict "uid" 64006) | nindent 4 }}
  resources: {{- include "stockade.small" . | nindent 4 }}
  readinessProbe: {tcpSocket: {port: 9464}, periodSeconds: 10}
  livenessProbe: {tcpSocket: {port: 9464}, periodSeconds: 30}
  volumeMounts:
  - {name: run, mountPath: /metrics, subPath: auditors/mesh, readOnly: true}
  - {name: envoy, mountPath: /etc/envoy, readOnly: true}
  - {name: tls, mountPath: /etc/stockade/tls, readOnly: true}
{{- end -}}

{{- define "stockade.sidecarVolumes" -}}
- {name: envoy, configMap: {name: {{ .name }}-envoy}}
- {name: tls, secret: {secretName: {{ .name }}-tls}}
{{- end -}}
