// Await trees: what a run waits for. Pure.

/** The keys at the leaves, from left to right. */
export function leaves(tree) {
  if (tree === undefined || tree === null) return [];
  if (typeof tree === "string") return [tree];
  return (tree.all ?? tree.any ?? []).flatMap(leaves);
}

/** Says whether the tree resolves, `finished` being a function from a key to whether it has an entry. */
export function resolves(tree, finished) {
  if (typeof tree === "string") return finished(tree);
  if (tree.all) return tree.all.every((branch) => resolves(branch, finished));
  return tree.any.some((branch) => resolves(branch, finished));
}

/** The number of levels above the deepest leaf; a lone key has none. */
export function levels(tree) {
  if (typeof tree === "string") return 0;
  return 1 + Math.max(0, ...(tree.all ?? tree.any ?? []).map(levels));
}
