"""Incident pages: what they show (pages), their verbs (actions), suggested incidents (suggestions)."""
