//! The await tree: what has to be finished before the run is worth dispatching again.
//!
//! A future says whether it is ready, not what it waits for: what `join!` and `select!` wait for looks the same from outside. So the tree says
//! "any of them", which is never wrong, except inside `Step::all`, which tells its group here.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::Key;
use crate::wire::{LEAVES_MAX, LEVELS_MAX, Tree};

/// The root group: any.
const ROOT: usize = 0;

struct Group {
    parent: usize,
    all: bool,
}

/// Which futures are polled inside which `Step::all`.
pub struct Groups {
    groups: Vec<Group>,
    /// The group of the future that is being polled.
    pub current: usize,
}

impl Default for Groups {
    fn default() -> Self {
        Self { groups: vec![Group { parent: ROOT, all: false }], current: ROOT }
    }
}

impl Groups {
    /// Adds a group below another: of one that waits for all of its members, or of one that waits for any.
    pub fn add(&mut self, parent: usize, all: bool) -> usize {
        self.groups.push(Group { parent, all });
        self.groups.len() - 1
    }

    /// Builds the tree over unfinished leaves: none if there are more than the protocol allows.
    pub fn tree(&self, leaves: Vec<(Key, usize)>) -> Option<Tree> {
        let mut members: BTreeMap<usize, Vec<Tree>> = BTreeMap::new();
        let mut below: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut linked = BTreeSet::from([ROOT]);
        for (key, group) in leaves {
            let mut child = group;
            while linked.insert(child) {
                let parent = self.groups[child].parent;
                below.entry(parent).or_default().push(child);
                child = parent;
            }
            members.entry(group).or_default().push(Tree::Key(key.to_string()));
        }
        let mut room = LEAVES_MAX;
        self.build(ROOT, &mut members, &below, &mut room, LEVELS_MAX)
    }

    fn build(
        &self,
        group: usize,
        members: &mut BTreeMap<usize, Vec<Tree>>,
        below: &BTreeMap<usize, Vec<usize>>,
        room: &mut usize,
        levels: usize,
    ) -> Option<Tree> {
        let all = self.groups[group].all;
        let mut found = members.remove(&group).unwrap_or_default();
        let fitting = found.len().min(*room);
        // The first leaves of "all" will do: when they are finished the others are asked for. Of "any" none may be missing.
        if fitting < found.len() && !all {
            return None;
        }
        found.truncate(fitting);
        *room -= fitting;
        for child in below.get(&group).into_iter().flatten() {
            if all && *room == 0 {
                break;
            }
            found.push(self.build(*child, members, below, room, levels.checked_sub(1).filter(|left| *left > 1)?)?);
        }
        Some(match (found.len(), all) {
            (1, _) => found.remove(0),
            (_, true) => Tree::All { all: found },
            (_, false) => Tree::Any { any: found },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(tree: &Tree) -> String {
        serde_json::to_string(tree).unwrap()
    }

    #[test]
    fn leaves_without_a_group_wait_for_any_and_one_leaf_is_its_own_tree() {
        let groups = Groups::default();
        assert_eq!(json(&groups.tree(vec![("a#0".into(), 0)]).unwrap()), r#""a#0""#);
        assert_eq!(json(&groups.tree(vec![("a#0".into(), 0), ("b#0".into(), 0)]).unwrap()), r#"{"any":["a#0","b#0"]}"#);
        assert_eq!(json(&groups.tree(vec![]).unwrap()), r#"{"any":[]}"#);
    }

    #[test]
    fn all_of_a_leaf_and_a_race_is_a_tree_of_both() {
        let mut groups = Groups::default();
        let all = groups.add(0, true);
        let (left, right) = (groups.add(all, false), groups.add(all, false));
        let tree = groups.tree(vec![("left#0".into(), left), ("limit#0".into(), right), ("right#0".into(), right)]);
        assert_eq!(json(&tree.unwrap()), r#"{"all":["left#0",{"any":["limit#0","right#0"]}]}"#);
        let tree = groups.tree(vec![("right#0".into(), right)]);
        assert_eq!(json(&tree.unwrap()), r#""right#0""#);
    }

    #[test]
    fn too_many_leaves_are_cut_where_that_is_right_and_refused_where_not() {
        let mut groups = Groups::default();
        let all = groups.add(0, true);
        let leaves = |group: usize| (0..=LEAVES_MAX).map(|i| (Key::from(format!("w#{i}")), group)).collect::<Vec<_>>();
        let Some(Tree::All { all: cut }) = groups.tree(leaves(all)) else { panic!("an all") };
        assert_eq!(cut.len(), LEAVES_MAX);
        assert_eq!(groups.tree(leaves(0)), None);
    }
}
