{{/* The stock sidecar of ../../envoy as a pod has it: what comes in, and nothing that goes out. Call with (dict "root" $ "name" … "runDir" … "protocols" true|false). */}}
{{- define "stockade.envoy" -}}
{{- $root := .root -}}
{{- $spans := printf `{"socket_address": {"address": "%s", "port_value": %s}}` (regexReplaceAll ":.*" $root.Values.collector "" | default "127.0.0.1") (regexReplaceAll ".*:" $root.Values.collector "" | default "4317") -}}
{{- $text := $root.Files.Get "files/sidecar.yaml" | replace "${DIR}/admin.sock" "/tmp/admin.sock" | replace "${DIR}" "/etc/envoy" | replace "${NAME}" .name | replace "${TRUST_DOMAIN}" $root.Values.trustDomain | replace "${RUN_DIR}" .runDir | replace "${IN}" `{socket_address: {address: 0.0.0.0, port_value: 9443}}` | replace "${OUT}" "{}" | replace "${SPANS}" $spans -}}
{{- $whole := fromYaml $text -}}
{{- $in := dict -}}{{- range $whole.static_resources.listeners }}{{ if eq .name "in" }}{{ $in = . }}{{ end }}{{ end -}}
{{- if not $root.Values.collector }}{{ $_ := unset (index (index $in.filter_chains 0).filters 0).typed_config "tracing" }}{{ end -}}
{{- $listeners := list $in -}}
{{- $clusters := list -}}
{{- range $whole.static_resources.clusters -}}
{{- if hasPrefix "to-" .name }}{{ $clusters = append $clusters . }}{{ end -}}
{{- if and (eq .name "spans") $root.Values.collector }}{{ $clusters = append $clusters (set . "type" "STRICT_DNS") }}{{ end -}}
{{- end -}}
{{- if .protocols -}}
{{- $protocols := $root.Files.Get "files/protocols.yaml" | fromYaml -}}
{{- $_ := set (index $protocols.listener.filter_chains 0) "transport_socket" (include "stockade.tls" (dict "in" $in "ids" $root.Values.gateways "alpn" "h2") | fromYaml) -}}
{{- $listeners = append $listeners $protocols.listener -}}{{- $clusters = append $clusters $protocols.cluster -}}
{{- end -}}
{{- toYaml (dict "node" $whole.node "admin" $whole.admin "static_resources" (dict "listeners" $listeners "clusters" $clusters)) -}}
{{- end -}}

{{/* The TLS of the sidecar's own listener, for these SPIFFE ids alone. */}}
{{- define "stockade.tls" -}}
{{- $tls := deepCopy (index .in.filter_chains 0).transport_socket -}}
{{- $matchers := list -}}{{- range .ids }}{{ $matchers = append $matchers (dict "san_type" "URI" "matcher" (dict "exact" .)) }}{{ end -}}
{{- $_ := set $tls.typed_config.common_tls_context "alpn_protocols" (list .alpn) -}}
{{- $_ := set $tls.typed_config.common_tls_context.combined_validation_context.default_validation_context "match_typed_subject_alt_names" $matchers -}}
{{- toYaml $tls -}}
{{- end -}}

{{/* The Envoy that hands Prometheus the metrics. */}}
{{- define "stockade.metrics" -}}
{{- $whole := .Files.Get "files/metrics.yaml" | fromYaml -}}
{{- $sidecar := .Files.Get "files/sidecar.yaml" | replace "${DIR}" "/etc/envoy" | replace "${TRUST_DOMAIN}" .Values.trustDomain | replace "${IN}" "{}" | replace "${OUT}" "{}" | replace "${SPANS}" "{}" | fromYaml -}}
{{- $listener := index $whole.static_resources.listeners 0 -}}
{{- $_ := set (index $listener.filter_chains 0) "transport_socket" (include "stockade.tls" (dict "in" (index $sidecar.static_resources.listeners 0) "ids" (list .Values.prometheus) "alpn" "http/1.1") | fromYaml) -}}
{{- toYaml $whole -}}
{{- end -}}

{{/* The configuration of a pod's Envoys. Call as stockade.envoy. */}}
{{- define "stockade.envoyFiles" -}}
envoy.yaml: |
  {{- include "stockade.envoy" . | nindent 2 }}
metrics.yaml: |
  {{- include "stockade.metrics" .root | nindent 2 }}
{{- range list "certificate" "authority" }}
{{ . }}.yaml: |
  {{- $.root.Files.Get (printf "files/%s.yaml" .) | replace "${TLS}" "/etc/stockade/tls" | nindent 2 }}
{{- end }}
{{- end -}}
