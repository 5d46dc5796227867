//! Two texts line by line: what only one has is marked, and long stretches that both have are left out. Pure.

/// Lines that both have are shown so far around what differs.
const AROUND: usize = 3;
/// Longer texts are not compared line by line: that takes their product.
const LINES_MAX: usize = 1_500;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffText {
    /// + for what only the second has, - for what only the first has, "" for both.
    pub mark: String,
    /// The line.
    pub text: String,
}

impl DiffText {
    fn new(mark: &str, text: &str) -> Self {
        Self { mark: mark.to_owned(), text: text.to_owned() }
    }
}

/// The lines of two texts; none when they are the same.
pub fn diff(a: &str, b: &str) -> Vec<DiffText> {
    if a == b {
        return Vec::new();
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let before = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let after = a[before..].iter().rev().zip(b[before..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_a, middle_b) = (&a[before..a.len() - after], &b[before..b.len() - after]);
    let mut lines: Vec<DiffText> = a[..before].iter().map(|line| DiffText::new("", line)).collect();
    lines.extend(middle(middle_a, middle_b));
    lines.extend(a[a.len() - after..].iter().map(|line| DiffText::new("", line)));
    shortened(lines)
}

/// By the longest common subsequence.
fn middle(a: &[&str], b: &[&str]) -> Vec<DiffText> {
    if a.len() > LINES_MAX || b.len() > LINES_MAX {
        let only_a = a.iter().map(|line| DiffText::new("-", line));
        return only_a.chain(b.iter().map(|line| DiffText::new("+", line))).collect();
    }
    let width = b.len() + 1;
    // How much the rests from (i, j) on have in common.
    let mut common = vec![0_u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] =
                if a[i] == b[j] { common[(i + 1) * width + j + 1] + 1 } else { common[(i + 1) * width + j].max(common[i * width + j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(DiffText::new("", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(DiffText::new("-", a[i]));
            i += 1;
        } else {
            lines.push(DiffText::new("+", b[j]));
            j += 1;
        }
    }
    lines
}

/// Without what is far from any difference.
fn shortened(lines: Vec<DiffText>) -> Vec<DiffText> {
    let changed: Vec<usize> = lines.iter().enumerate().filter(|(_, line)| !line.mark.is_empty()).map(|(at, _)| at).collect();
    let is_near = |at: usize| {
        let next = changed.partition_point(|changed| *changed < at);
        let near = |nth: Option<&usize>| nth.is_some_and(|changed| changed.abs_diff(at) <= AROUND);
        near(changed.get(next)) || near(next.checked_sub(1).and_then(|before| changed.get(before)))
    };
    let (mut shown, mut hidden) = (Vec::new(), Vec::new());
    for (at, line) in lines.into_iter().enumerate() {
        if is_near(at) {
            close(&mut shown, &mut hidden);
            shown.push(line);
        } else {
            hidden.push(line);
        }
    }
    close(&mut shown, &mut hidden);
    shown
}

/// Says how many lines are left out; one is not worth it.
fn close(shown: &mut Vec<DiffText>, hidden: &mut Vec<DiffText>) {
    match hidden.len() {
        0 => {}
        1 => shown.append(hidden),
        n => shown.push(DiffText::new("", &format!("⋯ {n} lines are the same"))),
    }
    hidden.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(a: &str, b: &str) -> Vec<String> {
        diff(a, b).iter().map(|line| format!("{}{}", line.mark, line.text)).collect()
    }

    #[test]
    fn what_differs_is_marked() {
        assert_eq!(
            text("{\n  \"a\": 1,\n  \"b\": 2\n}", "{\n  \"a\": 1,\n  \"b\": 3\n}"),
            ["{", "  \"a\": 1,", "-  \"b\": 2", "+  \"b\": 3", "}"]
        );
        assert_eq!(text("a\nb\nc\nd", "a\nc\nx\nd"), ["a", "-b", "c", "+x", "d"]);
        assert_eq!(text("", "a"), ["+a"]);
        assert!(text("a\nb", "a\nb").is_empty());
    }

    #[test]
    fn what_is_far_from_a_difference_is_left_out() {
        let lines = |last: &str| (0..20).map(|n| n.to_string()).chain([last.to_owned()]).collect::<Vec<_>>().join("\n");
        assert_eq!(text(&lines("x"), &lines("y")), ["⋯ 17 lines are the same", "17", "18", "19", "-x", "+y"]);
    }

    #[test]
    fn very_long_texts_are_told_apart_without_comparing_each_line() {
        let lines = |of: &str| (0..LINES_MAX + 1).map(|n| format!("{of}{n}")).collect::<Vec<_>>().join("\n");
        assert_eq!(text(&lines("a"), &lines("b")).len(), 2 * (LINES_MAX + 1));
    }
}
