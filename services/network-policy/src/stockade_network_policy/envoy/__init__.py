"""Envoy's own protocols, for a mesh that has its gateways already: ext_authz, rate limits, access log."""
