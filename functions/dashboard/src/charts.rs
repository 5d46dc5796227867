//! Small charts: where bars and lines stand on a grid of 600 by 120 units, which the page stretches.
//!
//! Out of scope: what they show (`overview_view`); colours (`static/pages.css`).

/// Width of a chart.
const WIDTH: f64 = 600.0;
/// Height of a chart.
const HEIGHT: f64 = 120.0;
/// Width of a bar in a row of a table.
const SHARE_WIDTH: f64 = 120.0;
/// Its height.
const SHARE_HEIGHT: f64 = 20.0;
/// What there is of anything is at least so high or wide: one failure among thousands is seen.
const LEAST: f64 = 1.5;

/// A chart, as `templates/parts/chart.html` shows it.
#[derive(Default)]
pub struct Chart {
    pub title: String,
    pub legend: Vec<Legend>,
    pub y_max: String,
    pub y_mid: String,
    pub x_from: String,
    pub x_to: String,
    pub bars: Vec<ChartBar>,
    pub lines: Vec<ChartLine>,
    pub none: bool,
    pub summary: String,
}

/// What a colour stands for.
pub struct Legend {
    pub kind: &'static str,
    pub text: &'static str,
}

/// A rectangle.
#[derive(Debug, PartialEq, Eq)]
pub struct ChartBar {
    pub x: String,
    pub y: String,
    pub w: String,
    pub h: String,
    pub kind: &'static str,
    pub title: String,
}

/// A line through points.
#[derive(Debug, PartialEq, Eq)]
pub struct ChartLine {
    pub points: String,
    pub kind: &'static str,
}

/// Values that stand on each other, from the bottom up.
pub struct Stack {
    /// What it says.
    pub title: String,
    /// How they are coloured, and how many they are.
    pub parts: Vec<(&'static str, i64)>,
}

/// The top of an axis: the next number of 2, 4, 6, 8, 10, 20, ... that has room for the highest value, so that its half is a whole number too.
pub fn top(highest: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        if let Some(step) = [2, 4, 6, 8, 10].into_iter().find(|step| power.saturating_mul(*step) >= highest) {
            return power.saturating_mul(step);
        }
        power = power.saturating_mul(10);
    }
}

/// Bars beside each other under an axis that ends at `top`.
pub fn bars(stacks: &[Stack], top: i64) -> Vec<ChartBar> {
    let each = WIDTH / stacks.len().max(1) as f64;
    let gap = (each * 0.2).min(3.0);
    let mut bars = Vec::new();
    for (at, stack) in stacks.iter().enumerate() {
        let mut bottom = HEIGHT;
        for (kind, n) in stack.parts.iter().filter(|(_, n)| *n > 0) {
            let height = (*n as f64 * HEIGHT / top.max(1) as f64).clamp(LEAST, bottom.max(LEAST));
            bottom = (bottom - height).max(0.0);
            bars.push(ChartBar {
                x: unit(at as f64 * each + gap / 2.0),
                y: unit(bottom),
                w: unit(each - gap),
                h: unit(height),
                kind,
                title: stack.title.clone(),
            });
        }
    }
    bars
}

/// Lines through the middles of as many columns as there are values; where there is none, the line ends. One value alone is a short dash.
pub fn lines(values: &[Option<f64>], top: f64, kind: &'static str) -> Vec<ChartLine> {
    let each = WIDTH / values.len().max(1) as f64;
    let point =
        |x: f64, value: f64| format!("{},{}", unit(x), unit(HEIGHT - (value / top.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * HEIGHT));
    let mut lines = Vec::new();
    let mut at = 0;
    for run in values.split(Option::is_none) {
        let middle = |index: usize| (index as f64 + 0.5) * each;
        let points: Vec<String> = match run {
            [] => Vec::new(),
            [one] => [-0.3, 0.3].iter().filter_map(|side| one.map(|value| point(middle(at) + side * each, value))).collect(),
            run => run.iter().enumerate().filter_map(|(n, value)| value.map(|value| point(middle(at + n), value))).collect(),
        };
        at += run.len() + 1;
        if !points.is_empty() {
            lines.push(ChartLine { points: points.join(" "), kind });
        }
    }
    lines
}

/// One bar of what went well and what did not, as long as its share of the most there is.
pub fn share(well: i64, ill: i64, most: i64) -> Vec<ChartBar> {
    let width = |n: i64| if n > 0 { (n as f64 * SHARE_WIDTH / most.max(1) as f64).clamp(LEAST, SHARE_WIDTH) } else { 0.0 };
    let (bad, ok) = (width(ill), width(well).min(SHARE_WIDTH - width(ill)));
    let bar =
        |x: f64, w: f64, kind| ChartBar { x: unit(x), y: unit(6.0), w: unit(w), h: unit(SHARE_HEIGHT - 12.0), kind, title: String::new() };
    let both = [bar(0.0, ok, "ok"), bar(ok, bad, "bad")];
    both.into_iter().filter(|bar| bar.w != "0").collect()
}

/// With one digit behind the point, if it says something.
fn unit(n: f64) -> String {
    let text = format!("{n:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(parts: &[(&'static str, i64)]) -> Stack {
        Stack { title: "t".to_owned(), parts: parts.to_vec() }
    }

    fn places(bars: &[ChartBar]) -> Vec<String> {
        bars.iter().map(|b| format!("{} {},{} {}x{}", b.kind, b.x, b.y, b.w, b.h)).collect()
    }

    #[test]
    fn an_axis_ends_at_a_number_that_can_be_halved() {
        let tops: Vec<i64> = [0, 1, 2, 3, 5, 9, 10, 11, 41, 999, 1_000, 1_001].into_iter().map(top).collect();
        assert_eq!(tops, [2, 2, 2, 4, 6, 10, 10, 20, 60, 1_000, 1_000, 2_000]);
        assert_eq!(top(i64::MAX), i64::MAX);
    }

    #[test]
    fn bars_stand_on_each_other_and_beside_each_other() {
        let stacks = [stack(&[("ok", 5), ("bad", 5)]), stack(&[]), stack(&[("ok", 0), ("bad", 10)])];
        assert_eq!(places(&bars(&stacks, 10)), ["ok 1.5,60 197x60", "bad 1.5,0 197x60", "bad 401.5,0 197x120"]);
    }

    #[test]
    fn a_bar_is_seen_however_small_and_stays_in_the_chart_however_large() {
        assert_eq!(places(&bars(&[stack(&[("bad", 1)])], 1_000_000)), ["bad 1.5,118.5 597x1.5"]);
        assert_eq!(places(&bars(&[stack(&[("ok", 30)])], 10)), ["ok 1.5,0 597x120"]);
        let drawn = bars(&[stack(&[("ok", 10), ("bad", 1)])], 10);
        assert!(drawn.iter().all(|bar| bar.y.parse::<f64>().unwrap() >= 0.0), "{drawn:?}");
    }

    #[test]
    fn a_line_ends_where_there_is_no_value() {
        let drawn = lines(&[Some(0.0), Some(50.0), None, Some(100.0), None, None], 100.0, "main");
        let points: Vec<&str> = drawn.iter().map(|line| line.points.as_str()).collect();
        assert_eq!(points, ["50,120 150,60", "320,0 380,0"]);
        assert!(lines(&[None, None], 100.0, "main").is_empty() && lines(&[], 100.0, "main").is_empty());
        assert_eq!(lines(&[Some(500.0)], 100.0, "soft")[0].points, "120,0 480,0", "no higher than the chart");
    }

    #[test]
    fn a_share_is_as_long_as_it_is_of_the_most() {
        assert_eq!(places(&share(50, 10, 120)), ["ok 0,6 50x8", "bad 50,6 10x8"]);
        assert_eq!(places(&share(119_999, 1, 120_000)), ["ok 0,6 118.5x8", "bad 118.5,6 1.5x8"]);
        assert_eq!(places(&share(0, 0, 120)), Vec::<String>::new());
    }
}
