"""What the intel services of the demo’s organisation answered."""

# Value: what each intel service said of it: (malicious, score, what it knows).
INTEL: dict[str, dict[str, tuple[bool | None, float | None, dict[str, object]]]] = {
    "203.0.113.77": {
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:c2"}),
        "AbuseIPDB": (True, 97, {"confidence": 97, "reports": 214}),
        "URLhaus": (True, 85, {"live_urls": 2}),
        "GreyNoise": (None, None, {"note": "not seen scanning"}),
    },
    "cdn-telemetry.example": {
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:c2"}),
        "URLhaus": (True, 85, {"live_urls": 2, "first_seen": "2 days ago"}),
    },
    "payroll-verify.example": {
        "URLhaus": (True, 80, {"threat": "phishing kit"}),
        "WHOIS": (None, None, {"registered": "2 days ago", "registrar": "Example Registrar"}),
    },
    "9f2c61b08a4d6f3be5c7712094adfe0123c86b5d90e4f7a1b2c3d4e577e3d41a": {
        "VirusTotal": (True, 82, {"engines": "58 of 71"}),
        "MISP, corp feed": (True, 90, {"event": 9913, "tag": "loader:stage1"}),
    },
    "198.51.100.23": {
        "AbuseIPDB": (True, 100, {"confidence": 100, "reports": 1873}),
        "GreyNoise": (True, 70, {"classification": "malicious", "tag": "VPN bruteforcer"}),
    },
    "192.0.2.144": {
        "AbuseIPDB": (None, 12, {"confidence": 12, "reports": 3}),
        "GreyNoise": (None, None, {"note": "not seen scanning"}),
    },
    "pool.minexmr-proxy.example": {"URLhaus": (True, 75, {"threat": "coin miner pool"})},
    "198.51.100.201": {"GreyNoise": (False, 0, {"classification": "benign", "tag": "mail gateway"})},
    "supplier-billing.example": {"WHOIS": (None, 40, {"registered": "9 days ago"})},
}
