"""What the ids of a marking mask mean: the contract of masks, maps and reports."""

CLASSES = ("background", "solid line", "dashed line", "stop line", "zebra crossing", "arrow", "text")
BACKGROUND, SOLID, DASHED, STOP, ZEBRA, ARROW, TEXT = range(len(CLASSES))
