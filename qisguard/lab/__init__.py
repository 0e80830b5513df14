"""The laboratory: scenarios run on engines that drive real nodes."""
