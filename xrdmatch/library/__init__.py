"""The reference library: structures as reflections, their families, names and strongest lines."""
