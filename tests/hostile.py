"""A hundred names that somebody may give to a class, a file, a run or a tensor to see what breaks."""

from __future__ import annotations

PATHS = (
    *("../x", "..", ".", "../../etc/passwd", "/etc/passwd", "/", "//x", "a/b", "a/../../b", "./x", "x/.", "x/", "~/x"),
    *("..\\x", "a\\b", "\\\\server\\share", "C:", "C:\\x", "c:/x", "\\", "x:stream", "file:///x", "\\\\?\\C:\\x"),
    *("CON", "nul", "aux.png", "COM1", "x.", "x ", " x", "-rf", "--undo", "*", "?", "history", ".lock", "config.json"),
    *("model-0123456789abcdef.safetensors", "1.json", ".partial", "__MACOSX", "Thumbs.db"),
)
CONTROLS = (
    *("a\0b", "\0", "a\nb", "a\r\nb", "a\tb", "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x7f", "a\x08b", "\x00x"),
    *("\u202egnp.exe", "\u2066x\u2069", "\u2028", "\u200b", "\ufeffx", "\U000e0041", "\udc80", "\ud800", "\ufdd0"),
)
LENGTHS = ("", " ", "\u3000", "x" * 201, "x" * 10_000, "\u20ac" * 67, "\U0001f33b" * 51)
TWINS = ("e\u0301", "\u212b", "A\u030a", "\u1100\u1161", "\u0130", "\ufb03", "ſ")
MARKUP = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><b>', "'><b>", "<!--", "]]>", "&lt;b&gt;", "&"),
    *("[x](javascript:alert(1))", "![x](//evil)", "`x`", "| y |", "**z**", "# x", "---", "{{7*7}}", "{% x %}", "${x}"),
    *("=cmd|' /C calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "%s", "{0}", "$(id)", "`id`", ";id", "[red]x", ":smile:"),
)
NAMES = (*PATHS, *CONTROLS, *LENGTHS, *TWINS, *MARKUP)
