"""The centre-lines of what is filled, as a graph that is walked from the carotid outwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from lvo_kedro.imaging.geometry import Grid


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Centre-line voxels as nodes; neighbours, corners included, are joined."""

    points: NDArray[np.float64]
    """(N, 3) world mm."""
    lengths: csr_matrix
    """(N, N) mm between neighbours."""

    @property
    def components(self) -> NDArray[np.int32]:
        """(N,) which connected part a node belongs to."""
        return np.asarray(connected_components(self.lengths, directed=False)[1])

    def only(self, kept: NDArray[np.bool_]) -> Skeleton:
        """Return the part of the graph whose nodes are ``kept`` (N,)."""
        return Skeleton(self.points[kept], self.lengths[kept][:, kept])


def find_skeleton(mask: NDArray[np.bool_], grid: Grid) -> Skeleton:
    """Thin a mask (X, Y, Z) to its centre-lines.

    Args:
        mask: Filled voxels.
        grid: Their cubic grid.
    """
    index = np.argwhere(skeletonize(mask))
    points = apply_affine(grid.affine, index.reshape(-1, 3))
    pairs = cKDTree(index).query_pairs(1.8, output_type="ndarray") if len(index) else index
    first, second = pairs.reshape(-1, 2 if len(index) else 3)[:, :2].T
    length = np.linalg.norm(points[first] - points[second], axis=1)
    count = len(points)
    half = coo_matrix((length, (first, second)), shape=(count, count))
    return Skeleton(points, (half + half.T).tocsr())


@dataclass(frozen=True, eq=False)
class Tree:
    """The shortest ways from one node of a skeleton to all that it reaches."""

    points: NDArray[np.float64]
    """(N, 3) world mm."""
    root: int
    distance: NDArray[np.float64]
    """(N,) mm from the root; infinite where it does not reach."""
    parent: NDArray[np.int32]
    """(N,) the next node towards the root; negative at the root and where it does not reach."""

    def way(self, node: int) -> NDArray[np.intp]:
        """Return the nodes from the root to ``node``, both included."""
        nodes = [node]
        while self.parent[nodes[-1]] >= 0:
            nodes.append(int(self.parent[nodes[-1]]))
        return np.array(nodes[::-1], dtype=np.intp)

    def leaves(self) -> NDArray[np.intp]:
        """Return the reached nodes that lead to no other, the farthest first."""
        reached = np.isfinite(self.distance)
        inner = np.zeros(len(reached), bool)
        inner[self.parent[reached & (self.parent >= 0)]] = True
        ends = np.flatnonzero(reached & ~inner)
        return ends[np.argsort(-self.distance[ends])]


def grow_tree(skeleton: Skeleton, root: int) -> Tree:
    """Walk a skeleton from ``root``."""
    distance, parent = dijkstra(
        skeleton.lengths, directed=False, indices=root, return_predecessors=True
    )
    return Tree(skeleton.points, root, distance, parent)


def prune(tree: Tree, least_mm: float) -> list[NDArray[np.intp]]:
    """Return the tree's branches that are worth their name.

    Args:
        tree: Of :func:`grow_tree`.
        least_mm: A way that leaves the longer ones for less than this is a spur.

    Returns:
        For each kept leaf its way from the root, the longest first.
    """
    taken = np.zeros(len(tree.points), bool)
    ways = []
    for leaf in tree.leaves():
        way = tree.way(int(leaf))
        own = way[~taken[way]]
        if len(own) == 0 or (taken.any() and _span(tree, own) < least_mm):
            continue
        taken[way] = True
        ways.append(way)
    return ways


def _span(tree: Tree, nodes: NDArray[np.intp]) -> float:
    return float(tree.distance[nodes[-1]] - tree.distance[nodes[0]])
