"""A hundred units which, repeated to a megabyte, make careless extractors slow."""

from __future__ import annotations

MD5 = "44d88612fea8a8f36de82e1278abb02f"

UNITS = (
    "a.b ", "a.com ", "[.]", "[", "[ ", "{.}", "(at)", "1.1.1.1 ", "1.", "::", "a:", "1:1:", "http://", "http://a,",
    "hxxp://", "00-", "aa-", "00:", "AS1-", "CVE-2021-1111-", "f", MD5 + "-", MD5 + " ", "a+a.com+", "%.", "-", "a-", "a@",
    "@a.b", ")", "é.é ", "访a.", "bc1q", "1" * 26 + " ", "www.evil[.]md ", "a.com:a.com:", "\\", '"', " ",
    # Since spoken, escaped and half disarmed dots are read.
    "a dot ", " dot ", "a at a dot ", "dot dot ", "a\\.", "\\.", "a\\.b\\", "[.a", "a.]", ".]", "[d]", " [d] ", "a [.",
    "hxxp:\\\\a\\", ":\\\\", "http:\\/\\/", "\\/", "h[s]", "[:]", "a[::]", "(:)", "[?]", "<.>", "a @ a[", "a (at) a",
    " (dot) ", "_.", "_a.b_ ", "hxtp", "*", "meow://",
    # Networks, keys, digests, coins.
    "1.1.1.0/24 ", "1.1.1.1.1 > ", "1/", "::1/", "2001:db8::/", "IPv6:", "3:aaaaaaa:", "3:aaaaaaa:aaa:", "96:" + "a" * 64 + ":",
    "HKLM\\", "HKLM\\a B ", "HKLM\\a B\\", '"HKLM\\a ', "hklm:\\", " HKLM", "4" * 95 + " ", "4", "bc1" + "q" * 71, "BC1Q",
    "AS 111 ", "asn", "asn:1", "cve 2021-44228 ", "cve,", "O'a", "a'a@", "'a@b.c' ",
    # Markup, joined lists, scripts without blanks.
    "http://a.b&lt;", "&amp;", ",http://a.b,", "http://あ", "http://a.bあ", "。", "a。com", "あa.b", "あhttp://a.b", "1.1.1.1あ",
    "{", "[[", '{"a":', '["a.com",', "C:\\a\\", "\n", "a.com\n", "250-a.b\n",
)  # fmt: skip
