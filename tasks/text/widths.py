"""Full-width forms of ASCII, as East Asian keyboards write it."""

# One character for one, so that positions stay.
TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: ord(" ")}
