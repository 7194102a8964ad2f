"""The Merkle tree of RFC 6962, section 2.1, leaf by leaf. Python and nothing else."""
from tlog_proof import sha


class Tree:
    """A tree that grows: `root` is that of the leaves so far."""

    def __init__(self, leaves=()):
        self.size, self.peaks = 0, []
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf):
        node, size = sha(b"\0", leaf), self.size
        while size & 1:
            node, size = sha(b"\1", self.peaks.pop(), node), size >> 1
        self.peaks.append(node)
        self.size += 1

    def root(self):
        root = None
        for peak in reversed(self.peaks):
            root = peak if root is None else sha(b"\1", peak, root)
        return root or sha()
