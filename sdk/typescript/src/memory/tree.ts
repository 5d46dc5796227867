// Whether what a run waits for has come.

import type { Tree } from "../protocol.js";

/** A key with an entry is true, `any` of nothing is false, `all` of nothing is true. */
export function resolves(tree: Tree, has: (key: string) => boolean): boolean {
  if (typeof tree === "string") return has(tree);
  return "all" in tree ? tree.all.every((part) => resolves(part, has)) : tree.any.some((part) => resolves(part, has));
}

export function leavesOf(tree: Tree): string[] {
  return typeof tree === "string" ? [tree] : ("all" in tree ? tree.all : tree.any).flatMap(leavesOf);
}
