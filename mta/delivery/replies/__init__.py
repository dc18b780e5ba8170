"""The meaning of the replies that remote hosts give: throttling, a smarthost's own limits, advice to the operator."""
