"""Alert pages: what they show (pages), the verbs of one alert (verbs), verbs of many (bulk)."""
